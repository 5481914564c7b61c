// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocation of backup space from the FREE blocks of a state map.
 */
#include "dm-cow-alloc.h"

/*
 * Filesystems fill a device from its start, so runs are taken from the top: the
 * less of it a window covers, the later the filesystem claims what is in it.
 */
#ifndef WINDOW_BLOCKS		/* tests make it smaller */
#define WINDOW_BLOCKS 1024
#endif

/* Runs accepted at each level, in blocks. */
static const u64 level_min[] = { WINDOW_BLOCKS, 32, 1 };

void cow_alloc_reset(struct cow_alloc *alloc, const struct cow_map *map)
{
	alloc->pos = 0;
	alloc->end = 0;
	alloc->below = map->nr_blocks;
	alloc->level = 0;
}
EXPORT_SYMBOL_GPL(cow_alloc_reset);

static bool next_window(struct cow_alloc *alloc, const struct cow_map *map)
{
	for (; alloc->level < ARRAY_SIZE(level_min); alloc->level++) {
		u64 start, len;

		do {
			len = cow_map_free_run_below(map, alloc->below,
						     WINDOW_BLOCKS, &start);
			alloc->below = len ? start : 0;
		} while (len && len < level_min[alloc->level]);
		if (len) {
			alloc->pos = start;
			alloc->end = start + len;
			return true;
		}
		alloc->below = map->nr_blocks;
	}
	return false;
}

static u64 take_from_window(struct cow_alloc *alloc, struct cow_map *map,
			    u64 want, u64 *start)
{
	while (alloc->pos < alloc->end) {
		u64 taken;

		alloc->pos = cow_map_next(map, alloc->pos, alloc->end, COW_FREE);
		if (alloc->pos == alloc->end)
			break;
		*start = alloc->pos;
		taken = cow_map_take(map, alloc->pos,
				     min(want, alloc->end - alloc->pos));
		alloc->pos += taken;
		if (taken)
			return taken;
	}
	return 0;
}

u64 cow_alloc_run(struct cow_alloc *alloc, struct cow_map *map, u64 want,
		  u64 *start)
{
	bool again = false;

	for (;;) {
		u64 taken = take_from_window(alloc, map, want, start);

		if (taken)
			return taken;
		if (next_window(alloc, map))
			continue;
		if (again || !cow_map_nr_free(map))
			return 0;
		/* Blocks behind the search became FREE again: once more. */
		cow_alloc_reset(alloc, map);
		again = true;
	}
}
EXPORT_SYMBOL_GPL(cow_alloc_run);
