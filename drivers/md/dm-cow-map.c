// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state map of a copy-on-write device: two bits a block.
 */
#include "dm-cow-map.h"

#define BLOCKS_PER_WORD (BITS_PER_LONG / 2)
#define LOW_BITS (~0UL / 3)	/* 0101...: the low bit of every block */

/* One bit, the low one, for each block of @word that is in @state. */
static unsigned long blocks_in(unsigned long word, enum cow_state state)
{
	unsigned long low = word, high = word >> 1;

	if (!(state & 1))
		low = ~low;
	if (!(state & 2))
		high = ~high;
	return low & high & LOW_BITS;
}

/* The low bits of blocks @first to @last of a word. */
static unsigned long block_mask(unsigned int first, unsigned int last)
{
	unsigned long below = ~0UL >> (2 * (BLOCKS_PER_WORD - 1 - last));

	return below & (~0UL << (2 * first)) & LOW_BITS;
}

/* Part of a range of blocks that lies in one word. */
struct word_part {
	u64 index;
	unsigned int first;
	unsigned int nr;
	unsigned long mask;
};

static struct word_part word_part(u64 block, u64 end)
{
	struct word_part part;

	part.index = block / BLOCKS_PER_WORD;
	part.first = block % BLOCKS_PER_WORD;
	part.nr = min_t(u64, end - block, BLOCKS_PER_WORD - part.first);
	part.mask = block_mask(part.first, part.first + part.nr - 1);
	return part;
}

static unsigned long load_word(const struct cow_map *map, u64 index)
{
	/* Pairs with the full ordering of change_word(). */
	return smp_load_acquire(&map->words[index]);
}

/* Zones are whole words, so a word's change concerns one of them. */
static void count_free(struct cow_map *map, u64 index, unsigned long old,
		       unsigned long new)
{
	int delta = (int)hweight_long(blocks_in(new, COW_FREE)) -
		    (int)hweight_long(blocks_in(old, COW_FREE));

	if (!delta)
		return;
	atomic_add(delta, &map->zone_free[index * BLOCKS_PER_WORD >> COW_ZONE_SHIFT]);
	atomic64_add(delta, &map->free);
}

/* Before the change: who looks for such blocks finds the zone, if not yet the block. */
static void note_passes(struct cow_map *map, u64 index)
{
	u64 zone = index * BLOCKS_PER_WORD >> COW_ZONE_SHIFT;

	if (!test_bit(zone, map->zone_passes))
		set_bit(zone, map->zone_passes);
}

static bool change_word(struct cow_map *map, u64 index, unsigned long *old,
			unsigned long blocks, enum cow_state state)
{
	unsigned long new = (*old & ~(blocks * 3)) | (blocks * state);

	if (new == *old)
		return true;
	if (state & COW_LOOSE)
		note_passes(map, index);
	if (!try_cmpxchg(&map->words[index], old, new))
		return false;
	count_free(map, index, *old, new);
	return true;
}

static u64 nr_zones(u64 nr_blocks)
{
	return ((nr_blocks - 1) >> COW_ZONE_SHIFT) + 1;
}

static u64 word_bytes(u64 nr_blocks)
{
	return ((nr_blocks - 1) / BLOCKS_PER_WORD + 1) * sizeof(long);
}

static u64 zone_bytes(u64 nr_blocks)
{
	return BITS_TO_LONGS(nr_zones(nr_blocks)) * sizeof(long);
}

u64 cow_map_memory(const struct cow_map *map)
{
	if (!map->nr_blocks)
		return 0;
	return word_bytes(map->nr_blocks) + zone_bytes(map->nr_blocks) +
	       nr_zones(map->nr_blocks) * sizeof(*map->zone_free);
}
EXPORT_SYMBOL_GPL(cow_map_memory);

int cow_map_init(struct cow_map *map, u64 nr_blocks)
{
	u64 bytes = word_bytes(nr_blocks);

	memset(map, 0, sizeof(*map));
	if (!nr_blocks || bytes != (size_t)bytes)
		return -EFBIG;
	map->nr_blocks = nr_blocks;
	map->words = vzalloc(bytes);
	map->zone_free = vzalloc(nr_zones(nr_blocks) * sizeof(*map->zone_free));
	map->zone_passes = vzalloc(zone_bytes(nr_blocks));
	if (!map->words || !map->zone_free || !map->zone_passes) {
		cow_map_exit(map);
		return -ENOMEM;
	}
	return 0;
}
EXPORT_SYMBOL_GPL(cow_map_init);

void cow_map_exit(struct cow_map *map)
{
	vfree(map->words);
	vfree(map->zone_free);
	vfree(map->zone_passes);
	map->words = NULL;
	map->zone_free = NULL;
	map->zone_passes = NULL;
}
EXPORT_SYMBOL_GPL(cow_map_exit);

#ifndef __KERNEL__	/* for tests */
enum cow_state cow_map_get(const struct cow_map *map, u64 block)
{
	unsigned long word = load_word(map, block / BLOCKS_PER_WORD);

	return (word >> (2 * (block % BLOCKS_PER_WORD))) & 3;
}
#endif

u64 cow_map_next_stop(const struct cow_map *map, u64 block, u64 end)
{
	while (block < end) {
		struct word_part part = word_part(block, end);
		unsigned long stops = ~(load_word(map, part.index) >> 1) & part.mask;

		if (stops)
			return part.index * BLOCKS_PER_WORD + __ffs(stops) / 2;
		block += part.nr;
	}
	return end;
}
EXPORT_SYMBOL_GPL(cow_map_next_stop);

bool cow_map_passes(const struct cow_map *map, u64 block, u64 nr)
{
	return cow_map_next_stop(map, block, block + nr) == block + nr;
}
EXPORT_SYMBOL_GPL(cow_map_passes);

void cow_map_set(struct cow_map *map, u64 block, u64 nr, enum cow_state state)
{
	u64 end = block + nr;

	while (block < end) {
		struct word_part part = word_part(block, end);
		unsigned long old = load_word(map, part.index);

		while (!change_word(map, part.index, &old, part.mask, state))
			;
		block += part.nr;
	}
}
EXPORT_SYMBOL_GPL(cow_map_set);

static void replace(struct cow_map *map, u64 block, u64 end, enum cow_state from,
		    enum cow_state to)
{
	while (block < end) {
		struct word_part part = word_part(block, end);
		unsigned long old = load_word(map, part.index);

		while (!change_word(map, part.index, &old,
				    blocks_in(old, from) & part.mask, to))
			;
		block += part.nr;
	}
}

static u64 zone_end(u64 block, u64 end)
{
	return min(((block >> COW_ZONE_SHIFT) + 1) << COW_ZONE_SHIFT, end);
}

/* A device that is all free, or nearly, has many of these. */
static bool all_free(const struct cow_map *map, u64 block, u64 stop)
{
	return stop - block == 1ULL << COW_ZONE_SHIFT &&
	       atomic_read(&map->zone_free[block >> COW_ZONE_SHIFT]) == 1 << COW_ZONE_SHIFT;
}

/* Is none of a whole zone in @state, as can be told without looking at each? */
static bool none_in(const struct cow_map *map, u64 block, u64 stop, enum cow_state state)
{
	if (state & COW_LOOSE)
		return !test_bit(block >> COW_ZONE_SHIFT, map->zone_passes);
	return state == COW_PROTECTED && all_free(map, block, stop);
}

void cow_map_replace(struct cow_map *map, u64 block, u64 nr,
		     enum cow_state from, enum cow_state to)
{
	u64 end = block + nr;

	while (block < end) {
		u64 stop = zone_end(block, end);

		if (!none_in(map, block, stop, from))
			replace(map, block, stop, from, to);
		block = stop;
	}
}
EXPORT_SYMBOL_GPL(cow_map_replace);

void cow_map_settled(struct cow_map *map)
{
	memset(map->zone_passes, 0, zone_bytes(map->nr_blocks));
}
EXPORT_SYMBOL_GPL(cow_map_settled);

u64 cow_map_take(struct cow_map *map, u64 block, u64 nr)
{
	u64 at = block, end = block + nr;

	while (at < end) {
		struct word_part part = word_part(at, end);
		unsigned long old = load_word(map, part.index);
		unsigned long others;
		unsigned int taken;

		do {
			others = ~blocks_in(old, COW_FREE) & part.mask;
			taken = others ? __ffs(others) / 2 - part.first : part.nr;
			if (!taken)
				return at - block;
		} while (!change_word(map, part.index, &old,
				      block_mask(part.first, part.first + taken - 1),
				      COW_PROTECTED));
		at += taken;
		if (taken < part.nr)
			break;
	}
	return at - block;
}
EXPORT_SYMBOL_GPL(cow_map_take);

static u64 next_match(const struct cow_map *map, u64 block, u64 end,
		      enum cow_state state, bool match)
{
	while (block < end) {
		struct word_part part = word_part(block, end);
		unsigned long in = blocks_in(load_word(map, part.index), state);
		unsigned long hits = (match ? in : ~in) & part.mask;

		if (hits)
			return part.index * BLOCKS_PER_WORD + __ffs(hits) / 2;
		block += part.nr;
	}
	return end;
}

static bool none_free(const struct cow_map *map, u64 block)
{
	return !atomic_read(&map->zone_free[block >> COW_ZONE_SHIFT]);
}

/* Only FREE blocks are counted by zone, and only they are searched far. */
static bool skip_zone(const struct cow_map *map, u64 block, u64 stop,
		      enum cow_state state, bool match)
{
	if (state != COW_FREE)
		return false;
	return match ? none_free(map, block) : all_free(map, block, stop);
}

static u64 search(const struct cow_map *map, u64 block, u64 end, enum cow_state state,
		  bool match)
{
	while (block < end) {
		u64 stop = zone_end(block, end);
		u64 found = stop;

		if (!skip_zone(map, block, stop, state, match))
			found = next_match(map, block, stop, state, match);
		if (found < stop)
			return found;
		block = stop;
	}
	return end;
}

u64 cow_map_next(const struct cow_map *map, u64 block, u64 end,
		 enum cow_state state)
{
	return search(map, block, end, state, true);
}
EXPORT_SYMBOL_GPL(cow_map_next);

u64 cow_map_next_not(const struct cow_map *map, u64 block, u64 end,
		     enum cow_state state)
{
	return search(map, block, end, state, false);
}
EXPORT_SYMBOL_GPL(cow_map_next_not);

/* The last FREE block of [start, end), or @end if there is none. */
static u64 last_free(const struct cow_map *map, u64 start, u64 end)
{
	u64 stop = end;

	while (stop > start) {
		u64 first = max(start, (stop - 1) / BLOCKS_PER_WORD * BLOCKS_PER_WORD);
		struct word_part part = word_part(first, stop);
		unsigned long in = blocks_in(load_word(map, part.index), COW_FREE);

		if (in & part.mask)
			return part.index * BLOCKS_PER_WORD +
			       __fls(in & part.mask) / 2;
		stop = first;
	}
	return end;
}

/* How far down from @last FREE blocks reach without a gap, @max at the most. */
static u64 free_run_start(const struct cow_map *map, u64 last, u64 max)
{
	u64 lowest = last + 1 > max ? last + 1 - max : 0;
	u64 start = last;

	while (start > lowest) {
		u64 first = max(lowest, (start - 1) / BLOCKS_PER_WORD * BLOCKS_PER_WORD);
		struct word_part part = word_part(first, start);
		unsigned long gaps = part.mask &
			~blocks_in(load_word(map, part.index), COW_FREE);

		if (gaps)
			return part.index * BLOCKS_PER_WORD + __fls(gaps) / 2 + 1;
		start = first;
	}
	return start;
}

u64 cow_map_free_run_below(const struct cow_map *map, u64 end, u64 max,
			   u64 *start)
{
	while (end) {
		u64 zone_start = (end - 1) >> COW_ZONE_SHIFT << COW_ZONE_SHIFT;
		u64 last = end;

		if (!none_free(map, zone_start))
			last = last_free(map, zone_start, end);
		if (last < end) {
			*start = free_run_start(map, last, max);
			return last + 1 - *start;
		}
		end = zone_start;
	}
	return 0;
}
EXPORT_SYMBOL_GPL(cow_map_free_run_below);
