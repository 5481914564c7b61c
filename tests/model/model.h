/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The crash explorer: the core on a simulated disk that may lose power at any
 * moment.
 *
 *	disk.c		sectors, a volatile cache, power cuts
 *	live.c		what the filesystem may expect to read
 *	machine.c	the surroundings of the core: asynchronous I/O, writers
 *	judge.c		power cuts, judged: restore, commit, both cut themselves
 *	run.c		one run: checkpoints, writes, crashes, resumes
 *	main.c		options, statistics, shrinking
 *
 * Everything random comes from one seed, so a run can be played again.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdio.h>

#include "dm-bow-proto.h"
#include "dm-cow-finish.h"

/* Arguments are often random here, so they are evaluated once. */
#undef min
#undef max
#define min(a, b) \
	({ __auto_type a_ = (a); __auto_type b_ = (b); a_ < b_ ? a_ : b_; })
#define max(a, b) \
	({ __auto_type a_ = (a); __auto_type b_ = (b); a_ > b_ ? a_ : b_; })

#define SECTOR 512U
#define NO_LIVE (~0ULL)

/* ---- random numbers ------------------------------------------------------ */

struct rng {
	u64 state;
};

static inline u64 rng_next(struct rng *rng)
{
	u64 z = rng->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

/* 0 to @n - 1. */
static inline u32 rnd(struct rng *rng, u64 n)
{
	return (u32)(rng_next(rng) % n);
}

static inline bool chance(struct rng *rng, u32 percent)
{
	return rnd(rng, 100) < percent;
}

/* ---- the disk ------------------------------------------------------------ */

/* A write that a power cut may still undo. */
struct dwrite {
	u64 sector;
	u32 nr;
	u64 live;		/* what the filesystem calls its first sector */
	u64 order;		/* of completion */
	u8 data[];
};

struct dlist {
	struct dwrite **w;
	u32 nr;
	u32 room;
};

struct live;
struct sim;

struct disk {
	struct cow_io io;
	struct rng *rng;
	u8 *stable;		/* what a power cut leaves */
	u8 *view;		/* what the drive answers */
	struct dlist done;	/* completed, by order of completion */
	struct dlist open;	/* issued, by order of issue */
	u64 order;
	struct live *live;	/* told what became durable, or NULL */
	struct sim *sim;	/* told of every step, or NULL */
	u32 errors;		/* in 1000 operations fail */
	u32 error_kinds;	/* which ones do */
	bool dead;		/* power is gone: nothing works any more */
	u64 ios;		/* synchronous operations so far */
	u64 cut_at;		/* the one at which the power goes */
	u64 flushes;		/* that succeeded */
};

void disk_init(struct disk *disk, u64 sectors, u32 atomic, struct rng *rng);
void disk_exit(struct disk *disk);
void disk_clone(struct disk *clone, const struct disk *disk, struct rng *rng);
struct dwrite *disk_issue(struct disk *disk, u64 sector, u32 nr,
			  const void *data, u64 live);
void disk_complete(struct disk *disk, struct dwrite *w);
/* The drive reports an error; some of it may be there all the same. */
void disk_fail(struct disk *disk, struct dwrite *w);
void disk_flush_upto(struct disk *disk, u64 order);

enum error_kind {
	ERROR_READ = 1,
	ERROR_BACKUP = 2,
	ERROR_PAGE = 4,
	ERROR_FLUSH = 8,
	ERROR_SYNC = 16,	/* whatever is done synchronously */
	ERROR_KINDS = 5,
};

bool disk_error(struct disk *disk, enum error_kind kind);

/* How much of what is not durable survives a power cut. */
enum cut_style {
	CUT_RANDOM,		/* each write whole, torn or not at all */
	CUT_MASK,		/* the writes whose bit is set, whole */
};

/* What the disk holds after a power cut; @image may be disk->stable itself. */
void disk_cut(struct disk *disk, enum cut_style style, u32 mask, u8 *image);
u32 disk_pending(const struct disk *disk);
/* Power comes back: what is stable is all there is. */
void disk_power_on(struct disk *disk);
/* The machine stops, the drive does not. */
void disk_crash_without_cut(struct disk *disk);

/* ---- contents ------------------------------------------------------------ */

void fill_sector(u8 *sector, u64 tag);
bool sector_tag(const u8 *sector, u64 *tag);

/* ---- what the filesystem may expect to read ------------------------------ */

struct live {
	u64 sectors;
	u64 *tag;		/* contents that no power cut takes away */
	u8 *known;		/* is there anything to expect? */
};

/* Where hidden blocks are; nr 0 when there is no log. */
struct redirect {
	u32 nr;
	u32 block_sectors;
	struct cow_hidden hidden[COW_MAX_HIDDEN];
};

u64 redirect_sector(const struct redirect *redirect, u64 sector);
void redirect_set(struct redirect *redirect, const struct cow_head *head);
void live_init(struct live *live, u64 sectors);
void live_exit(struct live *live);
void live_copy(struct live *to, const struct live *from);
void live_forget(struct live *live, u64 sector, u64 nr);
void live_durable(struct live *live, const struct dwrite *w);
/* @disk: its pending writes may or may not be in @image; NULL: all is durable. */
void live_check(const struct live *live, const u8 *image,
		const struct redirect *redirect, const struct disk *disk,
		const char *when);
/* What @image holds is what is to be expected from now on. */
void live_rebase(struct live *live, const u8 *image,
		 const struct redirect *redirect);

/* ---- one run ------------------------------------------------------------- */

enum phase {
	PHASE_PLAIN,		/* there must be no log */
	PHASE_ENTERING,		/* there may be one */
	PHASE_ACTIVE,		/* there must be one */
	PHASE_COMMITTING,	/* it may be gone */
};

enum role {
	ROLE_NONE,
	ROLE_BACKUP,
	ROLE_PAGE,
};

struct uwrite {
	struct cow_waiter waiter;
	struct uwrite *next;	/* in sim::writers */
	u64 sector;
	u32 nr;
	u64 tag;
	int hidden;		/* which hidden block, or -1 */
	bool arrived;		/* given to the core */
};

enum task_kind {
	TASK_READ,
	TASK_WRITE,
	TASK_PAGE,
	TASK_FLUSH,
	TASK_USER,
};

struct task {
	enum task_kind kind;
	struct cow_op *op;
	struct dwrite *dw;
	const struct cow_disk_page *page;
	struct uwrite *uw;
	u64 order;
};

#define MAX_TASKS 256

struct sim {
	u64 seed;
	struct rng rng;		/* of the run */
	struct rng judge_rng;	/* of the judge, so that judging changes nothing */
	struct disk disk;
	struct live live;
	u64 sectors;
	u32 block_sectors;
	u64 nr_blocks;
	bool comb;		/* a free map of many extents */

	/* The checkpoint. */
	enum phase phase;
	u64 intent_flushes;	/* from so many on, the commit is sure */
	u8 *snap;
	u8 *snap_known;
	u8 *was_free;

	/* The machine. */
	struct cow cow;
	bool have_cow;
	bool engine;		/* the core is live on the disk */
	bool suspended;
	struct task tasks[MAX_TASKS];
	u32 nr_tasks;
	u32 ops_out;
	u32 max_ops;
	u32 max_op_blocks;
	struct uwrite *writers;
	u32 nr_writers;
	u32 max_writers;
	bool held[COW_MAX_HIDDEN];
	bool lost[COW_MAX_HIDDEN];	/* nobody knows which live copy counts */
	u64 last_slot1, last_seal, last_sequence, last_moves;
	u8 *role;
	struct cow_exclusive commit;
	bool commit_queued;
	bool want_reclaim;
	bool errors_seen;	/* an error was injected since the core started */
	u64 hot;

	/* The judge. */
	u32 judge_percent;
	u32 samples;
	u32 ops_left;
	bool judging;
	bool quiet;
};

/* ---- the machine --------------------------------------------------------- */

void machine_start(struct sim *sim);
void machine_stop(struct sim *sim);
void machine_step(struct sim *sim);
/* Until nothing is in flight. */
void machine_drain(struct sim *sim);
/* I/O of others while the core does something synchronous. */
void machine_background(struct sim *sim);
void machine_discard(struct sim *sim, u64 first, u64 nr);
int machine_commit(struct sim *sim);
void machine_note_start(struct sim *sim);
void machine_redirect(const struct sim *sim, struct redirect *redirect);

/* ---- the judge ----------------------------------------------------------- */

/* Something has happened on the disk: cut the power here, now and then. */
void judge_event(struct sim *sim);
void judge_now(struct sim *sim, u32 samples);
/* Cut the power for good, having judged what that leaves. */
void judge_real_cut(struct sim *sim);
/* Roll the simulated disk itself back, or commit it, with cuts; true if back. */
bool judge_finish_disk(struct sim *sim, bool commit);
void judge_start(struct sim *sim);
void judge_stop(struct sim *sim);

void run_one(struct sim *sim, u64 seed, u32 max_ops);

/* ---- reports ------------------------------------------------------------- */

struct stats {
	u64 runs, events, crash_states, restores, restore_cuts, resumes, commits,
	    commit_cuts, offline_commits, kernel_crashes, power_cuts, enters,
	    enter_cuts, no_space, errors, rollovers, collisions, moves_slot1,
	    moves_seal, moves_live, moves_backup, moves_page, moves_run, voids,
	    dropped_tails, pending_voids, log_failures, held, give_ups, reclaims,
	    second_checkpoints, busy_refused, torn, short_blocks, enter_errors,
	    hidden_writes;
};

extern struct stats stats;
extern bool tracing;
extern u64 states_wanted;
extern struct sim *current;

void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
void fail(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));
void *model_alloc(size_t size);

#define TRACE(...) do { if (tracing) trace(__VA_ARGS__); } while (0)

#endif
