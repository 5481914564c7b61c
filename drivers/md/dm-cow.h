/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The copy-on-write core: what a write must wait for before it may pass.
 *
 * Everything here but the state map belongs to one thread of control, the
 * worker: it calls cow_turn() whenever something has happened, and nothing else
 * in here runs beside it, so nothing else in here needs a lock. I/O completions
 * are handed to the worker first. The same code runs in the kernel and, with a
 * simulated disk below it, in the tests.
 *
 * What is copied goes to free blocks of the same device, with a log of it (bow),
 * or to a store apart from it (blksnap), with a log there or without one.
 *
 *	map		dm-cow-map.c	two bits a block, lock-free
 *	gate		dm-cow-gate.c	what a write waits for
 *	commit		dm-cow-commit.c	groups: copies, log page, one flush
 *	ahead		dm-cow-ahead.c	copies that nobody waits for yet
 *	move		dm-cow-move.c	making room where the log itself is
 *	log		dm-cow-log.c	pages and slots
 *	apart		dm-cow-apart.c	the log of a store: begun, resumed, ended
 *	adopt		dm-cow-adopt.c	a log that was read, to be gone on with
 *
 * Positions and lengths are in blocks unless a name says sectors.
 */
#ifndef DM_COW_H
#define DM_COW_H

#include "dm-cow-alloc.h"
#include "dm-cow-log.h"

struct cow;
struct cow_picture;
struct cow_group;
struct cow_op;

#define COW_RUN_SHIFT 8			/* no copy is longer than 2^8 blocks */
#define COW_BUSY_BUCKETS 256
#define COW_BACKUP_TRIES 3		/* destinations tried for one write */

/* Blocks left to log pages when the rest of the free space is used up. */
#define COW_RESERVE_BLOCKS 2

/* A run of blocks that an operation in flight reads, or writes. */
struct cow_busy {
	struct list_head node;		/* in one of cow::busy */
	u64 start;
	u64 nr;
	struct cow_op *op;		/* NULL: a page being sealed */
	struct cow_group *group;
	bool is_source;
};

/* One copy: old contents of a run, to where they are kept. */
struct cow_op {
	struct list_head node;		/* in cow_group::ops */
	struct cow *cow;
	struct cow_group *group;
	u64 source;
	u64 dest;
	u32 nr;
	u32 ahead;		/* so many of them nobody has asked for */
	u32 sectors;
	u32 crc;
	int read_error;
	int write_error;
	bool reading;			/* its data, or its checksum, is not there yet */
	bool writing;			/* its backup is still being written... */
	bool fua;			/* ...and durable once it has been */
	struct cow_busy source_busy[2];	/* a run may reach into a second bucket */
	struct cow_busy dest_busy[2];
};

/* A write that may have to wait; lives in the bio's per-bio data. */
struct cow_waiter {
	struct list_head node;
	u64 first;
	u64 last;
	unsigned int tries;		/* backups of its blocks that failed */
};

enum cow_group_stage {
	COW_GATHERING,
	COW_WRITING,		/* page writes and backups in flight */
	COW_FLUSHING,
	COW_DRAINING,		/* who reads the sources themselves is waited for */
};

/* Copies whose records become durable together, with one flush. */
struct cow_group {
	struct list_head ops;
	struct list_head waiters;	/* released when the group is durable */
	enum cow_group_stage stage;
	u32 nr_ops;
	u32 reading;			/* ops whose data is still being read */
	u32 writing;			/* backups and pages still being written */
	bool flushed;
	bool logged;			/* it has pages in the log */
	bool cached;			/* not all that is written is durable then */
	int error;			/* of a page write or the flush */
	u32 nr_voids;			/* pending voids that it records */
	struct cow_busy seal_busy;
};

/* Work that must have the log for itself: no group in flight, none gathering. */
struct cow_exclusive {
	struct list_head node;
	void (*run)(struct cow *cow, struct cow_exclusive *self);
};

enum cow_on_full {
	COW_FULL_FAIL,		/* the writer gets -ENOSPC */
	COW_FULL_HOLD,		/* the writer waits */
	COW_FULL_COMMIT,	/* the checkpoint is given up */
};

enum cow_event {
	COW_EVENT_FULL,
	COW_EVENT_LOW_WATER,
	COW_EVENT_FAILED,
	COW_EVENT_STALE,	/* a log apart could not be ended: it is not true any more */
};

/*
 * The surroundings. All are called from the worker; none may call back into
 * the core but for the functions marked as completions below.
 */
struct cow_env_ops {
	/*
	 * An operation with buffers for @nr blocks, or NULL for the moment: until
	 * one that is outstanding has ended, or until the next turn, which somebody
	 * sees to if there is none. May not wait for one.
	 */
	struct cow_op *(*op_alloc)(struct cow *cow, u32 nr);
	void (*op_free)(struct cow_op *op);
	/* Read the source, checksum, write to the destination, with FUA if @op says so. */
	void (*op_start)(struct cow_op *op);
	void (*page_write)(struct cow *cow, unsigned int index,
			   const struct cow_page_write *write);
	void (*flush)(struct cow *cow);
	/*
	 * Of the gathering group @ready copies could be written, and @reading are being read.
	 * True: that is not enough, it waits for these, and for others; whoever says so must
	 * not do it for ever, and call the core again before long if @reading is 0.
	 */
	bool (*linger)(struct cow *cow, u32 ready, u32 reading);
	/* Send a write on to the device, or end it with an error. */
	void (*release)(struct cow *cow, struct cow_waiter *waiter, int error);
	/* Stop I/O to hidden block @index and wait for what is in flight... */
	void (*hide_hold)(struct cow *cow, u32 index);
	/*
	 * ...and let it go on, to the place the log's head now names. If the log
	 * has failed meanwhile the disk may name another one: writes must fail.
	 */
	void (*hide_release)(struct cow *cow, u32 index);
	/* Queue a commit as exclusive work; the policy is COW_FULL_COMMIT. */
	void (*give_up)(struct cow *cow);
	void (*event)(struct cow *cow, enum cow_event event);

	/* With a store apart only. */

	/* Up to @want blocks in one run: how many, from *@dest on; 0: it is full. */
	u64 (*take)(struct cow *cow, u64 want, u64 *dest);
	/* A copy is complete: who looks for its source finds it from now on. */
	int (*keep)(struct cow *cow, const struct cow_op *op);
	/*
	 * Not all can be kept: set cow::passing, nothing waits any more. If there was
	 * a log, that has been ended.
	 */
	void (*abandon)(struct cow *cow, int error);
};

struct cow_stats {
	u64 copies;
	u64 copied_blocks;
	u64 ahead_blocks;	/* of them, ahead of the writes */
	u64 backup;		/* blocks of the checkpoint that are kept elsewhere */
	u64 collisions;		/* blocks of ours claimed by the filesystem */
	u64 changed;		/* blocks */
	u64 log_blocks;
	u64 groups;
	u64 flushes;
	u64 moves;
	u64 voids;
};

#define COW_STREAMS 4

/* Writes one after the other. */
struct cow_stream {
	u64 next;		/* what has been copied for it ends here */
	u64 blocks;		/* that much; 0: there is none */
};

/* Free at the checkpoint, in ascending order. */
struct cow_extent {
	u64 start;
	u64 nr;
};

struct cow {
	struct cow_geometry geo;
	struct cow_map map;
	struct cow_alloc alloc;
	struct cow_log log;
	struct cow_io *io;
	const struct cow_env_ops *env;
	void *buf;			/* one block, for moves */

	struct list_head busy[COW_BUSY_BUCKETS];
	struct cow_group groups[2];
	struct cow_group *gathering;
	struct cow_group *inflight;	/* or NULL */
	struct list_head deferred;	/* writes to be looked at, in order */
	struct list_head held;		/* writes without space, policy hold */
	struct list_head exclusives;

	/*
	 * Readers of old contents where they have always been, that is, of blocks
	 * not copied yet, of now and of before the group in flight was kept. What
	 * that group copied may be overwritten when the latter have ended.
	 */
	atomic_t readers[2];
	unsigned int readers_now;

	struct cow_stream streams[COW_STREAMS];
	unsigned int next_stream;	/* the one to be given up next */
	bool ahead_failed;		/* such a copy could not be read */
	bool sparing;			/* apart: the store is nearly full; env->take() says so */

	struct cow_exclusive move;	/* the gate's own, one at a time */
	struct cow_waiter *move_waiter;
	u64 move_block;

	struct cow_exclusive end;	/* of a log apart, see cow_lose() */
	int end_error;			/* why, once it is queued */
	bool withdrawn;			/* its header is not there, but in buf */

	struct cow_record voids[COW_PAGE_RECORDS];	/* to be recorded */
	u32 nr_voids;
	bool voids_first;		/* they fill the page: a group of their own */

	struct cow_extent *freemap;
	u64 nr_freemap;

	enum cow_on_full on_full;	/* a resume may change these two at any time */
	u64 low_water;			/* blocks; 0: no event */
	u64 nr_initial_free;
	bool apart;			/* copies go to another device, see env */
	bool unlogged;			/* apart: neither log nor flush: gone with a reboot */
	bool fua;			/* a write may be durable at once; no matter what it costs */
	u32 last_ops;			/* copies in the last group */
	bool passing;			/* committed: every write passes */
	bool holding;			/* may writes be held? not in a suspend */
	int hold_error;			/* what they get in a suspend; 0: -ENOSPC */
	bool failed;			/* the log cannot be written any more */
	bool full;			/* a write found no space */
	bool low;			/* the low-water event was raised */
	struct cow_stats stats;
};

/*
 * Allocates; may sleep. The map starts out all PROTECTED; with @block_sectors 0
 * there is none, and everything passes, until cow_begin().
 */
int cow_init(struct cow *cow, u64 sectors, u32 block_sectors, struct cow_io *io,
	     const struct cow_env_ops *env);
void cow_exit(struct cow *cow);

/*
 * Copy what is overwritten from now on, to a store apart: @map is all PROTECTED,
 * and belongs to the core until the next call. Nothing may be in flight. The map
 * of before is in @map when it returns.
 */
void cow_begin(struct cow *cow, struct cow_map *map, u32 block_sectors);

/* ---- the worker's entry points ------------------------------------------ */

/* Do all that can be done now. Call after anything below. */
void cow_turn(struct cow *cow);

/* A write to be let through when its blocks allow. */
void cow_write_arrived(struct cow *cow, struct cow_waiter *waiter);

/*
 * Completions. A copy has its data: from now on the backup may be written, with FUA if
 * op->fua says so. Read done: there is its checksum as well, or there was an error.
 */
void cow_op_has_data(struct cow_op *op);
void cow_op_read_done(struct cow_op *op, u32 crc, int error);
void cow_op_write_done(struct cow_op *op, int error);
void cow_page_written(struct cow *cow, int error);
void cow_flush_done(struct cow *cow, int error);

/*
 * A read of a block's old contents from its source begins: the worker's. Tells
 * what to end it with, from any context; true if the worker waits for that.
 */
unsigned int cow_reader_begin(struct cow *cow);
bool cow_reader_end(struct cow *cow, unsigned int reader);

void cow_run_exclusive(struct cow *cow, struct cow_exclusive *exclusive);

/* Nothing in flight, nothing waiting but held writes? Not in the kernel. */
bool cow_is_idle(const struct cow *cow);

/* Look at held writes again, or end them with @error if it is not 0. */
void cow_release_held(struct cow *cow, int error);

/* ---- a log apart; all may sleep, nothing may be in flight ---------------- */

/*
 * After cow_begin(): from now on with a log, which is live when this returns 0. The
 * store begins with a place for slot 0 that env->take() never gives away. io is of
 * both devices; what was written to the origin so far is made durable as well. -ENOSPC,
 * or an I/O error: then everything passes, and there is no log, or COW_EVENT_STALE.
 */
int cow_apart_begin(struct cow *cow, const u8 uuid[16], u64 time);

/*
 * After cow_begin(): go on with the log that @pic (read with COW_CHECK_TAIL or deeper)
 * has found, and take it over. env->take() gives away nothing below its store_sectors.
 * Errors as of bow_resume(); then everything passes, and the log is what it was.
 */
int cow_apart_resume(struct cow *cow, struct cow_picture *pic);

/*
 * The log is of no use any more, or no longer wanted: durably end it, if there is one,
 * then abandon, if that has not been done. Not 0 if it could not be ended.
 */
int cow_apart_end(struct cow *cow, int error);

/*
 * The origin may come to be written to past us, and we would be told too late: until
 * the log is reinstated it is not there. In between nothing may be copied. An error: it
 * has been ended.
 */
int cow_apart_withdraw(struct cow *cow);
int cow_apart_reinstate(struct cow *cow);

/* Write to the log no more, and leave it as it is; nothing is kept from now on. */
void cow_apart_leave(struct cow *cow, int error);

/* ---- between the files of the core -------------------------------------- */

/* Where a block is, for the log. */
static inline u64 cow_source_sector(const struct cow *cow, u64 block)
{
	return cow_block_to_sector(&cow->geo, block) + (cow->apart ? COW_ORIGIN_BASE : 0);
}

/*
 * Apart: something can not be kept. Without a log that is all; with one, nothing passes
 * before it has been ended, which waits until none of its pages is being written.
 */
void cow_lose(struct cow *cow, int error);

/* dm-cow-adopt.c: the log changes hands; @pic keeps an empty one. Its voids are queued. */
void cow_adopt_log(struct cow *cow, struct cow_picture *pic);
u32 cow_tail_room(const struct cow *cow);
/* Record all queued voids, for which there must be room. */
void cow_add_voids(struct cow *cow);

struct cow_busy *cow_busy_find(struct cow *cow, u64 block, u64 end);
void cow_busy_add(struct cow *cow, struct cow_busy *busy);

/* The block of @sector, if that is not 0 and it is in [block, end); else @end. */
u64 cow_earlier_place(const struct cow *cow, u64 sector, u64 block, u64 end);

/* The first block of [block, end) that holds slot 1, a seal or a live copy. */
u64 cow_next_place(const struct cow *cow, u64 block, u64 end);

/* Take one block; 0 when there is none. Block 0 is never free. */
u64 cow_take_block(struct cow *cow);

/* How many records the next group can hold, with a block for that if one is needed. */
u32 cow_make_room(struct cow *cow);

bool cow_was_free(const struct cow *cow, u64 block);
u64 cow_count_was_free(const struct cow *cow, u64 block, u64 nr);

/* dm-cow-gate.c: look at deferred writes; true if anything changed. */
bool cow_gate_turn(struct cow *cow);

/*
 * dm-cow-ahead.c: where a copy of [block, end), which a write waits for, may end, at
 * @end or behind it; what has been copied then. Reset: nothing has been copied yet.
 */
u64 cow_ahead(struct cow *cow, u64 block, u64 end);
void cow_ahead_reset(struct cow *cow);
void cow_ahead_copied(struct cow *cow, u64 block, u64 nr);

/*
 * dm-cow-commit.c: the log is lost to us from here on; what is durable in it
 * stays valid.
 */
void cow_fail_log(struct cow *cow);

/* Take groups a step further; true if anything changed. */
bool cow_commit_turn(struct cow *cow);
void cow_commit_init(struct cow *cow);

/* dm-cow-move.c: free the place at @block for the filesystem. */
int cow_move_place(struct cow *cow, u64 block);

#endif
