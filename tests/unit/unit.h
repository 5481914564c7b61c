/* SPDX-License-Identifier: GPL-2.0-only */
/* What all unit tests need. */
#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/random.h"
#include <cmocka.h>

static struct rng rng __always_unused = { 88172645463325252ULL };

#endif
