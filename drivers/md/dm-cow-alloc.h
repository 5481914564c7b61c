/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which FREE block is taken next for a backup.
 *
 * Highest first, where filesystems allocate last, and long runs before short
 * ones. Within a run blocks are handed out upwards, so that backups reach the
 * disk in order. Not locked: one caller at a time; writers may turn FREE blocks
 * LOOSE meanwhile.
 */
#ifndef DM_COW_ALLOC_H
#define DM_COW_ALLOC_H

#include "dm-cow-map.h"

struct cow_alloc {
	u64 pos, end;		/* window in use */
	u64 below;		/* the next window is searched below this block */
	unsigned int level;	/* how short a run is accepted */
};

void cow_alloc_reset(struct cow_alloc *alloc, const struct cow_map *map);

/*
 * Take up to @want adjacent FREE blocks, which become PROTECTED. Returns how
 * many and the first in @start; 0 when no block is free. Does not sleep.
 */
u64 cow_alloc_run(struct cow_alloc *alloc, struct cow_map *map, u64 want,
		  u64 *start);

#endif
