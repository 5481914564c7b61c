// SPDX-License-Identifier: GPL-2.0-only
/*
 * One run: a device, checkpoints on it, writes, crashes and what comes after.
 */
#include "model.h"

/* The log fails, or so many backups that voids fill pages, while much goes on. */
static void choose_busy(struct sim *sim)
{
	struct rng *rng = &sim->rng;

	sim->disk.errors = 20 + rnd(rng, 60);
	sim->disk.error_kinds = ERROR_PAGE | ERROR_FLUSH;
	if (chance(rng, 50)) {
		sim->disk.errors = 200 + rnd(rng, 400);
		sim->disk.error_kinds = ERROR_BACKUP;
	}
	sim->max_writers = 16;
	sim->max_ops = 16;
	sim->write_percent = 70;
}

static void choose_shape(struct sim *sim)
{
	struct rng *rng = &sim->rng;
	u32 kind = rnd(rng, 20), atomic;
	u64 blocks;

	sim->block_sectors = kind < 15 ? 8 : kind < 19 ? 16 : 32;
	blocks = 56 + rnd(rng, chance(rng, 80) ? 60 : 300);
	sim->comb = COW_PAGE_RECORDS > 100 && chance(rng, 30);
	if (sim->comb)
		blocks = 2 * COW_PAGE_RECORDS + rnd(rng, 40);
	else if (sim->block_sectors > 8)
		blocks = 56 + rnd(rng, 40);
	atomic = chance(rng, 85) ? 1 : 8;
	sim->sectors = blocks * sim->block_sectors;
	if (chance(rng, 40) && sim->block_sectors > atomic)
		sim->sectors -= atomic * (1 + rnd(rng, sim->block_sectors / atomic - 1));
	sim->nr_blocks = blocks;
	disk_init(&sim->disk, sim->sectors, atomic, rng);
	sim->disk.live = &sim->live;
	sim->disk.sim = sim;
	if (chance(rng, 45)) {
		sim->disk.errors = 5 + rnd(rng, chance(rng, 60) ? 40 : 300);
		sim->disk.error_kinds = chance(rng, 60) ? 1U << rnd(rng, ERROR_KINDS) :
					rnd(rng, 1U << ERROR_KINDS);
	}
	sim->max_writers = 1 + rnd(rng, 12);
	sim->max_ops = 1 + rnd(rng, 6);
	sim->write_percent = 35;
	if (sim->disk.errors && chance(rng, 40))
		choose_busy(sim);
	if (chance(rng, 10)) {	/* one copy at a time, many in vain */
		sim->disk.errors = 50 + rnd(rng, 100);
		sim->disk.error_kinds = ERROR_BACKUP;
		sim->max_writers = 1 + rnd(rng, 3);
		sim->claims_bad = true;
	}
	sim->judge_percent = chance(rng, sim->claims_bad ? 50 : 5) ? 100 : 1 + rnd(rng, 6);
	sim->samples = sim->judge_percent == 100 ? 8 : 2 + rnd(rng, 4);
}

static void fill_device(struct sim *sim)
{
	struct rng *rng = &sim->rng;
	u8 *image = model_alloc(sim->sectors * SECTOR);
	u64 sector, tag = 0;

	for (sector = 0; sector < sim->sectors; sector++) {
		if (sector % sim->block_sectors == 0)
			tag = chance(rng, 20) ? 0 : chance(rng, 10) ? 1 :
			      rng_next(rng) >> 16 << 8;
		else if (tag > 1)
			tag++;
		fill_sector(image + sector * SECTOR, tag);
		sim->live.tag[sector] = tag;
		sim->live.known[sector] = 1;
	}
	memcpy(sim->disk.stable, image, sim->sectors * SECTOR);
	memcpy(sim->disk.view, image, sim->sectors * SECTOR);
	disk_changed(&sim->disk, 0, (u32)sim->sectors);
	free(image);
}

/* ---- crashes ------------------------------------------------------------- */

static void crash(struct sim *sim)
{
	u32 errors = sim->disk.errors;
	struct redirect redirect;
	struct cow_picture pic;

	machine_stop(sim);
	judge_now(sim);
	if (chance(&sim->rng, 35)) {
		TRACE("the kernel crashes");
		stats.kernel_crashes++;
		disk_crash_without_cut(&sim->disk);
		judge_now(sim);
		return;
	}
	TRACE("the power is cut");
	stats.power_cuts++;
	judge_real_cut(sim);

	sim->disk.sim = NULL;
	sim->disk.errors = 0;
	memset(&redirect, 0, sizeof(redirect));
	if (cow_picture_init(&pic, &sim->disk.io))
		fail("out of memory");
	if (!cow_picture_read(&pic, COW_CHECK_TAIL))
		redirect_set(&redirect, &pic.log.head);
	cow_picture_exit(&pic);
	live_rebase(&sim->live, sim->disk.view, &redirect);
	sim->disk.sim = sim;
	sim->disk.errors = errors;
}

/* A fresh machine on a device without a log: nothing is known to be free. */
static void boot_plain(struct sim *sim)
{
	sim->phase = PHASE_PLAIN;
	machine_start(sim);
}

static void forget_free(struct sim *sim)
{
	u64 block;

	for (block = 0; block < sim->nr_blocks; block++)
		if (sim->was_free[block])
			live_forget(&sim->live, block * sim->block_sectors,
				    min((u64)sim->block_sectors, sim->sectors -
					block * sim->block_sectors));
}

static void rebase_restored(struct sim *sim)
{
	static const struct redirect nowhere;

	memcpy(sim->live.known, sim->snap_known, sim->sectors);
	forget_free(sim);
	live_rebase(&sim->live, sim->disk.view, &nowhere);
}

static void finish_offline(struct sim *sim, bool commit)
{
	TRACE("offline %s", commit ? "commit" : "restore");
	if (judge_finish_disk(sim, commit))
		rebase_restored(sim);
	boot_plain(sim);
}

/* ---- resume -------------------------------------------------------------- */

static void choose_policy(struct sim *sim)
{
	struct rng *rng = &sim->rng;

	sim->cow.on_full = chance(rng, 50) ? COW_FULL_FAIL :
			   chance(rng, 50) ? COW_FULL_HOLD : COW_FULL_COMMIT;
	sim->cow.low_water = rnd(rng, 20);
}

static void note_ours(struct sim *sim, const struct cow_picture *pic)
{
	const struct cow_range *range;
	u64 i;

	for (range = cow_ranges_first(&pic->ours); range;
	     range = cow_ranges_next(range))
		for (i = 0; i < range->nr; i++) {
			sim->role[range->start + i] = ROLE_BACKUP;
			sim->run_start[range->start + i] = (u32)range->start;
		}
}

static void go(struct sim *sim)
{
	struct redirect redirect;

	choose_policy(sim);
	machine_redirect(sim, &redirect);
	live_check(&sim->live, sim->disk.view, &redirect, &sim->disk, true, "live again");
}

enum outcome {
	GONE,		/* no log any more: a plain device, machine started */
	LIVE,		/* engine runs */
	AGAIN,		/* crashed meanwhile */
};

static enum outcome resume_picture(struct sim *sim, struct cow_picture *pic)
{
	enum cow_log_error error = cow_picture_read(pic, COW_CHECK_TAIL);
	int r;

	if (error && sim->disk.dead)
		return AGAIN;
	if (error == COW_LOG_NO_MAGIC) {
		if (sim->phase == PHASE_ACTIVE)
			fail("resume: the log is gone");
		sim->phase = PHASE_PLAIN;
		return GONE;
	}
	if (error == COW_LOG_IO && sim->errors_seen)
		return AGAIN;
	if (error)
		fail("resume: %s (page %llu, record %d)", cow_log_strerror(error),
		     (unsigned long long)pic->complaint.sequence,
		     pic->complaint.record);
	if (pic->log.head.state == COW_LOG_COMMITTING) {
		if (bow_resume(&sim->cow, pic) != -EBUSY)
			fail("resume accepts a log that is being committed");
		machine_stop(sim);
		sim->disk.cut_at = ~0ULL;
		finish_offline(sim, true);
		return GONE;
	}
	sim->phase = PHASE_ACTIVE;
	memset(sim->role, 0, sim->nr_blocks);
	r = bow_resume(&sim->cow, pic);
	if (sim->disk.dead)
		return AGAIN;
	if (r) {
		if (!sim->errors_seen || r != -EIO)
			fail("resume: %d", r);
		return AGAIN;
	}
	machine_note_start(sim);
	note_ours(sim, pic);
	stats.resumes++;
	sim->resumed = true;
	return LIVE;
}

static enum outcome resume(struct sim *sim)
{
	u32 errors = sim->disk.errors;
	struct cow_picture pic;
	enum outcome outcome;

	TRACE("resume");
	machine_start(sim);
	if (chance(&sim->rng, 15))
		sim->disk.cut_at = sim->disk.ios + rnd(&sim->rng, 12);
	if (cow_picture_init(&pic, &sim->disk.io))
		fail("out of memory");
	if (chance(&sim->rng, 70))
		sim->disk.errors = 0;
	outcome = resume_picture(sim, &pic);
	sim->disk.errors = errors;
	cow_picture_exit(&pic);
	if (outcome == LIVE)
		go(sim);
	return outcome;
}

/* After a crash: go on one way or the other. */
static bool come_back(struct sim *sim)
{
	enum outcome outcome;
	u32 tries;

	for (tries = 0;; tries++) {
		crash(sim);
		if (tries > 5 || chance(&sim->rng, 25)) {
			finish_offline(sim, chance(&sim->rng, 30));
			return false;
		}
		outcome = resume(sim);
		if (outcome != AGAIN)
			return outcome == LIVE;
	}
}

/* ---- enter --------------------------------------------------------------- */

static void take_snapshot(struct sim *sim)
{
	static const u32 hidden[] = { 0, 8, 128 };	/* sectors */
	u64 block;
	u32 i;

	memcpy(sim->snap, sim->disk.view, sim->sectors * SECTOR);
	memcpy(sim->snap_known, sim->live.known, sim->sectors);
	for (block = 0; block < sim->nr_blocks; block++)
		sim->was_free[block] =
			cow_map_get(&sim->cow.map, block) == COW_FREE;
	for (i = 0; i < ARRAY_SIZE(hidden); i++)
		if (hidden[i] < sim->sectors)
			sim->was_free[hidden[i] / sim->block_sectors] = 0;
}

static void trim_phase(struct sim *sim)
{
	u32 i, last, nr = sim->comb ? 0 : 6 + rnd(&sim->rng, 15);

	sim->ops_left = rnd(&sim->rng, 8);
	while (sim->ops_left)
		machine_step(sim);
	for (i = 0; i < nr; i++)
		user_trim(sim, rnd(&sim->rng, sim->nr_blocks),
				1 + rnd(&sim->rng, chance(&sim->rng, 50) ? 6 : 40));
	/* Many extents: the free map nearly fills a page. */
	last = 2 * (COW_PAGE_RECORDS - 4 - rnd(&sim->rng, 25));
	for (i = 10; sim->comb && i < last && i < sim->nr_blocks; i += 2)
		user_trim(sim, i, 1);
	/* The target rounds inward: a short last block is never free. */
	if (sim->sectors % sim->block_sectors)
		cow_map_replace(&sim->cow.map, sim->nr_blocks - 1, 1, COW_FREE,
				COW_PROTECTED);
	sim->ops_left = rnd(&sim->rng, 8);
	while (sim->ops_left)
		machine_step(sim);
	machine_drain(sim);
}

/* The log is there or not; either is true as long as what it names is kept. */
static void get_stuck(struct sim *sim)
{
	machine_note_start(sim);
	sim->stuck = true;
	memset(sim->lost, 1, sizeof(sim->lost));
	stats.enters_stuck++;
	judge_now(sim);
	go(sim);
}

/* True if it is neither entered nor left. */
static bool enter_failed(struct sim *sim, int r, u64 have, u64 needed)
{
	if (r == -EIO ? !sim->errors_seen : r != -ENOSPC || have >= needed + 3)
		fail("enter: %d, %llu of %llu blocks free", r,
		     (unsigned long long)have, (unsigned long long)needed);
	stats.enter_errors++;
	if (sim->cow.failed) {
		get_stuck(sim);
		return true;
	}
	sim->phase = PHASE_PLAIN;
	machine_drain(sim);
	judge_now(sim);
	return false;
}

/* Were there more free extents than are remembered? */
static bool forgetful(const struct sim *sim)
{
	u64 i, known = 0, were_free = 0;

	for (i = 0; i < sim->cow.nr_freemap; i++)
		known += sim->cow.freemap[i].nr;
	for (i = 0; i < sim->nr_blocks; i++)
		were_free += sim->was_free[i];
	return known < were_free;
}

static bool enter(struct sim *sim)
{
	u32 errors = sim->disk.errors;
	u64 needed, have;
	u8 uuid[16];
	u32 i;
	int r;

	trim_phase(sim);
	/* Most errors are to hit what comes later. */
	if (chance(&sim->rng, 80))
		sim->disk.errors = 0;
	for (i = 0; i < 16; i++)
		uuid[i] = (u8)rng_next(&sim->rng);
	take_snapshot(sim);
	have = cow_map_nr_free(&sim->cow.map);
	if (chance(&sim->rng, 25))
		sim->disk.cut_at = sim->disk.ios + rnd(&sim->rng, 40);
	sim->phase = PHASE_ENTERING;
	TRACE("enter, %llu blocks free", (unsigned long long)have);
	sim->errors_seen = false;
	/* What comes before the header is written is not so interesting. */
	sim->disk.lose_later = !sim->no_errors && chance(&sim->rng, 20);
	if (!sim->no_errors && chance(&sim->rng, 5))
		disk_lose(&sim->disk, 25);
	r = bow_enter(&sim->cow, uuid, 1700000000, &needed);
	sim->disk.errors = errors;
	sim->disk.bad_nr = 0;
	sim->disk.lose_later = false;
	TRACE("enter: %d", r);
	if (sim->disk.dead) {
		stats.enter_cuts++;
		return come_back(sim);
	}
	sim->disk.cut_at = ~0ULL;
	if (!r) {
		stats.enters++;
		stats.forgetful += forgetful(sim);
		sim->resumed = false;
		memset(sim->discarded, 0, sizeof(sim->discarded));
		sim->phase = PHASE_ACTIVE;
		machine_note_start(sim);
		judge_now(sim);
		go(sim);
		return true;
	}
	return enter_failed(sim, r, have, needed);
}

/* ---- a segment ----------------------------------------------------------- */

static void steps(struct sim *sim, u32 ops, u32 more)
{
	sim->ops_left = ops;
	while (sim->ops_left && !sim->disk.dead && !sim->cow.passing)
		machine_step(sim);
	for (; more && !sim->disk.dead; more--)
		machine_step(sim);
}

/* FITRIM: the filesystem offers what it does not need, in pieces. */
static void fitrim(struct sim *sim)
{
	u32 i, nr = rnd(&sim->rng, 20);

	for (i = 0; i < nr; i++)
		user_discard(sim);
}

static void reclaim(struct sim *sim)
{
	TRACE("reclaim");
	fitrim(sim);
	steps(sim, rnd(&sim->rng, 4), 0);
	sim->ops_left = 0;
	machine_drain(sim);
	if (sim->disk.dead || sim->cow.passing)
		return;
	disk_flush_upto(&sim->disk, sim->disk.order);
	bow_reclaim(&sim->cow, sim->discarded);
	stats.reclaims++;
	stats.reclaims_resumed += sim->resumed;
	cow_release_held(&sim->cow, 0);
	cow_turn(&sim->cow);
}

static void clean_stop(struct sim *sim)
{
	sim->ops_left = 0;
	sim->suspended = true;
	sim->cow.holding = false;
	sim->cow.hold_error = -EIO;
	cow_release_held(&sim->cow, -EIO);
	machine_drain(sim);
	sim->cow.holding = true;
	sim->cow.hold_error = 0;
	sim->suspended = false;
}

/* The checkpoint was given up live: the same device, ready for another. */
static void settle(struct sim *sim)
{
	static const struct redirect nowhere;

	steps(sim, 0, 10);
	sim->ops_left = 5;
	while (sim->ops_left && !sim->disk.dead)
		machine_step(sim);
	clean_stop(sim);
	if (sim->disk.dead)
		return;
	live_check(&sim->live, sim->disk.view, &nowhere, &sim->disk,
		   true, "after a live commit");
	stats.collisions += sim->cow.stats.collisions;
	sim->engine = false;
	bow_settle(&sim->cow);
	stats.second_checkpoints++;
	machine_drain(sim);
	judge_now(sim);
}

/* Until the checkpoint has ended, one way or the other. */
static void checkpoint(struct sim *sim, u32 *ops)
{
	struct rng *rng = &sim->rng;
	bool live = true;

	while (live && *ops) {
		u32 nr = min(*ops, 1 + rnd(rng, chance(rng, 50) ? 10 : 50));
		u32 next = rnd(rng, 100);

		*ops -= nr;
		if (chance(rng, 25))
			sim->disk.cut_at = sim->disk.ios + rnd(rng, 40);
		steps(sim, nr, rnd(rng, 25));
		if (!sim->disk.dead && !sim->cow.passing &&
		    next < (sim->stuck ? 25 : 10)) {
			machine_commit(sim);
			steps(sim, 3, 5);
		} else if (!sim->disk.dead && next < 25) {
			reclaim(sim);
		}
		if (!sim->disk.dead && sim->cow.passing) {
			settle(sim);
			if (!sim->disk.dead)
				return;
		}
		if (!sim->disk.dead && next >= 25 && next < 35) {
			clean_stop(sim);
			next = 40;
		}
		if (sim->disk.dead || (next >= 35 && next < 70))
			live = come_back(sim);
	}
	if (!live)
		return;
	judge_now(sim);
	crash(sim);
	finish_offline(sim, chance(rng, 20));
}

void run_one(struct sim *sim, u64 seed, u32 max_ops, bool no_errors)
{
	u32 ops, epochs;

	memset(sim, 0, sizeof(*sim));
	current = sim;
	sim->seed = seed;
	sim->rng.state = seed * 0x9e3779b97f4a7c15ULL + 1;
	sim->judge_rng.state = seed + 77;
	choose_shape(sim);
	sim->no_errors = no_errors;
	if (no_errors)
		sim->disk.errors = 0;
	live_init(&sim->live, sim->sectors);
	sim->snap = model_alloc(sim->sectors * SECTOR);
	sim->snap_known = model_alloc(sim->sectors);
	sim->was_free = model_alloc(sim->nr_blocks);
	sim->role = model_alloc(sim->nr_blocks);
	sim->run_start = model_alloc(sim->nr_blocks * sizeof(*sim->run_start));
	judge_start(sim);
	fill_device(sim);
	TRACE("seed %llu: %llu blocks of %u sectors, %llu sectors, atomic %u, errors %u",
	      (unsigned long long)seed, (unsigned long long)sim->nr_blocks,
	      sim->block_sectors, (unsigned long long)sim->sectors,
	      sim->disk.io.atomic_sectors, sim->disk.errors);
	ops = 5 + rnd(&sim->rng, chance(&sim->rng, 50) ? 40 : 200);
	ops = min(ops, max_ops);
	boot_plain(sim);
	for (epochs = 1 + rnd(&sim->rng, 4); epochs && ops; epochs--)
		if (enter(sim))
			checkpoint(sim, &ops);
	machine_stop(sim);
	judge_stop(sim);
	disk_exit(&sim->disk);
	live_exit(&sim->live);
	free(sim->snap);
	free(sim->snap_known);
	free(sim->was_free);
	free(sim->role);
	free(sim->run_start);
	stats.runs++;
}
