/* SPDX-License-Identifier: MIT */
#include "net/cpu.h"

#if defined(__x86_64__) || defined(__i386__)

bool cpu_has_aes(void)
{
	return __builtin_cpu_supports("aes") != 0;
}

#elif defined(__aarch64__) && defined(__linux__)

#include <asm/hwcap.h>
#include <sys/auxv.h>

bool cpu_has_aes(void)
{
	return (getauxval(AT_HWCAP) & HWCAP_AES) != 0;
}

#elif defined(__aarch64__) && defined(__APPLE__)

/* All of Apple's have them. */
bool cpu_has_aes(void)
{
	return true;
}

#else

bool cpu_has_aes(void)
{
	return false;
}

#endif
