// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sorted block ranges in a skip list.
 */
#include "dm-cow-ranges.h"

static size_t range_bytes(unsigned int levels)
{
	return sizeof(struct cow_range) + levels * sizeof(struct cow_range *);
}

/* One level, and one more with a chance of 1 in 4 each: xorshift, any seed. */
static unsigned int random_levels(u32 *random)
{
	unsigned int levels = 1;
	u32 x = *random;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	*random = x;
	while (levels < COW_RANGES_LEVELS && !(x & 3)) {
		x >>= 2;
		levels++;
	}
	return levels;
}

/* ---- ranges put by ------------------------------------------------------- */

/* They are of random levels as well, so that searches do not become long. */
static void put_spare(struct cow_range_pool *pool, struct cow_range *range,
		      unsigned int levels)
{
	range->nr = levels;
	range->next[0] = pool->spare;
	pool->spare = range;
	pool->nr++;
}

static struct cow_range *take_spare(struct cow_range_pool *pool,
				    unsigned int *levels)
{
	struct cow_range *range = pool->spare;

	pool->spare = range->next[0];
	pool->nr--;
	*levels = range->nr;
	return range;
}

static struct cow_range *range_new(struct cow_ranges *set, unsigned int *levels)
{
	struct cow_range_pool *pool = set->pool;
	struct cow_range *range;

	if (!pool)
		return cow_zalloc(range_bytes(*levels));
	if (set->promised && pool->nr)
		return take_spare(pool, levels);
	range = cow_alloc_nowait(range_bytes(*levels));
	/* The rest belongs to others. */
	if (range || pool->nr <= pool->promised)
		return range;
	return take_spare(pool, levels);
}

void cow_range_pool_init(struct cow_range_pool *pool)
{
	memset(pool, 0, sizeof(*pool));
	pool->random = cow_random_u32() | 1;
}
EXPORT_SYMBOL_GPL(cow_range_pool_init);

bool cow_range_pool_fill(struct cow_range_pool *pool, unsigned int nr, bool reclaim)
{
	while (pool->nr < nr) {
		unsigned int levels = random_levels(&pool->random);
		size_t bytes = range_bytes(levels);
		struct cow_range *range = reclaim ? cow_alloc_noretry(bytes) :
						    cow_alloc_nowait(bytes);

		if (!range)
			return false;
		put_spare(pool, range, levels);
	}
	return true;
}
EXPORT_SYMBOL_GPL(cow_range_pool_fill);

void cow_range_pool_move(struct cow_range_pool *from, struct cow_range_pool *to)
{
	while (from->nr) {
		unsigned int levels;
		struct cow_range *range = take_spare(from, &levels);

		put_spare(to, range, levels);
	}
}
EXPORT_SYMBOL_GPL(cow_range_pool_move);

bool cow_range_pool_promise(struct cow_range_pool *pool)
{
	if (!cow_range_pool_fill(pool, pool->promised + 1, false))
		return false;
	pool->promised++;
	return true;
}
EXPORT_SYMBOL_GPL(cow_range_pool_promise);

void cow_range_pool_unpromise(struct cow_range_pool *pool)
{
	pool->promised--;
}
EXPORT_SYMBOL_GPL(cow_range_pool_unpromise);

void cow_range_pool_trim(struct cow_range_pool *pool, unsigned int nr)
{
	unsigned int levels;

	while (pool->nr > nr)
		cow_free(take_spare(pool, &levels));
}
EXPORT_SYMBOL_GPL(cow_range_pool_trim);

void cow_range_pool_exit(struct cow_range_pool *pool)
{
	cow_range_pool_trim(pool, 0);
}
EXPORT_SYMBOL_GPL(cow_range_pool_exit);

/* ---- sets ---------------------------------------------------------------- */

int cow_ranges_init(struct cow_ranges *set)
{
	set->count = 0;
	set->bytes = 0;
	set->pool = NULL;
	set->promised = false;
	set->merges = false;
	/* Known levels would let a log make every search a long one. */
	set->random = cow_random_u32() | 1;
	set->head = cow_zalloc(range_bytes(COW_RANGES_LEVELS));
	return set->head ? 0 : -ENOMEM;
}
EXPORT_SYMBOL_GPL(cow_ranges_init);

void cow_ranges_exit(struct cow_ranges *set)
{
	struct cow_range *range = set->head;

	while (range) {
		struct cow_range *next = range->next[0];

		cow_free(range);
		range = next;
		cond_resched();
	}
	set->head = NULL;
}
EXPORT_SYMBOL_GPL(cow_ranges_exit);

/* On every level the last range that ends at or before @block. */
static void find_before(const struct cow_ranges *set, u64 block,
			struct cow_range **before)
{
	struct cow_range *range = set->head;
	int level;

	for (level = COW_RANGES_LEVELS - 1; level >= 0; level--) {
		while (range->next[level] &&
		       range->next[level]->start + range->next[level]->nr <= block)
			range = range->next[level];
		before[level] = range;
	}
}

struct cow_range *cow_ranges_at(const struct cow_ranges *set, u64 block)
{
	struct cow_range *before[COW_RANGES_LEVELS];

	find_before(set, block, before);
	return before[0]->next[0];
}
EXPORT_SYMBOL_GPL(cow_ranges_at);

/* Copies of neighbours mostly go to neighbours: then that is all one range. */
static bool is_extended_by(const struct cow_ranges *set, const struct cow_range *range,
			   u64 start, u64 to)
{
	return set->merges && range != set->head &&
	       range->start + range->nr == start && range->to + range->nr == to;
}

int cow_ranges_add(struct cow_ranges *set, u64 start, u64 nr, u64 to)
{
	struct cow_range *before[COW_RANGES_LEVELS];
	unsigned int level, levels = random_levels(&set->random);
	struct cow_range *range;

	find_before(set, start, before);
	if (before[0]->next[0] && before[0]->next[0]->start < start + nr)
		return -EEXIST;
	if (is_extended_by(set, before[0], start, to)) {
		before[0]->nr += nr;
		return 0;
	}
	range = range_new(set, &levels);
	if (!range)
		return -ENOMEM;
	range->start = start;
	range->nr = nr;
	range->to = to;
	for (level = 0; level < levels; level++) {
		range->next[level] = before[level]->next[level];
		before[level]->next[level] = range;
	}
	set->count++;
	set->bytes += range_bytes(levels);
	return 0;
}
EXPORT_SYMBOL_GPL(cow_ranges_add);

bool cow_ranges_find(const struct cow_ranges *set, u64 block, u64 *to)
{
	const struct cow_range *range = cow_ranges_at(set, block);

	if (!range || range->start > block)
		return false;
	*to = range->to + (block - range->start);
	return true;
}
EXPORT_SYMBOL_GPL(cow_ranges_find);

u64 cow_ranges_piece(const struct cow_ranges *set, u64 block, u64 nr,
		     struct cow_range **range)
{
	struct cow_range *found = cow_ranges_at(set, block);

	*range = NULL;
	if (!found || found->start >= block + nr)
		return nr;
	if (found->start > block)
		return found->start - block;
	*range = found;
	return min(nr, found->start + found->nr - block);
}
EXPORT_SYMBOL_GPL(cow_ranges_piece);
