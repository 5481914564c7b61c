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

static enum cow_log_error read_log(struct disk *disk, struct cow_picture *pic,
				   enum cow_picture_depth depth)
{
	if (cow_picture_init(pic, &disk->io))
		fail("out of memory");
	return cow_picture_read(pic, depth);
}

static void refused(const struct cow_picture *pic, const char *when)
{
	const struct cow_complaint *complaint = &pic->complaint;

	fail("%s: the log is refused: %s (page %llu at sector %llu, record %d, source %llu)",
	     when, cow_log_strerror(complaint->error),
	     (unsigned long long)complaint->sequence,
	     (unsigned long long)complaint->page_sector, complaint->record,
	     (unsigned long long)complaint->source);
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

	if (read_log(disk, &pic, COW_CHECK_ALL) != COW_LOG_NO_MAGIC)
		fail("there is still a log");
	cow_picture_exit(&pic);
	if (commit) {
		live_check(live, disk->view, &nowhere, NULL, "after a commit");
		stats.offline_commits++;
	} else {
		check_restored(sim, disk->view);
	}
}

/* The power comes back, or was never gone. */
static void revive(struct disk *disk)
{
	if (chance(disk->rng, 25)) {
		disk_crash_without_cut(disk);
		return;
	}
	disk_cut(disk, CUT_RANDOM, 0, disk->stable);
	disk_power_on(disk);
	stats.crash_states++;
}

/* A cut in the middle of a resume must not hurt either. */
static void try_resume(struct sim *sim, struct disk *disk, struct cow_picture *pic)
{
	static struct cow cow;
	int r;

	if (cow_init(&cow, sim->sectors, sim->block_sectors, &disk->io, NULL))
		fail("out of memory");
	disk->cut_at = disk->ios + rnd(disk->rng, 5);
	r = bow_resume(&cow, pic);
	if (r && !disk->dead)
		fail("resume: %d", r);
	revive(disk);
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

/*
 * Go on until the log is gone. @cuts: how often the power goes meanwhile.
 */
static bool finish(struct sim *sim, const struct live *live, struct disk *disk,
		   bool commit, u32 cuts)
{
	u32 sure = 0;		/* the state that can not be lost any more */

	for (;;) {
		struct cow_picture pic;
		struct redirect redirect;
		enum cow_log_error error = read_log(disk, &pic, COW_CHECK_ALL);
		u32 state = pic.log.head.state;
		u64 flushes;
		int r;

		if (error == COW_LOG_NO_MAGIC) {
			cow_picture_exit(&pic);
			break;
		}
		if (error)
			refused(&pic, commit ? "commit was cut" : "restore was cut");
		if (sure && state != sure)
			fail("state %u after it was %u", state, sure);
		if (state == COW_LOG_RESTORING && commit)
			fail("restoring, yet nobody restored");
		if (state == COW_LOG_COMMITTING)
			commit = true;
		redirect_set(&redirect, &pic.log.head);
		if (state != COW_LOG_RESTORING)
			live_check(live, disk->view, &redirect, NULL,
				   "restore or commit was cut");
		if (state != COW_LOG_CHECKPOINT && chance(disk->rng, 5))
			check_refused(sim, disk, &pic);
		if (state == COW_LOG_CHECKPOINT && cuts && chance(disk->rng, 10)) {
			try_resume(sim, disk, &pic);
			cow_picture_exit(&pic);
			cuts--;
			continue;
		}
		if (cuts)
			disk->cut_at = disk->ios +
				rnd(disk->rng, 12 + 2 * (commit ? 0 : pic.nr_backups));
		flushes = disk->flushes;
		r = commit ? cow_commit(&pic.log, &pic.geo, &disk->io) :
			     cow_restore(&pic, NULL, NULL);
		cow_picture_exit(&pic);
		if (disk->flushes > flushes)
			sure = commit ? COW_LOG_COMMITTING : COW_LOG_RESTORING;
		if (!r) {
			/* It said that all is done: then all is durable. */
			disk_power_on(disk);
			break;
		}
		if (!disk->dead)
			fail("%s: %d", commit ? "commit" : "restore", r);
		cuts--;
		if (commit)
			stats.commit_cuts++;
		else
			stats.restore_cuts++;
		revive(disk);
	}
	disk->cut_at = ~0ULL;
	check_end(sim, live, disk, commit);
	return !commit;
}

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

static void judge_log(struct sim *sim, struct cow_picture *pic)
{
	struct rng *rng = &sim->judge_rng;
	struct redirect redirect;
	bool commit = chance(rng, 10);

	check_state(sim, pic->log.head.state);
	stats.dropped_tails += pic->dropped_tail;
	stats.pending_voids += !!pic->nr_voids;
	redirect_set(&redirect, &pic->log.head);
	live_check(&sim->live, clone.view, &redirect, &sim->disk, "after a cut");
	cow_picture_exit(pic);
	live_copy(&want, &sim->live);
	live_rebase(&want, clone.view, &redirect);
	finish(sim, &want, &clone, commit, chance(rng, 50) ? 0 : 1 + rnd(rng, 3));
}

/* @rng: of the choices that the cut makes. */
static void judge_cut(struct sim *sim, enum cut_style style, u32 mask,
		      struct rng *rng)
{
	static const struct redirect nowhere;
	struct cow_picture pic;
	enum cow_log_error error;

	stats.crash_states++;
	sim->disk.rng = rng;
	disk_cut(&sim->disk, style, mask, clone.stable);
	sim->disk.rng = &sim->rng;
	disk_power_on(&clone);
	error = read_log(&clone, &pic, COW_CHECK_ALL);
	if (!error) {
		judge_log(sim, &pic);
		return;
	}
	if (error != COW_LOG_NO_MAGIC)
		refused(&pic, "after a cut");
	cow_picture_exit(&pic);
	if (sim->phase == PHASE_ACTIVE)
		fail("the log is gone");
	live_check(&sim->live, clone.view, &nowhere, &sim->disk,
		   "after a cut, without a log");
}

void judge_real_cut(struct sim *sim)
{
	struct rng again = sim->rng;

	sim->judging = true;
	judge_cut(sim, CUT_RANDOM, 0, &again);
	sim->judging = false;
	disk_cut(&sim->disk, CUT_RANDOM, 0, sim->disk.stable);
	disk_power_on(&sim->disk);
}

void judge_now(struct sim *sim, u32 samples)
{
	u32 i, pending = disk_pending(&sim->disk);

	if (sim->judging)
		return;
	sim->judging = true;
	if (pending < 10 && 1U << pending <= samples)
		for (i = 0; i < 1U << pending; i++)
			judge_cut(sim, CUT_MASK, i, &sim->judge_rng);
	else
		for (i = 0; i < samples; i++)
			judge_cut(sim, CUT_RANDOM, 0, &sim->judge_rng);
	sim->judging = false;
}

void judge_event(struct sim *sim)
{
	if (!sim->disk.dead && chance(&sim->judge_rng, sim->judge_percent))
		judge_now(sim, sim->samples);
}

bool judge_finish_disk(struct sim *sim, bool commit)
{
	bool back = false;
	struct rng *rng = &sim->rng;
	struct redirect redirect;
	struct cow_picture pic;
	enum cow_log_error error;
	u32 errors = sim->disk.errors;

	sim->disk.sim = NULL;
	sim->disk.errors = 0;
	error = read_log(&sim->disk, &pic, COW_CHECK_ALL);
	if (error && error != COW_LOG_NO_MAGIC)
		refused(&pic, "offline");
	memset(&redirect, 0, sizeof(redirect));
	if (!error) {
		check_state(sim, pic.log.head.state);
		redirect_set(&redirect, &pic.log.head);
	}
	cow_picture_exit(&pic);
	live_check(&sim->live, sim->disk.view, &redirect, NULL, "offline");
	live_rebase(&sim->live, sim->disk.view, &redirect);
	if (!error)
		back = finish(sim, &sim->live, &sim->disk, commit, rnd(rng, 3));
	sim->disk.sim = sim;
	sim->disk.errors = errors;
	return back;
}
