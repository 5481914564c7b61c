/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The crash explorer for a log on a store: an origin and a store, each with a
 * volatile cache of its own, under the same core.
 *
 *	apart-pair.c	two disks as one, cut together
 *	apart-machine.c	the surroundings of the core, and who writes to the origin
 *	apart-judge.c	power cuts, judged: restore, resume, end, all cut themselves
 *	apart-run.c	one run: takes, writes, crashes, resumes; main()
 *
 * What must hold at any instant: if there is a log, a restore leads to the origin as
 * it was at the take, bit for bit, however often it is cut; if there is none, the
 * origin is what was written to it. While the snapshot is wanted there is one, and
 * nobody who writes to the origin ever gets an error or waits for ever.
 */
#ifndef APART_H
#define APART_H

#include "model.h"

struct apart;

/* As the core sees them: the origin's sectors from COW_ORIGIN_BASE on. */
struct pair {
	struct cow_io io;
	struct disk store;
	struct disk origin;
	struct apart *sim;	/* told of every step, or NULL */
	u64 ios;
	u64 cut_at;		/* the one at which the power goes */
};

void pair_init(struct pair *pair, u64 store, u64 origin, u32 atomic, struct rng *rng);
void pair_exit(struct pair *pair);
bool pair_dead(const struct pair *pair);
void pair_copy_stable(struct pair *to, struct pair *from);
/* What @mask keeps of the store's pending writes, then of the origin's; -1: any. */
void pair_cut(struct pair *pair, int mask, struct rng *rng, struct pair *into);
void pair_power_on(struct pair *pair);
void pair_crash_without_cut(struct pair *pair);
u32 pair_pending(const struct pair *pair);
u64 pair_failures(const struct pair *pair);

enum apart_phase {
	APART_NONE,		/* there is no log, or one that says that it has ended */
	APART_BEGINNING,	/* there may be one */
	APART_ACTIVE,		/* there must be one */
	APART_ENDING,		/* it may be gone */
	APART_STALE,		/* errors kept it from being ended */
};

struct apart {
	u64 seed;
	struct rng rng;
	struct rng judge_rng;
	struct pair disk;
	struct live live;
	u64 sectors;		/* of the origin */
	u64 store_sectors;
	u32 block_sectors;
	u64 nr_blocks;
	bool large;
	u8 *snap;		/* the origin at the take */
	u8 uuid[16];
	enum apart_phase phase;
	bool may_be_marked;	/* the header could not be erased */

	struct cow cow;
	bool have_cow;
	bool engine;		/* writes go through the core */
	u64 used;		/* of the store, blocks */
	struct task tasks[MAX_TASKS];
	u32 nr_tasks;
	u32 ops_out;
	struct uwrite *writers;
	u32 nr_writers;
	u32 max_writers;
	u64 next_tag;
	u64 last_sequence;
	u64 after;		/* the last write */
	bool following;
	u32 memory_errors;	/* in 1000 copies can not be put into the index, see keep() */
	bool in_worker;

	u32 judge_percent;
	u64 judged;
	bool judging;
};

/* apart-machine.c */
void apart_start(struct apart *sim);
void apart_stop(struct apart *sim);
/* Begin to copy: a map for the core. */
void apart_arm(struct cow *cow, u32 block_sectors);
void apart_step(struct apart *sim, bool writes);
void apart_drain(struct apart *sim);
void apart_forget(struct apart *sim);
/* Something goes on beside the worker while that waits for an I/O. */
void apart_background(struct apart *sim);
extern const struct cow_env_ops apart_env;

/* apart-judge.c */
void apart_judge_start(struct apart *sim);
void apart_judge_stop(void);
void apart_judge(struct apart *sim);
void apart_event(struct apart *sim);
/* Cut the power for good. */
void apart_real_cut(struct apart *sim);
/* End the log on the simulated disks themselves. */
void apart_finish_disk(struct apart *sim, bool commit);

struct apart_stats {
	u64 runs, states, events, sweeps, sweep_cuts, subsets, takes, take_errors,
	    take_cuts, too_small, resumes, resume_cuts, resume_errors, restores,
	    restore_cuts, offline_ends, offline_end_cuts, finish_errors, copies, rollovers,
	    forgets, suspends, replaced, full, lost, no_memory, marked, stale, voids, lingers, fua_backups, fua_pages, copies_ahead, dropped_tails, busy,
	    writes, power_cuts, kernel_crashes;
};

extern struct apart_stats apart_stats;
extern struct apart *apart_current;

#endif
