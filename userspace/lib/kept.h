/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has been read of a device, kept in memory: who has judged it does not read it a
 * second time.
 */
#ifndef BOW_KEPT_H
#define BOW_KEPT_H

#include "dm-cow-ranges.h"

struct kept {
	struct cow_ranges read;		/* sectors; leading to those of the memory */
	struct cow_ranges written;	/* of them, those that are something else by now */
	u8 *memory;
	u64 sectors, used;
	bool lost;			/* it is not known what has been written since */
};

/* The half of what is free now. */
u64 kept_default_bytes(void);

/* NULL if there is not that much, or @bytes is 0: nothing is kept then. */
struct kept *kept_new(u64 bytes);
void kept_free(struct kept *kept);	/* NULL will do */

/*
 * Where to read @sectors to, aligned to 4096 bytes, until the next call of it; NULL if no
 * more can be kept. kept_add() then says that they have been read. @kept may be NULL.
 */
void *kept_room(const struct kept *kept, u32 sectors);
void kept_add(struct kept *kept, u64 sector, u32 sectors);

/* These sectors are going to be written: what was read of them is forgotten. */
void kept_forget(struct kept *kept, u64 sector, u32 sectors);

/*
 * The first piece of those sectors that is either in memory, in one piece, or is not:
 * returns its length. @data is where, or NULL. Stays there until kept_free().
 */
u32 kept_piece(const struct kept *kept, u64 sector, u32 sectors, void **data);

/* All of them, to @buf; false if any is missing. */
bool kept_read(const struct kept *kept, u64 sector, void *buf, u32 sectors);

#endif
