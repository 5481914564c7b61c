/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Changed-block tracking: in which epoch was a block written to last?
 *
 * Epochs are numbered from 1 on. A take ends one, and the snapshot has its number:
 * blocks with a higher one have changed since. What a backup that was made of
 * snapshot a lacks of snapshot b is in the blocks whose value as of b is above a.
 *
 * Each block has two numbers, of the last epoch that it was written to in and of the
 * one before that. So what was true at the newest snapshot stays known while the
 * origin is written to, and a take costs nothing. As of an older one it may have
 * been forgotten; then the block counts as changed.
 *
 * Plain C; lock-free. Numbers of one generation only can be compared.
 */
#ifndef DM_BLKSNAP_CBT_H
#define DM_BLKSNAP_CBT_H

#include "dm-cow-env.h"

#define SNAP_CBT_LAST_EPOCH 0xfffe
#define SNAP_CBT_FORGOTTEN 0xffff	/* above all: changed, nobody knows when */

#define SNAP_CBT_MIN_SECTORS 8		/* of a block */
#define SNAP_CBT_MAX_SECTORS 1048576
#define SNAP_CBT_DEFAULT_SECTORS 128
#define SNAP_CBT_DEFAULT_BLOCKS 8388608	/* no more than that unless told to */

struct snap_cbt {
	u32 *entries;		/* the last epoch, and above it the one before; or NULL */
	u64 nr;			/* blocks */
	u32 shift;		/* of a block's sectors */
	u32 epoch;		/* the one that there is now */
	u32 restarts;		/* generations before this one */
	u8 generation[16];
};

/*
 * @block_sectors: a power of two; 0: whatever is right for the size. May sleep.
 * 0, or -ENOMEM: all else works without it, and does nothing.
 */
int snap_cbt_init(struct snap_cbt *cbt, u64 sectors, u32 block_sectors);
void snap_cbt_exit(struct snap_cbt *cbt);

static inline u64 snap_cbt_memory(const struct snap_cbt *cbt)
{
	return cbt->entries ? cbt->nr * sizeof(*cbt->entries) : 0;
}

/* These sectors are about to be written to. Any context. */
void snap_cbt_mark(struct snap_cbt *cbt, u64 sector, u64 nr);

/* The same in an image, of snapshot @number of this generation. Any context. */
void snap_cbt_mark_image(struct snap_cbt *cbt, u32 number, u64 sector, u64 nr);

/*
 * A take: the number of the epoch that ends. No write to the origin may be in
 * flight. If there are no more numbers a new generation begins: then it is 1, and
 * everything has changed since.
 */
u32 snap_cbt_next(struct snap_cbt *cbt);

/*
 * Writes have gone past us: a new generation. None to the origin may be in flight; a
 * reader must look at restarts after what it has read.
 */
void snap_cbt_restart(struct snap_cbt *cbt);

/* The value of a block as of snapshot @number. */
u32 snap_cbt_value(const struct snap_cbt *cbt, u64 block, u32 number);

/*
 * What is kept over a reboot: of a block the last epoch that it was written to in, 0 for
 * none. It comes back without the one before, which only snapshots of before could ask
 * for; then the epoch goes on. Nothing else may use the cbt meanwhile.
 */
u32 snap_cbt_last(const struct snap_cbt *cbt, u64 block);
void snap_cbt_restore(struct snap_cbt *cbt, u64 block, u32 last);
void snap_cbt_adopt(struct snap_cbt *cbt, const u8 generation[16], u32 epoch);

#endif
