// SPDX-License-Identifier: GPL-2.0-only
/*
 * Power cuts, judged. Whatever a cut leaves is rolled back or committed on a
 * copy, which may be cut as well, any number of times. What comes out must be
 * the checkpoint, or what the filesystem had, bit for bit.
 */
#include "model.h"

static struct disk clone;
static struct live want;

void judge_start(struct sim *sim)
{
	disk_init(&clone, sim->sectors, sim->disk.io.atomic_sectors, &sim->judge_rng);
	live_init(&want, sim->sectors);
}

void judge_stop(struct sim *sim)
{
	(void)sim;
	disk_exit(&clone);
	live_exit(&want);
}

/*
 * A page that passes for slot 1 is slot 1 of the log that is there, or of one
 * that was ended in due form. "bow restore --scan" relies on it.
 */
static void check_strays(struct sim *sim, const struct disk *disk,
			 const struct cow_head *log)
{
	u64 sector;

	for (sector = 8; sector + COW_PAGE_SECTORS <= sim->sectors; sector += 8) {
		const void *page = disk->view + sector * SECTOR;
		struct cow_head head;

		if (memcmp(page, COW_LOG_MAGIC, COW_LOG_MAGIC_SIZE) ||
		    cow_head_decode(page, sim->sectors, &head) ||
		    !(head.features_compat & COW_FEATURE_SLOT1) ||
		    head.slot1 != sector || head.state != COW_LOG_CHECKPOINT)
			continue;
		if (!log || memcmp(head.uuid, log->uuid, sizeof(head.uuid)))
			fail("slot 1 of a log that has ended, at %llu",
			     (unsigned long long)sector);
		if (log->slot1 != sector)
			fail("passes for slot 1, at %llu",
			     (unsigned long long)sector);
		stats.slot1_found++;
	}
}

static void check_restored(struct sim *sim, const u8 *image)
{
	u64 block;

	for (block = 0; block < sim->nr_blocks; block++) {
		u64 sector = block * sim->block_sectors;
		u64 nr = min((u64)sim->block_sectors, sim->sectors - sector);

		if (!sim->was_free[block] &&
		    memcmp(image + sector * SECTOR, sim->snap + sector * SECTOR,
			   nr * SECTOR))
			fail("block %llu is not rolled back",
			     (unsigned long long)block);
	}
	stats.restores++;
}

static void check_end(struct sim *sim, const struct live *live,
		      struct disk *disk, bool commit)
{
	static const struct redirect nowhere;
	struct cow_picture pic;

	if (read_log(&disk->io, &pic, COW_CHECK_ALL) != COW_LOG_NO_MAGIC)
		fail("there is still a log");
	cow_picture_exit(&pic);
	check_strays(sim, disk, NULL);
	if (commit) {
		live_check(live, disk->view, &nowhere, NULL, true, "after a commit");
		stats.offline_commits++;
	} else {
		check_restored(sim, disk->view);
	}
}

/* The power comes back, or was never gone. */
static void revive(struct disk *disk)
{
	static const struct cut cut = { .style = CUT_RANDOM };

	if (chance(disk->rng, 25)) {
		disk_crash_without_cut(disk);
		return;
	}
	disk_cut(disk, &cut, disk);
	disk_power_on(disk);
	stats.crash_states++;
}

/* ---- ending a checkpoint ------------------------------------------------- */

#define ANYWHERE (~0ULL)

/* What is done with what a cut has left. */
struct plan {
	bool commit;
	bool resume;		/* first, and then one of the others */
	u64 cut_at;		/* the first action is cut after so many steps */
	bool was_cut;
	u32 cuts;		/* later ones, how often */
};

struct finish {
	struct sim *sim;
	const struct live *live;
	struct disk *disk;
	struct plan *plan;
	u32 sure;		/* the state that can not be lost any more */
	u64 start;		/* of the action that is under way */
	u64 failures;
};

enum action {
	RESTORE,
	COMMIT,
	RESUME,
};

static void set_cut(struct finish *f, u32 steps)
{
	struct plan *plan = f->plan;

	f->start = f->disk->ios;
	f->failures = f->disk->failures;
	if (plan->cut_at != ANYWHERE)
		f->disk->cut_at = f->start + plan->cut_at;
	else if (plan->cuts)
		f->disk->cut_at = f->start + rnd(f->disk->rng, steps);
}

static bool had_error(struct finish *f)
{
	if (f->disk->failures == f->failures)
		return false;
	stats.finish_errors++;
	f->disk->errors = 0;
	return true;
}

/* An action did not get through: was it meant to? */
static void interrupted(struct finish *f, u32 state, enum action action, int r)
{
	static const char * const names[] = { "restore", "commit", "resume" };
	u64 *cuts[] = { &stats.restore_cuts, &stats.commit_cuts, &stats.resume_cuts };
	struct disk *disk = f->disk;

	disk->cut_at = ~0ULL;
	if (disk->dead) {
		++*cuts[action];
		point_note(point_finish(state, action, disk->ios - f->start,
					disk_pending(disk)));
		if (f->plan->cut_at != ANYWHERE)
			f->plan->was_cut = true;
		else
			f->plan->cuts--;
		f->plan->cut_at = ANYWHERE;
		revive(disk);
	} else if (!had_error(f) || r != -EIO) {
		fail("%s: %d", names[action], r);
	} else if (chance(disk->rng, 50)) {
		revive(disk);
	}
}

/* A resume may come between, and be cut as well. */
static void try_resume(struct finish *f, struct cow_picture *pic)
{
	static struct cow cow;
	struct sim *sim = f->sim;
	int r;

	if (cow_init(&cow, sim->sectors, sim->block_sectors, &f->disk->io, NULL))
		fail("out of memory");
	set_cut(f, 5);
	r = bow_resume(&cow, pic);
	if (r == -EIO && pic->unreadable && !f->disk->dead)
		stats.unreadable_refused++;
	else if (r)
		interrupted(f, COW_LOG_CHECKPOINT, RESUME, r);
	else
		revive(f->disk);
	f->disk->cut_at = ~0ULL;
	f->plan->cut_at = ANYWHERE;
	cow_exit(&cow);
}

/* Neither resume nor anything else may take a half-restored device for live. */
static void check_refused(struct sim *sim, struct disk *disk,
			  struct cow_picture *pic)
{
	static struct cow cow;

	if (cow_init(&cow, sim->sectors, sim->block_sectors, &disk->io, NULL))
		fail("out of memory");
	if (bow_resume(&cow, pic) != -EBUSY)
		fail("resume accepts what is being ended");
	cow_exit(&cow);
	stats.busy_refused++;
}

static void check_between(struct finish *f, struct cow_picture *pic)
{
	u32 state = pic->log.head.state;
	struct redirect redirect;

	if (f->sure && state != f->sure)
		fail("state %u after it was %u", state, f->sure);
	if (state == COW_LOG_RESTORING && f->plan->commit)
		fail("restoring, yet nobody restored");
	if (state == COW_LOG_COMMITTING)
		f->plan->commit = true;
	redirect_set(&redirect, &pic->log.head);
	if (state != COW_LOG_RESTORING)
		live_check(f->live, f->disk->view, &redirect, NULL,
			   false, "restore or commit was cut");
	if (state != COW_LOG_CHECKPOINT && chance(f->disk->rng, 5))
		check_refused(f->sim, f->disk, pic);
}

/* True when the log is gone. */
static bool try_end(struct finish *f, struct cow_picture *pic)
{
	bool commit = f->plan->commit;
	u32 state = pic->log.head.state;
	u64 flushes = f->disk->flushes;
	int r;

	set_cut(f, 12 + 2 * (commit ? 0 : (u32)pic->nr_backups));
	r = commit ? cow_commit(&pic->log, &pic->geo, &f->disk->io, pic->buf) :
		     cow_restore(pic, NULL, NULL);
	if (f->disk->flushes > flushes)
		f->sure = commit ? COW_LOG_COMMITTING : COW_LOG_RESTORING;
	if (r) {
		interrupted(f, state, commit ? COMMIT : RESTORE, r);
		return false;
	}
	/* It said that all is done: then all is durable. */
	disk_power_on(f->disk);
	return true;
}

static bool finish_step(struct finish *f)
{
	struct cow_picture pic;
	enum cow_log_error error;
	bool gone = false;

	f->failures = f->disk->failures;
	error = read_log(&f->disk->io, &pic, COW_CHECK_ALL);
	if (error == COW_LOG_NO_MAGIC) {
		gone = true;
	} else if (error != COW_LOG_IO || !had_error(f)) {
		if (error)
			log_refused(&pic, f->plan->commit ? "commit was cut" :
							"restore was cut");
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

/* Go on until the log is gone; true if the checkpoint is back. */
static bool finish(struct sim *sim, const struct live *live, struct disk *disk,
		   struct plan *plan)
{
	struct finish f = { sim, live, disk, plan, 0, 0, 0 };

	while (!finish_step(&f))
		;
	disk->cut_at = ~0ULL;
	disk->errors = 0;
	check_end(sim, live, disk, plan->commit);
	return !plan->commit;
}

static struct plan random_plan(struct rng *rng, struct disk *disk)
{
	struct plan plan = {
		.commit = chance(rng, 10),
		.cut_at = ANYWHERE,
		.cuts = chance(rng, 50) ? 0 : 1 + rnd(rng, 3),
	};

	plan.resume = plan.cuts && chance(rng, 20);
	if (chance(rng, 4)) {
		disk->errors = 20 + rnd(rng, 300);
		disk->error_kinds = ERROR_SYNC;
	}
	return plan;
}

/* ---- one cut ------------------------------------------------------------- */

static void check_state(struct sim *sim, u32 state)
{
	if (sim->phase == PHASE_PLAIN)
		fail("a log where there must be none");
	if (state == COW_LOG_RESTORING)
		fail("restoring, yet nobody restored");
	if (state == COW_LOG_COMMITTING && sim->phase != PHASE_COMMITTING)
		fail("committing, yet nobody committed");
	if (state == COW_LOG_CHECKPOINT && sim->phase == PHASE_COMMITTING &&
	    sim->disk.flushes >= sim->intent_flushes)
		fail("a commit has been forgotten");
}

static void judge_log(struct sim *sim, struct cow_picture *pic,
		      struct plan *plan)
{
	struct redirect redirect;
	struct plan random;

	check_state(sim, pic->log.head.state);
	check_strays(sim, &clone, &pic->log.head);
	stats.dropped_tails += pic->dropped_tail;
	stats.pending_voids += !!pic->nr_voids;
	redirect_set(&redirect, &pic->log.head);
	live_check(&sim->live, clone.view, &redirect, &sim->disk, false, "after a cut");
	live_copy(&want, &sim->live);
	live_rebase(&want, clone.view, &redirect);
	if (!plan) {
		random = random_plan(&sim->judge_rng, &clone);
		plan = &random;
	}
	finish(sim, &want, &clone, plan);
}

/* @rng: of the choices that the cut makes. @plan: NULL for any. */
static void judge_cut(struct sim *sim, const struct cut *cut, struct rng *rng,
		      struct plan *plan)
{
	static const struct redirect nowhere;
	struct cow_picture pic;
	enum cow_log_error error;

	disk_copy_stable(&clone, &sim->disk);
	sim->disk.rng = rng;
	disk_cut(&sim->disk, cut, &clone);
	sim->disk.rng = &sim->rng;
	error = read_log(&clone.io, &pic, COW_CHECK_ALL);
	if (!error) {
		judge_log(sim, &pic, plan);
		cow_picture_exit(&pic);
		return;
	}
	if (error != COW_LOG_NO_MAGIC)
		log_refused(&pic, "after a cut");
	cow_picture_exit(&pic);
	if (sim->phase == PHASE_ACTIVE)
		fail("the log is gone");
	check_strays(sim, &clone, NULL);
	live_check(&sim->live, clone.view, &nowhere, &sim->disk,
		   false, "after a cut, without a log");
}

/* ---- which cuts ---------------------------------------------------------- */

/* What is judged here depends on nothing that was judged before. */
static void begin(struct sim *sim)
{
	sim->judging = true;
	sim->judge_rng.state = sim->seed ^ ++sim->judged << 40;
	rng_next(&sim->judge_rng);
}

static void judge_any(struct sim *sim, struct rng *rng)
{
	static const struct cut cut = { .style = CUT_RANDOM };

	stats.crash_states++;
	judge_cut(sim, &cut, rng, NULL);
}

static void judge_subsets(struct sim *sim)
{
	struct cut cut = { .style = CUT_MASK };
	u32 nr = 1U << disk_pending(&sim->disk);

	for (cut.mask = 0; cut.mask < nr; cut.mask++) {
		stats.crash_states++;
		judge_cut(sim, &cut, &sim->judge_rng, NULL);
	}
}

static void judge_samples(struct sim *sim)
{
	u32 i, pending = disk_pending(&sim->disk);

	if (pending < 10 && 1U << pending <= sim->samples) {
		judge_subsets(sim);
		return;
	}
	for (i = 0; i < sim->samples; i++)
		judge_any(sim, &sim->judge_rng);
}

void judge_real_cut(struct sim *sim)
{
	static const struct cut cut = { .style = CUT_RANDOM };
	struct rng again = sim->rng;

	begin(sim);
	judge_any(sim, &again);
	sim->judging = false;
	disk_cut(&sim->disk, &cut, &sim->disk);
	disk_power_on(&sim->disk);
}

void judge_now(struct sim *sim)
{
	if (sim->judging)
		return;
	begin(sim);
	judge_samples(sim);
	sim->judging = false;
}

/* Pages and short blocks: torn at each place, one side kept, then the other. */
static void judge_tears(struct sim *sim)
{
	struct cut cut = { .style = CUT_TEAR };
	u32 atomic = sim->disk.io.atomic_sectors;

	for (cut.index = 0; cut.index < disk_pending(&sim->disk); cut.index++) {
		u32 nr = disk_pending_write(&sim->disk, cut.index)->nr;

		if (nr > COW_PAGE_SECTORS)
			continue;
		for (cut.at = atomic; cut.at < nr; cut.at += atomic)
			for (cut.upper = 0;; cut.upper = 1) {
				stats.tear_states++;
				stats.crash_states++;
				judge_cut(sim, &cut, &sim->judge_rng, NULL);
				if (cut.upper)
					break;
			}
	}
}

/* One state; whatever is done with it is cut at one I/O after the other. */
static void judge_sweep(struct sim *sim)
{
	static const struct cut cut = { .style = CUT_RANDOM };
	struct rng same = { rng_next(&sim->judge_rng) };
	u32 action = rnd(&sim->judge_rng, 3);
	u64 at;

	for (at = 0;; at++) {
		struct plan plan = {
			.commit = action == COMMIT,
			.resume = action == RESUME,
			.cut_at = at,
		};
		struct rng rng = same;

		judge_cut(sim, &cut, &rng, &plan);
		if (!plan.was_cut)
			break;
		stats.sweep_cuts++;
	}
	stats.crash_states++;
	stats.sweeps += !!at;
}

/* States spent on points with few and with many writes not durable. */
static u64 exhaustive_states[2];
static bool judging_all;

/* A few large points must not leave nothing for many small ones. */
static u64 *budget(const struct sim *sim)
{
	return &exhaustive_states[disk_pending(&sim->disk) > MAX_EXHAUSTIVE / 2];
}

static bool affordable(const struct sim *sim)
{
	if (disk_pending(&sim->disk) > MAX_EXHAUSTIVE)
		return false;
	if (exhaustive || exhaustive_share >= 100)
		return true;
	return *budget(sim) < stats.crash_states * exhaustive_share / 200;
}

bool judge_is_exhaustive(void)
{
	return judging_all;
}

static void judge_all(struct sim *sim)
{
	u64 before = stats.crash_states;

	judging_all = true;
	judge_subsets(sim);
	stats.subset_states += 1ULL << disk_pending(&sim->disk);
	judge_tears(sim);
	judge_sweep(sim);
	judging_all = false;
	*budget(sim) += stats.crash_states - before;
}

/* Something has happened on the disk: cut the power here, now and then. */
void judge_event(struct sim *sim)
{
	u64 point;

	if (sim->disk.dead || sim->judging)
		return;
	begin(sim);
	point = point_now(sim);
	/* Without a log there is nothing to find out but what a disk does. */
	if (sim->phase != PHASE_PLAIN && (point_note(point) || exhaustive) &&
	    affordable(sim)) {
		judge_all(sim);
		point_tried(point);
	} else if (chance(&sim->judge_rng, sim->phase == PHASE_PLAIN ?
			  sim->judge_percent / 4 : sim->judge_percent)) {
		judge_samples(sim);
	}
	sim->judging = false;
}

/* ---- the simulated disk itself ------------------------------------------- */

bool judge_finish_disk(struct sim *sim, bool commit)
{
	struct plan plan = {
		.commit = commit,
		.cut_at = ANYWHERE,
		.cuts = rnd(&sim->rng, 3),
		.resume = chance(&sim->rng, 10),
	};
	u32 errors = sim->disk.errors;
	struct redirect redirect;
	struct cow_picture pic;
	enum cow_log_error error;
	bool back = false;

	sim->disk.sim = NULL;
	sim->disk.errors = 0;
	error = read_log(&sim->disk.io, &pic, COW_CHECK_ALL);
	if (error && error != COW_LOG_NO_MAGIC)
		log_refused(&pic, "offline");
	memset(&redirect, 0, sizeof(redirect));
	if (!error) {
		check_state(sim, pic.log.head.state);
		redirect_set(&redirect, &pic.log.head);
	}
	cow_picture_exit(&pic);
	live_check(&sim->live, sim->disk.view, &redirect, NULL, true, "offline");
	live_rebase(&sim->live, sim->disk.view, &redirect);
	if (!error)
		back = finish(sim, &sim->live, &sim->disk, &plan);
	sim->disk.sim = sim;
	sim->disk.errors = errors;
	return back;
}
