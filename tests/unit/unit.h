/* SPDX-License-Identifier: MIT */
/* What each unit test includes first: cmocka, which wants these before it. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
