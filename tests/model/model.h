/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The crash explorer: the core on a simulated disk that may lose power at any
 * moment.
 *
 *	disk.c		sectors, a volatile cache, power cuts
 *	live.c		what the filesystem may expect to read
 *	machine.c	the surroundings of the core: its asynchronous I/O
 *	users.c		the filesystem: writes, reads, discards
 *	points.c	which crash points are new
 *	judge.c		power cuts, judged: restore, commit, both cut themselves
 *	run.c		one run: checkpoints, writes, crashes, resumes
 *	report.c	what was counted
 *	main.c		options, and a failure made small
 *	shared.c	what the explorer of logs on a store (apart.h) does as well
 *
 * Everything random comes from one seed, so a run can be played again. What
 * the judge does depends on the seed and on the number of the event alone, so
 * judging more or less changes nothing else.
 *
 * A crash point is what the protocol was doing when the power went: phase of
 * the checkpoint, stages of both groups, step of whatever is done with the log
 * for itself, state of the tail, and which kinds of writes were not durable,
 * see points.c. A point that is new, with at most MAX_EXHAUSTIVE writes not
 * durable, is tried with every subset of these, with each short write torn at
 * each place, and one of its states is restored, committed or resumed with a cut
 * at every single I/O in turn, as far as a third of all states goes (--share).
 * Other points are tried with a few random subsets, now and then.
 *
 * Modelled: the kernel crashes while the drive keeps its cache, and the power
 * goes later; errors of any I/O, in enter, commit, restore and resume too, and
 * what is left of a checkpoint that could be neither entered nor undone; discards
 * during a checkpoint and a reclaim after a resume; reads, which nothing may
 * write over; the three policies when space runs out.
 *
 * Not modelled: contents that change by themselves, and logs made up to harm
 * (unit tests, fuzzer); what the kernel does beside the worker, as the lock-free
 * map, completions and suspends (virtual machines); a drive that lies about a
 * flush, or keeps the older of two writes to one sector; --scan and
 * --roll-forward; devices of more than a few hundred blocks.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdio.h>

#include "common/random.h"
#include "dm-bow-proto.h"
#include "dm-cow-finish.h"

#define SECTOR 512U
#define NO_LIVE (~0ULL)

#define ERROR_KINDS 5		/* enum error_kind */
#define MAX_EXHAUSTIVE 12

/* ---- the disk ------------------------------------------------------------ */

/* A write that a power cut may still undo. */
struct dwrite {
	u64 sector;
	u32 nr;
	u64 live;		/* what the filesystem calls its first sector */
	u64 order;		/* of completion */
	bool fua;		/* durable then */
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
	unsigned long *dirty;	/* sectors changed since disk_copy_stable() */
	struct dlist done;	/* completed, by order of completion */
	struct dlist open;	/* issued, by order of issue */
	u64 order;
	struct live *live;	/* told what became durable, or NULL */
	struct sim *sim;	/* told of every step, or NULL */
	u32 errors;		/* in 1000 operations fail */
	u32 error_kinds;	/* which ones do */
	u64 bad_from;		/* of the synchronous ones: out of reach from this... */
	u64 bad_nr;		/* ...for so many */
	bool lose_later;	/* from a write to block 0 on */
	u64 failures;		/* injected so far */
	bool dead;		/* power is gone: nothing works any more */
	u64 ios;		/* synchronous operations so far */
	u64 cut_at;		/* the one at which the power goes */
	u64 flushes;		/* that succeeded */
};

void disk_init(struct disk *disk, u64 sectors, u32 atomic, struct rng *rng);
void disk_exit(struct disk *disk);
/* @to becomes what a power cut leaves of @from if nothing is kept. */
void disk_copy_stable(struct disk *to, struct disk *from);
/* Contents changed without a write. */
void disk_changed(struct disk *disk, u64 sector, u32 nr);
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
};

bool disk_error(struct disk *disk, enum error_kind kind);
/* One of the next @within synchronous operations fails, and those after it. */
void disk_lose(struct disk *disk, u32 within);

/* How much of what is not durable survives a power cut. */
enum cut_style {
	CUT_RANDOM,		/* each write whole, torn or not at all */
	CUT_MASK,		/* the writes whose bit is set, whole */
	CUT_TEAR,		/* one is torn at a given sector, the others random */
};

struct cut {
	enum cut_style style;
	u32 mask;
	u32 index;		/* of the write that is torn... */
	u32 at;			/* ...there... */
	bool upper;		/* ...and the part from there on is kept */
};

/* @into, which holds what is stable, becomes what the cut leaves. */
void disk_cut(struct disk *disk, const struct cut *cut, struct disk *into);
u32 disk_pending(const struct disk *disk);
const struct dwrite *disk_pending_write(const struct disk *disk, u32 index);
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
	u64 end;		/* nothing is redirected from here on */
	struct cow_hidden hidden[COW_MAX_HIDDEN];
};

u64 redirect_sector(const struct redirect *redirect, u64 sector);
void redirect_set(struct redirect *redirect, const struct cow_head *head);
void live_init(struct live *live, u64 sectors);
void live_exit(struct live *live);
void live_copy(struct live *to, const struct live *from);
void live_forget(struct live *live, u64 sector, u64 nr);
void live_durable(struct live *live, const struct dwrite *w);
/*
 * @disk: its pending writes may or may not be in @image; NULL: all is durable.
 * @whole: look at every byte, not at both ends of each sector.
 */
void live_check(const struct live *live, const u8 *image,
		const struct redirect *redirect, const struct disk *disk,
		bool whole, const char *when);
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
	TASK_SUM,
	TASK_WRITE,
	TASK_PAGE,
	TASK_FLUSH,
	TASK_USER,
	TASK_LOOK,
};

/* A read of the filesystem's. What is at that place may not change meanwhile. */
struct uread {
	u64 sector;
	u64 at;
	u32 nr;
	int hidden;
	bool changed;		/* by the filesystem itself, that is */
	u8 data[];
};

struct task {
	enum task_kind kind;
	struct cow_op *op;
	struct dwrite *dw;
	const struct cow_disk_page *page;
	struct uwrite *uw;
	struct uread *ur;
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
	u32 nr_user_writes;	/* so far */
	u32 max_writers;
	u32 write_percent;	/* of the steps, while there is something else to do */
	bool held[COW_MAX_HIDDEN];
	bool lost[COW_MAX_HIDDEN];	/* nobody knows which live copy counts */
	bool stuck;		/* the target's state failed: neither entered nor left */
	bool committing;
	bool no_errors;
	u64 last_slot1, last_seal, last_sequence, last_moves;
	u8 *role;
	u32 *run_start;		/* of each backup: the first block of its copy */
	bool claims_bad;	/* the filesystem writes there all the time */
	u64 bad_place;		/* where the last backup that failed was to be; or 0 */
	u32 sync_step;		/* how many I/Os the core has done by itself */
	bool resumed;		/* the checkpoint survived a crash */
	unsigned long discarded[64];	/* as the target remembers discards */
	struct cow_exclusive commit;
	bool commit_queued;
	bool want_reclaim;
	bool errors_seen;	/* an error was injected since the core started */
	u64 hot;
	u64 after;		/* the last write */
	bool following;

	/* The judge. */
	u64 judged;		/* events offered to it */
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
int machine_commit(struct sim *sim);
void machine_note_start(struct sim *sim);
void machine_redirect(const struct sim *sim, struct redirect *redirect);
struct task *machine_add_task(struct sim *sim, enum task_kind kind);

/* ---- the filesystem ------------------------------------------------------ */

void user_write(struct sim *sim, bool worker);
void user_read(struct sim *sim);
/* The core has let go of a write, or @error. */
void user_released(struct sim *sim, struct uwrite *uw, int error);
void user_write_done(struct sim *sim, u32 task);
void user_read_done(struct sim *sim, u32 task);
/* Wait for what is on its way to a hidden block. */
void user_drain_hidden(struct sim *sim, u32 index);
/* Writes that were held back, or left to the worker. */
void user_unpark(struct sim *sim);
void user_drop_all(struct sim *sim);
/* I/O of others while the core does something synchronous. */
void user_background(struct sim *sim);
/* Before the checkpoint: collected as free. During it: noted for a reclaim. */
void user_trim(struct sim *sim, u64 first, u64 nr);
void user_discard(struct sim *sim);

/* ---- crash points -------------------------------------------------------- */

/* Of the machine as it is now. */
u64 point_now(const struct sim *sim);
/* Of a restore, commit or resume that is cut after so many steps. */
u64 point_finish(u32 state, u32 action, u64 step, u32 pending);
/* Count @point; true if it has not been tried exhaustively yet. */
bool point_note(u64 point);
void point_tried(u64 point);
void points_forget(void);

/* ---- the judge ----------------------------------------------------------- */

/* Something has happened on the disk: cut the power here, now and then. */
void judge_event(struct sim *sim);
void judge_now(struct sim *sim);
/* Cut the power for good, having judged what that leaves. */
void judge_real_cut(struct sim *sim);
/* Roll the simulated disk itself back, or commit it, with cuts; true if back. */
bool judge_finish_disk(struct sim *sim, bool commit);
/* Is this a state that is judged only because its crash point is new? */
bool judge_is_exhaustive(void);
void judge_start(struct sim *sim);
void judge_stop(struct sim *sim);

void run_one(struct sim *sim, u64 seed, u32 max_ops, bool no_errors);

/* ---- reports ------------------------------------------------------------- */

struct stats {
	u64 runs, events, crash_states, points, exhausted, subset_states,
	    tear_states, sweeps, sweep_cuts, torn, power_cuts, kernel_crashes,
	    enters, enter_cuts, enter_errors, enters_stuck, forgetful, lingers,
	    fua_backups, fua_pages,
	    second_checkpoints,
	    resumes, resume_cuts, reclaims, reclaims_resumed, commits,
	    commits_refused, commit_errors, stuck_refused, stuck_commits,
	    stuck_commit_errors, give_ups, restores, restore_cuts, offline_commits, commit_cuts,
	    finish_errors, busy_refused, unreadable_refused, writes, writes_unaligned,
	    writes_part, writes_long, writes_hidden, writes_short_block, reads,
	    reads_hidden, discards, copies, copies_run, copies_behind,
	    copies_ahead,
	    copies_short, handed_over, collisions, moves_backup, moves_page, moves_run,
	    moves_part, moves_slot1, moves_seal, moves_live, rollovers,
	    no_space, held, errors[ERROR_KINDS], log_failures, voids,
	    pending_voids, dropped_tails, slot1_found;
};

extern struct stats stats;
extern bool tracing;
extern bool exhaustive;		/* every crash point, however often met */
extern u32 exhaustive_share;	/* else: new ones, percent of all states at the most */
extern u64 skipped[4];		/* user writes that are left out, one bit each */
extern struct sim *current;

void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
void fail(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));
void *model_alloc(size_t size);

/* shared.c: @pic is initialized, then read. */
enum cow_log_error read_log(struct cow_io *io, struct cow_picture *pic,
			    enum cow_picture_depth depth);
/* fail(), with what was wrong. */
void log_refused(const struct cow_picture *pic, const char *when);
/* Non-zero if something was never counted though @complete. */
int report(u64 seed, bool json, bool complete);

#define TRACE(...) do { if (tracing) trace(__VA_ARGS__); } while (0)

#endif
