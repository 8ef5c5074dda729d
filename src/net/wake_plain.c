/* SPDX-License-Identifier: MIT */
/* For systems that have no clock that is known to go on in sleep. */
#include "net/wake.h"

uint64_t wake_always_us(void)
{
	return 0;
}
