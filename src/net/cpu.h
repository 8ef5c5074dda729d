/* SPDX-License-Identifier: MIT */
/* What this machine's processor can do. */
#pragma once
#include <stdbool.h>

/* Whether it has instructions for AES; where that is not known, no. */
bool cpu_has_aes(void);
