/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A sorted set of block ranges, each with a place it leads to: a skip list.
 * Not locked; may sleep when it grows, unless it has a pool.
 */
#ifndef DM_COW_RANGES_H
#define DM_COW_RANGES_H

#include "dm-cow-env.h"

#define COW_RANGES_LEVELS 12

struct cow_range {
	u64 start;		/* first block */
	u64 nr;			/* blocks */
	u64 to;			/* where the first block leads to */
	struct cow_range *next[];	/* next[0] is the next range */
};

/*
 * Ranges put by for sets that grow where nothing may wait for memory. Who will have to
 * add one and could not do without asks beforehand, when it can still be told to wait.
 */
struct cow_range_pool {
	struct cow_range *spare;
	unsigned int nr;
	unsigned int promised;	/* of those */
	u32 random;
};

struct cow_ranges {
	struct cow_range *head;	/* sentinel of full height, never matched */
	struct cow_range_pool *pool;	/* if set: grows without sleeping */
	bool promised;		/* each addition was, so what was promised may be used */
	bool merges;		/* what begins and leads to where another ends is one with it */
	u64 count;
	u64 bytes;		/* of all ranges */
	u32 random;
};

int cow_ranges_init(struct cow_ranges *set);
void cow_ranges_exit(struct cow_ranges *set);

void cow_range_pool_init(struct cow_range_pool *pool);
void cow_range_pool_exit(struct cow_range_pool *pool);

/*
 * Have @nr ranges put by, or as many as come without waiting; with @reclaim, as many as
 * come without I/O. Are they there?
 */
bool cow_range_pool_fill(struct cow_range_pool *pool, unsigned int nr, bool reclaim);
/* Have no more than that. */
void cow_range_pool_trim(struct cow_range_pool *pool, unsigned int nr);
void cow_range_pool_move(struct cow_range_pool *from, struct cow_range_pool *to);

/*
 * Until that is taken back one addition to a set that is promised will not fail for want
 * of memory. False if there is none.
 */
bool cow_range_pool_promise(struct cow_range_pool *pool);
void cow_range_pool_unpromise(struct cow_range_pool *pool);

/* -EEXIST if any block of the new range is there already; -ENOMEM; 0. */
int cow_ranges_add(struct cow_ranges *set, u64 start, u64 nr, u64 to);

/* The first range that ends after @block (it may contain it), or NULL. */
struct cow_range *cow_ranges_at(const struct cow_ranges *set, u64 block);

/* Where @block leads to; false if nowhere. */
bool cow_ranges_find(const struct cow_ranges *set, u64 block, u64 *to);

static inline struct cow_range *cow_ranges_first(const struct cow_ranges *set)
{
	return set->head->next[0];
}

static inline struct cow_range *cow_ranges_next(const struct cow_range *range)
{
	return range->next[0];
}

/*
 * The first piece of @block..@block + @nr that is either wholly in one range or
 * wholly in none: returns its length; @range is the range, or NULL.
 */
u64 cow_ranges_piece(const struct cow_ranges *set, u64 block, u64 nr,
		     struct cow_range **range);

#endif
