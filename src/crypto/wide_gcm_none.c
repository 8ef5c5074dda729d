/* SPDX-License-Identifier: MIT */
/* For other processors, and builds without libipsec-mb's header. */
#include <stddef.h>

#include "crypto/wide_gcm.h"

const char *wide_gcm_query(void)
{
	return NULL;
}
