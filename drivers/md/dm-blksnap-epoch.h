/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Epochs: what was changed on an origin between one snapshot and the next.
 *
 * Only the newest epoch is added to; it is the core (dm-cow.h) that copies for
 * it. An image looks for a block in its own epoch, then in each newer one, and
 * what none of them has is still on the origin. So many snapshots cost what one
 * does. Plain C; everything here belongs to the origin's worker but what says
 * otherwise. Positions and lengths in blocks.
 */
#ifndef DM_BLKSNAP_EPOCH_H
#define DM_BLKSNAP_EPOCH_H

#include "dm-cow.h"
#include "dm-cow-ranges.h"

/*
 * Ranges put by for when memory is short. Each copy in flight has one besides; so when
 * there is no memory so many copies may be in flight, and the next one waits.
 */
#define SNAP_SPARE_RANGES 512
#define SNAP_SPARE_BYTES (SNAP_SPARE_RANGES * (sizeof(struct cow_range) + 2 * sizeof(void *)))

struct snap;
struct snap_store;

enum snap_state {
	SNAP_NEW,		/* not armed yet */
	SNAP_ACTIVE,
	SNAP_OVERFLOW,		/* the store was full */
	SNAP_FAILED,		/* an I/O error, or no memory */
	SNAP_DETACHED,		/* the origin is written to past us */
	SNAP_FORGOTTEN,		/* persistent, and not wanted any more */
	SNAP_STALE,		/* persistent, and its log could not be ended */
};

struct snap_epoch {
	struct list_head node;		/* in snap::epochs */
	enum snap_state state;		/* of its image; others read it */
	bool has_image;			/* not removed yet */
	bool persistent;		/* its log is on the store */
	bool held;			/* so it is there without an image, too */
	u32 block_sectors;
	struct cow_map map;		/* for the core, until armed */
	struct snap_store *store;
	struct cow_ranges kept;		/* old contents, in the store */
	struct cow_ranges own;		/* the image's private blocks, there too */
	struct cow_ranges blank;	/* sectors that read as zeroes; constant once armed */
	struct list_head making;	/* requests that make a block private */
	u64 kept_blocks;
	u64 own_blocks;
};

/* A read or write of one block of an image; lives in the bio's per-bio data. */
struct snap_request {
	struct list_head node;
	struct snap_epoch *epoch;
	u64 block;
	bool is_write;
	int reader;			/* to be ended with, or -1; see snap_read_ends() */
	bool blank;			/* what is read must be blanked */
	u64 dest;			/* where the block is made private... */
	struct list_head followers;	/* ...and writes that wait for that */
};

/* Where contents are: in a store, or on the origin if that is NULL. */
struct snap_place {
	struct snap_store *store;
	u64 block;
};

/* The surroundings; called by the worker, none may call back. */
struct snap_ops {
	/* Up to @want blocks in one run: how many, from *@dest on; 0: full. */
	u64 (*take)(struct snap *snap, struct snap_store *store, u64 want, u64 *dest);
	/* Blocks left in a store. */
	u64 (*left)(struct snap *snap, struct snap_store *store);
	/* Let a request go to where its block is. */
	void (*send)(struct snap *snap, struct snap_request *request,
		     const struct snap_place *place);
	void (*fail)(struct snap *snap, struct snap_request *request, int error);
	/* Copy a block to request->dest of the epoch's store, blank, then snap_copied(). */
	void (*copy)(struct snap *snap, struct snap_request *request,
		     const struct snap_place *from);
	/* The state of an image has changed. */
	void (*changed)(struct snap *snap, struct snap_epoch *epoch);
};

/* All epochs of one origin. */
struct snap {
	struct cow *cow;
	const struct snap_ops *ops;
	struct list_head epochs;	/* oldest first */
	struct cow_range_pool pool;
};

void snap_init(struct snap *snap, struct cow *cow, const struct snap_ops *ops);
void snap_exit(struct snap *snap);

/* Any context that may sleep; allocates all that arming needs. 0 or -ENOMEM. */
int snap_epoch_init(struct snap_epoch *epoch, struct snap *snap,
		    struct snap_store *store, u32 block_sectors);
/* Any context that may sleep; nobody may use it any more. */
void snap_epoch_exit(struct snap_epoch *epoch);

/*
 * Before arming, may sleep: what is in these sectors belongs to no snapshot, and
 * may change by itself. The epoch's image shows zeroes there. 0, -ENOMEM or -EEXIST.
 */
int snap_epoch_blank(struct snap_epoch *epoch, u64 sector, u64 nr);

/*
 * The first piece of sectors that must be blanked in @sector..@sector + @nr: its
 * length, 0 if there is none, and where it begins. Any context, once it is armed.
 */
u64 snap_epoch_blanks(const struct snap_epoch *epoch, u64 sector, u64 nr, u64 *start);

/* Are there snapshots with other blocks than that? */
bool snap_block_size_differs(const struct snap *snap, u32 block_sectors);

/* Is there a persistent snapshot that has not been lost or forgotten? */
bool snap_is_held(const struct snap *snap);

/* A persistent snapshot is the only one: may the epoch be one more? */
bool snap_may_arm(const struct snap *snap, const struct snap_epoch *epoch);

/*
 * What is written to the origin from now on is kept. No write may be in flight.
 * The map of before is in epoch->map when it returns.
 */
void snap_arm(struct snap *snap, struct snap_epoch *epoch);

/* That has failed, before anything was written: all is as it was. */
void snap_disarm(struct snap *snap, struct snap_epoch *epoch);

/*
 * Before arming, may sleep: what a log has of the epoch, as @moved of its picture, whose
 * sources begin at block @base. 0, -ENOMEM or -EEXIST.
 */
int snap_epoch_fill(struct snap_epoch *epoch, const struct cow_ranges *moved, u64 base);
/* As if there had been nothing. 0 or -ENOMEM. */
int snap_epoch_empty(struct snap_epoch *epoch);

/*
 * The image is gone. Epochs that nobody needs now are added to @dead; with the
 * last of them copying ends.
 */
void snap_remove(struct snap *snap, struct snap_epoch *epoch,
		 struct list_head *dead);
/* The same without an image: one may have gone before its epoch. */
void snap_sweep(struct snap *snap, struct list_head *dead);

void snap_request_arrived(struct snap *snap, struct snap_request *request);
void snap_copied(struct snap *snap, struct snap_request *request, int error);

/*
 * Any context: a request that was sent has ended. True if the worker wants to be
 * called for it.
 */
bool snap_read_ends(struct snap *snap, struct snap_request *request);

/*
 * How many blocks of @sector..@sector + @nr would have to be copied if all of them
 * were written to now.
 */
u64 snap_count_needed(const struct snap *snap, u64 sector, u64 nr);

/* The core's: see struct cow_env_ops. */
u64 snap_take(struct snap *snap, u64 want, u64 *dest);
/* What is left for the newest epoch, in blocks. */
u64 snap_left(struct snap *snap);
int snap_keep(struct snap *snap, const struct cow_op *op);
void snap_abandon(struct snap *snap, enum snap_state state);

/*
 * Before each copy, and after it: is there memory for what will be kept of it? If not
 * it must wait, and the worker look again.
 */
bool snap_copy_begins(struct snap *snap);
void snap_copy_ends(struct snap *snap);
/* Without waiting for it, put memory by for what may begin. Is all of it there? */
bool snap_fill(struct snap *snap);
/* Nothing is left for one copy more, without asking anew. */
bool snap_is_out(const struct snap *snap);
/* Half of it is not: more of an effort should be made. */
bool snap_is_short(const struct snap *snap);

#endif
