/* SPDX-License-Identifier: MIT */
/*
 * libipsec-mb, loaded when it is wanted: a relay, and commands that end at
 * once, are not to pay for it. Its IMB_MGR would test every cipher it has, and
 * touch 3.4 MiB of its code, so its functions for GCM are called directly. They
 * are exported but not in the header, hence only of the very version this was
 * built with.
 */
#include <cpuid.h>
#include <dlfcn.h>

#include "base/check.h"
#include "crypto/wide_gcm_local.h"

#define LIB_NAME "libIPSec_MB.so.1"

/* Not every compiler knows its name. */
static bool cpu_has_vaes(void)
{
	unsigned a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bit_VAES) != 0;
}

bool wide_cpu_can(void)
{
	/* Those that the system has to save are so only if it does. */
	return __builtin_cpu_supports("aes") &&
	       __builtin_cpu_supports("pclmul") &&
	       __builtin_cpu_supports("avx2") &&
	       __builtin_cpu_supports("bmi2") &&
	       __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512vl") &&
	       __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("vpclmulqdq") && cpu_has_vaes();
}

/* POSIX has dlsym() give functions as void pointers. */
struct symbol {
	const char *name;
	void *at; /* the function pointer to be set */
};

static bool lib_find(void *handle, const struct symbol *symbols, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		void *found = dlsym(handle, symbols[i].name);

		if (found == NULL)
			return false;
		*(void **)symbols[i].at = found;
	}
	return true;
}

bool wide_lib_open(struct wide_lib *lib)
{
	unsigned (*version)(void);
	const struct symbol symbols[] = {
		{ "imb_get_version", &version },
		{ "aes_gcm_pre_128_vaes_avx512", &lib->pre },
		{ "aes_gcm_init_128_vaes_avx512", &lib->init },
		{ "aes_gcm_dec_128_update_vaes_avx512", &lib->update[0] },
		{ "aes_gcm_enc_128_update_vaes_avx512", &lib->update[1] },
		{ "aes_gcm_dec_128_finalize_vaes_avx512", &lib->finalize[0] },
		{ "aes_gcm_enc_128_finalize_vaes_avx512", &lib->finalize[1] },
	};

	lib->handle = dlopen(LIB_NAME, RTLD_NOW | RTLD_LOCAL);
	if (lib->handle == NULL)
		return false;
	if (lib_find(lib->handle, symbols, ARRAY_LEN(symbols)) &&
	    version() == IMB_VERSION_NUM)
		return true;
	wide_lib_close(lib);
	return false;
}

void wide_lib_close(struct wide_lib *lib)
{
	(void)dlclose(lib->handle);
	lib->handle = NULL;
}
