// SPDX-License-Identifier: GPL-2.0-only
/*
 * Power cuts, judged. Whatever a cut leaves of the two disks is rolled back, resumed
 * or ended on copies, which may be cut as well, any number of times.
 */
#include "apart.h"

#define MAX_SUBSETS 6		/* writes not durable: all subsets of so many */
#define ANYWHERE (~0ULL)

static struct pair clone;
static struct live want;

enum action {
	RESTORE,
	END,
	RESUME,
	ACTIONS,
};

struct plan {
	bool end;		/* keep what the origin has, give the log up */
	bool resume;		/* first */
	u64 cut_at;		/* the first action, after so many steps */
	bool was_cut;
	u32 cuts;		/* later ones, how often */
};

struct finish {
	struct apart *sim;
	struct pair *pair;
	const struct live *live;
	struct plan *plan;
	u32 sure;		/* the state that can not be lost any more */
	u64 failures;
};

static const struct redirect nowhere;

void apart_judge_start(struct apart *sim)
{
	pair_init(&clone, sim->store_sectors, sim->sectors, sim->disk.io.atomic_sectors,
		  &sim->judge_rng);
	live_init(&want, sim->sectors);
}

void apart_judge_stop(void)
{
	pair_exit(&clone);
	live_exit(&want);
}

/* ---- ending ---------------------------------------------------------------- */

static void check_restored(const struct finish *f)
{
	u64 sector;

	for (sector = 0; sector < f->sim->sectors; sector++)
		if (memcmp(f->pair->origin.view + sector * SECTOR,
			   f->sim->snap + sector * SECTOR, SECTOR))
			fail("sector %llu is not rolled back", (unsigned long long)sector);
	apart_stats.restores++;
}

static void check_end(const struct finish *f)
{
	if (!f->plan->end) {
		check_restored(f);
		return;
	}
	live_check(f->live, f->pair->origin.view, &nowhere, NULL, true, "ended");
	apart_stats.offline_ends++;
}

/* The power comes back, or was never gone. */
static void revive(struct pair *pair)
{
	struct rng *rng = pair->store.rng;

	if (chance(rng, 25)) {
		pair_crash_without_cut(pair);
		return;
	}
	pair_cut(pair, -1, rng, pair);
	pair_power_on(pair);
	apart_stats.states++;
}

static void set_cut(struct finish *f, u32 steps)
{
	struct plan *plan = f->plan;

	f->failures = pair_failures(f->pair);
	if (plan->cut_at != ANYWHERE)
		f->pair->cut_at = f->pair->ios + plan->cut_at;
	else if (plan->cuts)
		f->pair->cut_at = f->pair->ios + rnd(f->pair->store.rng, steps);
}

static bool had_error(const struct finish *f)
{
	if (pair_failures(f->pair) == f->failures)
		return false;
	apart_stats.finish_errors++;
	f->pair->store.errors = f->pair->origin.errors = 0;
	return true;
}

static void interrupted(struct finish *f, enum action action, int r)
{
	u64 *cuts[] = { &apart_stats.restore_cuts, &apart_stats.offline_end_cuts,
			&apart_stats.resume_cuts };

	f->pair->cut_at = ~0ULL;
	if (pair_dead(f->pair)) {
		++*cuts[action];
		if (f->plan->cut_at != ANYWHERE)
			f->plan->was_cut = true;
		else
			f->plan->cuts--;
		f->plan->cut_at = ANYWHERE;
		revive(f->pair);
	} else if (r != -EIO || !had_error(f)) {
		fail("action %u: %d", action, r);
	} else if (chance(f->pair->store.rng, 50)) {
		revive(f->pair);
	}
}

/* On the copy; nothing is written after it. */
static void try_resume(struct finish *f, struct cow_picture *pic)
{
	static struct cow cow;
	u64 used = f->sim->used;
	int r;

	if (cow_init(&cow, f->sim->sectors, 0, &f->pair->io, &apart_env))
		fail("out of memory");
	cow.apart = true;
	cow.unlogged = true;
	apart_arm(&cow, f->sim->block_sectors);
	f->sim->used = pic->log.head.store_sectors / f->sim->block_sectors;
	set_cut(f, 5);
	r = cow_apart_resume(&cow, pic);
	f->sim->used = used;
	if (r)
		interrupted(f, RESUME, r);
	else
		revive(f->pair);
	f->pair->cut_at = ~0ULL;
	f->plan->cut_at = ANYWHERE;
	cow_exit(&cow);
}

/* Neither a resume nor anything else may take a half-restored origin for a live one. */
static void check_busy(struct finish *f, struct cow_picture *pic)
{
	static struct cow cow;

	if (cow_init(&cow, f->sim->sectors, 0, &f->pair->io, &apart_env))
		fail("out of memory");
	apart_arm(&cow, f->sim->block_sectors);
	if (cow_apart_resume(&cow, pic) != -EBUSY)
		fail("resume accepts what is being ended");
	cow_exit(&cow);
	apart_stats.busy++;
}

/* True when the log is gone. */
static bool try_end(struct finish *f, struct cow_picture *pic)
{
	bool end = f->plan->end;
	u64 flushes = f->pair->store.flushes;
	int r;

	set_cut(f, 12 + (end ? 0 : 2 * (u32)pic->nr_backups));
	r = end ? cow_commit(&pic->log, &pic->geo, &f->pair->io, pic->buf) :
		  cow_restore(pic, NULL, NULL);
	if (!end && f->pair->store.flushes > flushes)
		f->sure = COW_LOG_RESTORING;
	if (r) {
		interrupted(f, end ? END : RESTORE, r);
		return false;
	}
	/* It said that all is done: then all is durable. */
	pair_power_on(f->pair);
	return true;
}

static void check_between(struct finish *f, struct cow_picture *pic)
{
	u32 state = pic->log.head.state;

	if (f->sure && state != f->sure)
		fail("state %u after it was %u", state, f->sure);
	if (state == COW_LOG_COMMITTING)
		f->plan->end = true;
	if (state == COW_LOG_RESTORING && f->plan->end)
		fail("restoring, yet nobody restored");
	if (state != COW_LOG_CHECKPOINT && chance(f->pair->store.rng, 5))
		check_busy(f, pic);
	if (state != COW_LOG_RESTORING)
		live_check(f->live, f->pair->origin.view, &nowhere, NULL, false, "was cut");
}

static bool finish_step(struct finish *f)
{
	struct cow_picture pic;
	enum cow_log_error error;
	bool gone = false;

	f->failures = pair_failures(f->pair);
	error = read_log(&f->pair->io, &pic, COW_CHECK_ALL);
	if (error == COW_LOG_NO_MAGIC) {
		gone = true;
	} else if (error != COW_LOG_IO || !had_error(f)) {
		/* Of one that has ended the newest page must be good, and that is all. */
		if (error && !(pic.has_tail && pic.log.head.state == COW_LOG_COMMITTING))
			log_refused(&pic, "was cut");
		check_between(f, &pic);
		if (pic.log.head.state == COW_LOG_CHECKPOINT && f->plan->resume) {
			f->plan->resume = false;
			try_resume(f, &pic);
		} else {
			gone = try_end(f, &pic);
		}
	}
	cow_picture_exit(&pic);
	return gone;
}

static void finish(struct apart *sim, struct pair *pair, const struct live *live,
		   struct plan *plan)
{
	struct finish f = { .sim = sim, .pair = pair, .live = live, .plan = plan };
	struct cow_picture pic;

	while (!finish_step(&f))
		;
	pair->cut_at = ~0ULL;
	pair->store.errors = pair->origin.errors = 0;
	if (read_log(&pair->io, &pic, COW_CHECK_ALL) != COW_LOG_NO_MAGIC)
		fail("there is still a log");
	cow_picture_exit(&pic);
	check_end(&f);
}

static struct plan random_plan(struct rng *rng, struct pair *pair)
{
	struct plan plan = {
		.end = chance(rng, 10),
		.cut_at = ANYWHERE,
		.cuts = chance(rng, 50) ? 0 : 1 + (u32)rnd(rng, 3),
	};

	plan.resume = plan.cuts && chance(rng, 30);
	if (chance(rng, 4)) {
		pair->store.errors = pair->origin.errors = 20 + (u32)rnd(rng, 300);
		pair->store.error_kinds = pair->origin.error_kinds = ERROR_SYNC;
	}
	return plan;
}

/* ---- one cut --------------------------------------------------------------- */

static void check_state(const struct apart *sim, const struct cow_head *head)
{
	if (memcmp(head->uuid, sim->uuid, sizeof(head->uuid)))
		fail("a log of before");
	if (head->state == COW_LOG_CHECKPOINT && sim->phase == APART_NONE)
		fail("a log where there must be none");
	if (head->state == COW_LOG_RESTORING)
		fail("restoring, yet nobody restored");
	if (head->state == COW_LOG_COMMITTING && !sim->may_be_marked)
		fail("ended, yet nobody ended it");
}

static void judge_cut(struct apart *sim, int mask, struct rng *rng, struct plan *plan)
{
	struct cow_picture pic;
	enum cow_log_error error;
	struct plan random;
	bool gone;

	apart_stats.states++;
	pair_copy_stable(&clone, &sim->disk);
	pair_cut(&sim->disk, mask, rng, &clone);
	error = read_log(&clone.io, &pic, COW_CHECK_ALL);
	gone = error == COW_LOG_NO_MAGIC;
	if (error && !gone && !(pic.has_tail && pic.log.head.state == COW_LOG_COMMITTING))
		log_refused(&pic, "after a cut");
	if (gone && sim->phase == APART_ACTIVE)
		fail("the log is gone");
	if (!gone) {
		check_state(sim, &pic.log.head);
		apart_stats.dropped_tails += pic.dropped_tail;
		apart_stats.voids += pic.nr_voids;
	}
	cow_picture_exit(&pic);
	live_check(&sim->live, clone.origin.view, &nowhere, &sim->disk.origin, false,
		   "after a cut");
	if (gone)
		return;
	live_copy(&want, &sim->live);
	live_rebase(&want, clone.origin.view, &nowhere);
	if (!plan) {
		random = random_plan(&sim->judge_rng, &clone);
		plan = &random;
	}
	finish(sim, &clone, &want, plan);
}

/* ---- which cuts ------------------------------------------------------------ */

/* Every write that may be there or not, there and not. */
static void judge_subsets(struct apart *sim)
{
	int mask;

	apart_stats.subsets++;
	for (mask = 0; mask < 1 << pair_pending(&sim->disk); mask++)
		judge_cut(sim, mask, &sim->judge_rng, NULL);
}

/* One state; whatever is done with it is cut at one I/O after the other. */
static void judge_sweep(struct apart *sim)
{
	struct rng same = { rng_next(&sim->judge_rng) };
	enum action action = rnd(&sim->judge_rng, ACTIONS);
	u64 at;

	for (at = 0;; at++) {
		struct plan plan = {
			.end = action == END, .resume = action == RESUME, .cut_at = at,
		};
		struct rng rng = same;

		judge_cut(sim, -1, &rng, &plan);
		if (!plan.was_cut)
			break;
		apart_stats.sweep_cuts++;
	}
	apart_stats.sweeps++;
}

static bool begin(struct apart *sim)
{
	if (sim->judging || sim->phase == APART_STALE)
		return false;
	sim->judging = true;
	sim->judge_rng.state = sim->seed ^ ++sim->judged << 40;
	rng_next(&sim->judge_rng);
	return true;
}

void apart_judge(struct apart *sim)
{
	u32 i;

	if (!begin(sim))
		return;
	if (pair_pending(&sim->disk) <= MAX_SUBSETS && chance(&sim->judge_rng, 50))
		judge_subsets(sim);
	for (i = 0; i < 3; i++)
		judge_cut(sim, -1, &sim->judge_rng, NULL);
	if (chance(&sim->judge_rng, 30))
		judge_sweep(sim);
	sim->judging = false;
}

void apart_event(struct apart *sim)
{
	u32 percent = sim->judge_percent;

	if (pair_dead(&sim->disk) || sim->judging)
		return;
	/* What happens seldom, and fast. */
	if (sim->phase == APART_BEGINNING || sim->phase == APART_ENDING)
		percent = 100;
	if (chance(&sim->rng, sim->phase == APART_NONE ? (percent + 3) / 4 : percent))
		apart_judge(sim);
}

void apart_real_cut(struct apart *sim)
{
	apart_judge(sim);
	pair_cut(&sim->disk, -1, &sim->rng, &sim->disk);
	pair_power_on(&sim->disk);
	live_rebase(&sim->live, sim->disk.origin.view, &nowhere);
}

void apart_finish_disk(struct apart *sim, bool commit)
{
	struct plan plan = {
		.end = commit, .cut_at = ANYWHERE, .cuts = (u32)rnd(&sim->rng, 3),
		.resume = chance(&sim->rng, 20),
	};

	live_rebase(&sim->live, sim->disk.origin.view, &nowhere);
	if (sim->disk.sim)
		fail("the machine is on");
	finish(sim, &sim->disk, &sim->live, &plan);
	live_rebase(&sim->live, sim->disk.origin.view, &nowhere);
}
