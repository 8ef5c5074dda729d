/* SPDX-License-Identifier: MIT */
/* What of base/mem.h each allocator does in its own way: those that give memory
 * back by themselves. */
#include "base/mem.h"

void mem_trim(void)
{
}
