/* SPDX-License-Identifier: MIT */
/*
 * AES-128-GCM, the cipher that connections with much to carry agree on, by
 * instructions that work on four blocks at once (VAES, VPCLMULQDQ, AVX-512).
 * OpenSSL has that itself from 3.1 on; an older one gets it here, from
 * libipsec-mb, as one more provider: its TLS is unchanged and does not notice.
 * Keys are wiped and tags compared in constant time, as by OpenSSL's own.
 * docs/decisions/013.
 */
#pragma once

/* The property query by which OpenSSL's fetches take it where they can, and
 * what they would take otherwise for everything else. NULL where it is not
 * to be had: another processor, no library, or OpenSSL has it itself. Loads
 * the library at the first call. Static. Loop thread only. */
const char *wide_gcm_query(void);
