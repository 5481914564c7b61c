/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state map: two bits for every COW block of a device.
 *
 * Words are read and changed by cmpxchg, so any context may use any function
 * here without a lock, interrupts included, unless its comment says otherwise.
 * All positions and lengths are in blocks; ranges must lie inside the map.
 */
#ifndef DM_COW_MAP_H
#define DM_COW_MAP_H

#include "dm-cow-env.h"

/*
 * The high bit means that a write may pass. Once set, it stays set while I/O
 * can be in flight.
 */
enum cow_state {
	COW_PROTECTED = 0,	/* a rollback needs what is here */
	COW_FREE = 1,		/* free at the checkpoint, not written since */
	COW_LOOSE = 2,		/* was free, holds live data now */
	COW_CHANGED = 3,	/* its old contents are saved and durable */
};

#define COW_ZONE_SHIFT 15	/* blocks in a zone, as a power of two */

struct cow_map {
	u64 nr_blocks;
	unsigned long *words;
	/* FREE blocks per zone and in all: hints for searches, exact at rest. */
	atomic_t *zone_free;
	/* Zones where a block has been LOOSE or CHANGED since cow_map_settled(). */
	unsigned long *zone_passes;
	atomic64_t free;
};

/* All blocks PROTECTED. Allocates, so may sleep. -ENOMEM, -EFBIG or 0. */
int cow_map_init(struct cow_map *map, u64 nr_blocks);
void cow_map_exit(struct cow_map *map);

/* What it takes, in bytes. */
u64 cow_map_memory(const struct cow_map *map);

/* For tests only. */
enum cow_state cow_map_get(const struct cow_map *map, u64 block);

/*
 * Does every block of the range let a write pass? Acquire: whoever sees a
 * block CHANGED also sees all that came before cow_map_set() made it so.
 */
bool cow_map_passes(const struct cow_map *map, u64 block, u64 nr);

/* Set all blocks of the range to @state. Full ordering. */
void cow_map_set(struct cow_map *map, u64 block, u64 nr, enum cow_state state);

/* Set those blocks of the range that are in @from to @to. */
void cow_map_replace(struct cow_map *map, u64 block, u64 nr,
		     enum cow_state from, enum cow_state to);

/* No block is LOOSE or CHANGED any more. Only while nothing changes the map. */
void cow_map_settled(struct cow_map *map);

/*
 * Take FREE blocks from @block on and make them PROTECTED, until one is not
 * FREE or @nr are taken. Returns how many were taken.
 */
u64 cow_map_take(struct cow_map *map, u64 block, u64 nr);

/*
 * First block at or after @block, below @end, (not) in @state; @end if none. Not FREE:
 * only while nothing changes the map.
 */
u64 cow_map_next(const struct cow_map *map, u64 block, u64 end,
		 enum cow_state state);
u64 cow_map_next_not(const struct cow_map *map, u64 block, u64 end,
		     enum cow_state state);

/* First block of the range that does not let a write pass; @end if none. */
u64 cow_map_next_stop(const struct cow_map *map, u64 block, u64 end);

/*
 * The highest run of FREE blocks below @end, its upper @max blocks at the most.
 * Returns its length and its first block in @start; 0 when there is none.
 */
u64 cow_map_free_run_below(const struct cow_map *map, u64 end, u64 max,
			   u64 *start);

static inline u64 cow_map_nr_free(const struct cow_map *map)
{
	return (u64)atomic64_read(&map->free);
}

#endif
