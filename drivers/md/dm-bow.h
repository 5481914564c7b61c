/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bow target: backup on write.
 *
 *	target	dm-bow-target.c	table line, status, messages, suspend
 *	map	dm-bow-map.c	where a bio goes
 *	state	dm-bow-state.c	trim -> checkpoint -> committed
 *	enter	dm-bow-enter.c	building the log (plain C)
 *	resume	dm-bow-resume.c	going on after a crash (plain C)
 */
#ifndef DM_BOW_H
#define DM_BOW_H

#include <linux/bio.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include "dm-bow-proto.h"
#include "dm-cow-dev.h"

enum bow_state {
	BOW_TRIM,		/* discards are collected, nothing is protected */
	BOW_CHECKPOINT,
	BOW_COMMITTED,		/* everything passes */
	BOW_FAILED,		/* neither entered nor left: see bow_commit() */
};

/* A hidden block, as the map needs it. Sectors. */
struct bow_hidden {
	u64 source;
	u64 live;
	unsigned int inflight;	/* redirected bios on their way */
	bool held;		/* new ones are parked */
	bool broken;			/* which copy is live is unknown: no writes */
	struct bio_list parked;
};

struct bow {
	struct cow_dev dev;
	enum bow_state state;		/* changed by the worker; read by the map */

	/* Held by messages and suspend hooks; guards frozen and writes of started. */
	struct mutex lock;
	bool frozen;			/* between postsuspend and preresume */
	bool started;			/* was active once */

	/* Guards event_target; an event needs a live table. */
	struct mutex event_lock;
	struct dm_target *event_target;

	/* Guards the rest of hidden[]; its length changes only under suspend. */
	spinlock_t hide_lock;
	wait_queue_head_t hide_wait;	/* inflight of one has become 0 */
	u32 nr_hidden;
	u64 hidden_end;			/* no hidden sector from here on */
	struct bow_hidden hidden[COW_MAX_HIDDEN];

	struct cow_exclusive give_up;
	unsigned long *discarded;	/* a bit a block, where resume is allowed */
};

/* What one table line asks for. */
struct bow_target {
	struct dm_dev *dev;
	struct bow *bow;
	u32 block_sectors;
	enum cow_on_full on_full;
	u64 low_water;
	bool resume;
};

/* Per-bio data. */
struct bow_bio {
	struct cow_waiter waiter;
	int hidden;			/* index of the redirect in flight, or -1 */
};

/* dm-bow-map.c */
int bow_map_bio(struct dm_target *ti, struct bio *bio);
int bow_end_io(struct dm_target *ti, struct bio *bio, blk_status_t *error);
void bow_release(struct cow_dev *dev, struct cow_waiter *waiter, int error);
void bow_hide_hold(struct cow_dev *dev, u32 index);
void bow_hide_release(struct cow_dev *dev, u32 index);

/* dm-bow-state.c; all may sleep, none in the worker */
extern const struct cow_dev_ops bow_dev_ops;

/* Take the log's table of hidden blocks over into the map's. */
void bow_hidden_load(struct bow *bow);

int bow_checkpoint(struct bow *bow);
int bow_commit(struct bow *bow);
int bow_do_reclaim(struct bow *bow);
/* First activation: is there a log, and may it be resumed? */
int bow_start(struct bow *bow, bool resume);
/* Let writes be held for space from now on, or let go of all that are. */
void bow_allow_holding(struct bow *bow, bool allow, int error);

static inline struct bow *dev_to_bow(struct cow_dev *dev)
{
	return container_of(dev, struct bow, dev);
}

static inline const char *bow_name(struct bow *bow)
{
	return dm_device_name(bow->dev.md);
}

#endif
