/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random numbers that can be had again, for tests written in C; and min() and
 * max() that look at their arguments once, since those are often random.
 */
#ifndef TEST_RANDOM_H
#define TEST_RANDOM_H

#include "dm-cow-user.h"

#undef min
#undef max
#define min(a, b) \
	({ __auto_type a_ = (a); __auto_type b_ = (b); a_ < b_ ? a_ : b_; })
#define max(a, b) \
	({ __auto_type a_ = (a); __auto_type b_ = (b); a_ > b_ ? a_ : b_; })

struct rng {
	u64 state;
};

static inline u64 rng_next(struct rng *rng)
{
	u64 z = rng->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

/* 0 to @n - 1. */
static inline u32 rnd(struct rng *rng, u64 n)
{
	return (u32)(rng_next(rng) % n);
}

static inline bool chance(struct rng *rng, u32 percent)
{
	return rnd(rng, 100) < percent;
}

/* Never, if @n is 0. */
static inline bool one_in(struct rng *rng, u32 n)
{
	return n && !rnd(rng, n);
}

#endif
