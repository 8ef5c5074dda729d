/* SPDX-License-Identifier: MIT */
/* What of base/mem.h each allocator does in its own way: glibc's. It gives back
 * only what lies at the end of the heap, and one small block there keeps tens
 * of MiB. */
#include <malloc.h>

#include "base/mem.h"

void mem_trim(void)
{
	malloc_trim(0);
}
