/* SPDX-License-Identifier: GPL-2.0-only */
/* What all unit tests need. */
#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include "dm-cow-user.h"
#include <cmocka.h>

/* Arguments are often random here, so they are evaluated once. */
#undef min
#define min(a, b) \
	({ __auto_type a_ = (a); __auto_type b_ = (b); a_ < b_ ? a_ : b_; })

static u64 seed = 88172645463325252ULL;

/* xorshift: 0 to @n - 1 */
static inline u64 rnd(u64 n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % n;
}

#endif
