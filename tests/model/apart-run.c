// SPDX-License-Identifier: GPL-2.0-only
/* One run: takes, writes, crashes and what comes after. */
#include <getopt.h>
#include <malloc.h>
#include <stdarg.h>

#include "apart.h"

struct stats stats;
struct apart_stats apart_stats;
struct apart *apart_current;

static struct apart sim_;
static bool no_errors;

void fail(const char *format, ...)
{
	va_list ap;

	printf("FAILED, seed %llu, state %llu: ", (unsigned long long)sim_.seed,
	       (unsigned long long)apart_stats.states);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	exit(1);
}

/* A disk of the other explorer asks for these; ours tell nobody. */
void judge_event(struct sim *sim)
{
	(void)sim;
}

void user_background(struct sim *sim)
{
	(void)sim;
}

/* ---- the devices ----------------------------------------------------------- */

static void choose_errors(struct apart *sim)
{
	struct rng *rng = &sim->rng;
	u32 errors = 5 + (u32)rnd(rng, chance(rng, 60) ? 40 : 300);

	if (no_errors || sim->large || !chance(rng, 45))
		return;
	sim->disk.store.errors = errors;
	sim->disk.store.error_kinds = chance(rng, 60) ? 1U << rnd(rng, ERROR_KINDS) :
				      (u32)rnd(rng, 1U << ERROR_KINDS);
	if (chance(rng, 30)) {
		sim->disk.origin.errors = errors;
		sim->disk.origin.error_kinds = ERROR_READ | ERROR_SYNC;
	}
	sim->memory_errors = chance(rng, 50) ? 40 : 0;
}

static void choose_shape(struct apart *sim)
{
	struct rng *rng = &sim->rng;
	u32 atomic = chance(rng, 85) ? 1 : 8;
	u64 blocks = 10 + rnd(rng, chance(rng, 80) ? 30 : 120);

	/* So much that even a large page is filled. */
	sim->large = COW_PAGE_RECORDS > 100 && chance(rng, 20);
	if (sim->large)
		blocks = 2 * COW_PAGE_RECORDS + rnd(rng, 40);
	sim->block_sectors = chance(rng, 75) ? 8 : 16;
	sim->nr_blocks = blocks;
	sim->sectors = blocks * sim->block_sectors;
	if (chance(rng, 40) && sim->block_sectors > atomic)
		sim->sectors -= atomic * (1 + rnd(rng, sim->block_sectors / atomic - 1));
	/* From far too small to more than enough, and not in whole blocks. */
	sim->store_sectors = sim->block_sectors *
		(2 + rnd(rng, chance(rng, 40) ? blocks : 3 * blocks)) + rnd(rng, 8) / atomic * atomic;
	if (sim->large)
		sim->store_sectors = 2 * blocks * sim->block_sectors;
	pair_init(&sim->disk, sim->store_sectors, sim->sectors, atomic, rng);
	sim->disk.origin.live = &sim->live;
	choose_errors(sim);
	sim->max_writers = 1 + (u32)rnd(rng, 12);
	sim->judge_percent = sim->large ? 1 : chance(rng, 5) ? 100 : 1 + (u32)rnd(rng, 10);
}

static void fill(struct apart *sim)
{
	struct disk *origin = &sim->disk.origin, *store = &sim->disk.store;
	u64 sector;

	for (sector = 0; sector < sim->sectors; sector++) {
		u64 tag = 1 + sector % 7 + (sector << 8);

		fill_sector(origin->stable + sector * SECTOR, tag);
		sim->live.tag[sector] = tag;
		sim->live.known[sector] = 1;
	}
	for (sector = 0; sector < sim->store_sectors; sector++)
		fill_sector(store->stable + sector * SECTOR, rng_next(&sim->rng));
	memcpy(origin->view, origin->stable, sim->sectors * SECTOR);
	memcpy(store->view, store->stable, sim->store_sectors * SECTOR);
	sim->next_tag = 1ULL << 32;
}

/* ---- crashes --------------------------------------------------------------- */

static void crash(struct apart *sim)
{
	apart_stop(sim);
	apart_judge(sim);
	if (chance(&sim->rng, 30)) {
		TRACE("the kernel crashes");
		apart_stats.kernel_crashes++;
		pair_crash_without_cut(&sim->disk);
		return;
	}
	TRACE("the power is cut");
	apart_stats.power_cuts++;
	apart_real_cut(sim);
}

enum outcome {
	GONE,
	LIVE,
	AGAIN,
};

static enum outcome resume_picture(struct apart *sim, struct cow_picture *pic)
{
	enum cow_log_error error = cow_picture_read(pic, COW_CHECK_TAIL);
	u64 failures = pair_failures(&sim->disk);
	int r;

	if (pair_dead(&sim->disk) || (error == COW_LOG_IO && failures))
		return AGAIN;
	if (error == COW_LOG_NO_MAGIC) {
		if (sim->phase == APART_ACTIVE)
			fail("resume: the log is gone");
		sim->phase = APART_NONE;
		return GONE;
	}
	if (error)
		fail("resume: %s", cow_log_strerror(error));
	/* What comes before has been read: few errors hit what is written next. */
	if (sim->memory_errors && chance(&sim->rng, 40))
		disk_lose(&sim->disk.store, 2);
	apart_arm(&sim->cow, sim->block_sectors);
	sim->used = pic->log.head.store_sectors / sim->block_sectors;
	r = cow_apart_resume(&sim->cow, pic);
	if (pair_dead(&sim->disk))
		return AGAIN;
	if (r == -EBUSY && sim->may_be_marked)
		return AGAIN;
	if (r) {
		if (r != -EIO || pair_failures(&sim->disk) == failures)
			fail("resume: %d", r);
		apart_stats.resume_errors++;
		return AGAIN;
	}
	sim->phase = APART_ACTIVE;
	sim->engine = true;
	apart_stats.resumes++;
	return LIVE;
}

static enum outcome resume(struct apart *sim)
{
	struct cow_picture pic;
	enum outcome outcome;

	TRACE("resume");
	apart_start(sim);
	if (chance(&sim->rng, 15))
		sim->disk.cut_at = sim->disk.ios + rnd(&sim->rng, 10);
	if (cow_picture_init(&pic, &sim->disk.io))
		fail("out of memory");
	outcome = resume_picture(sim, &pic);
	sim->disk.store.bad_nr = 0;
	cow_picture_exit(&pic);
	if (outcome != AGAIN)
		sim->disk.cut_at = ~0ULL;
	return outcome;
}

/* The log is ended by the tool, one way or the other. */
static void finish_offline(struct apart *sim)
{
	u32 errors[] = { sim->disk.store.errors, sim->disk.origin.errors };

	TRACE("offline");
	sim->disk.store.errors = sim->disk.origin.errors = 0;
	apart_finish_disk(sim, chance(&sim->rng, 30));
	sim->disk.store.errors = errors[0];
	sim->disk.origin.errors = errors[1];
	sim->phase = APART_NONE;
	sim->may_be_marked = false;
}

static bool log_is_there(struct apart *sim)
{
	u32 errors[] = { sim->disk.store.errors, sim->disk.origin.errors };
	struct cow_picture pic;
	enum cow_log_error error;

	sim->disk.store.errors = sim->disk.origin.errors = 0;
	if (cow_picture_init(&pic, &sim->disk.io))
		fail("out of memory");
	error = cow_picture_read(&pic, COW_CHECK_ALL);
	cow_picture_exit(&pic);
	sim->disk.store.errors = errors[0];
	sim->disk.origin.errors = errors[1];
	return error != COW_LOG_NO_MAGIC;
}

/* After a crash: true if it goes on. */
static bool come_back(struct apart *sim)
{
	enum outcome outcome;
	u32 tries;

	for (tries = 0;; tries++) {
		crash(sim);
		if (tries > 5 || chance(&sim->rng, 30)) {
			if (!log_is_there(sim) && sim->phase == APART_ACTIVE)
				fail("the log is gone");
			if (log_is_there(sim))
				finish_offline(sim);
			sim->phase = APART_NONE;
			return false;
		}
		outcome = resume(sim);
		if (outcome == AGAIN)
			continue;
		if (outcome == GONE)
			apart_stop(sim);
		return outcome == LIVE;
	}
}

/* ---- a snapshot ------------------------------------------------------------ */

static void writes(struct apart *sim, u32 nr)
{
	while (nr-- && !pair_dead(&sim->disk))
		apart_step(sim, true);
}

/* True if it is taken. */
static bool take_snapshot(struct apart *sim)
{
	u32 i;
	int r;

	/* A store with a log, ended or not, is not taken for another one. */
	if (log_is_there(sim)) {
		if (!sim->may_be_marked)
			fail("a log is left over");
		finish_offline(sim);
	}
	apart_start(sim);
	writes(sim, (u32)rnd(&sim->rng, 30));
	apart_drain(sim);
	memcpy(sim->snap, sim->disk.origin.view, sim->sectors * SECTOR);
	for (i = 0; i < sizeof(sim->uuid); i++)
		sim->uuid[i] = (u8)rng_next(&sim->rng);
	sim->phase = APART_BEGINNING;
	sim->may_be_marked = false;
	if (chance(&sim->rng, 20))
		sim->disk.cut_at = sim->disk.ios + rnd(&sim->rng, 12);
	TRACE("take");
	apart_arm(&sim->cow, sim->block_sectors);
	r = cow_apart_begin(&sim->cow, sim->uuid, 1700000000);
	TRACE("take: %d", r);
	if (pair_dead(&sim->disk)) {
		apart_stats.take_cuts++;
		return come_back(sim);
	}
	sim->disk.cut_at = ~0ULL;
	if (r) {
		apart_stats.take_errors += r == -EIO;
		apart_stats.too_small += r == -ENOSPC;
		if (r != -ENOSPC && (r != -EIO || !pair_failures(&sim->disk)))
			fail("take: %d", r);
		if (sim->phase != APART_STALE)
			sim->phase = APART_NONE;
		apart_judge(sim);
		writes(sim, 10);
		apart_drain(sim);
		apart_stop(sim);
		return false;
	}
	sim->phase = APART_ACTIVE;
	sim->engine = true;
	apart_stats.takes++;
	apart_judge(sim);
	return true;
}

/* Another target's writes come first; only then are we told. */
static void replace_table(struct apart *sim)
{
	TRACE("the table is another one");
	sim->phase = APART_NONE;
	writes(sim, 12);
	apart_drain(sim);
	sim->engine = true;
	apart_stats.replaced++;
	if (!pair_dead(&sim->disk))
		cow_apart_end(&sim->cow, -ENODEV);
}

/* While the origin is suspended there is no log; nothing is written either. */
static void suspend_origin(struct apart *sim)
{
	int r;

	apart_drain(sim);
	if (pair_dead(&sim->disk) || sim->cow.passing)
		return;
	TRACE("withdraw");
	sim->engine = false;
	r = cow_apart_withdraw(&sim->cow);
	if (!r && log_is_there(sim) && !pair_dead(&sim->disk))
		fail("a log that was withdrawn is there");
	if (!r && !pair_dead(&sim->disk) && chance(&sim->rng, 30)) {
		replace_table(sim);
		return;
	}
	if (!r) {
		TRACE("reinstate");
		r = cow_apart_reinstate(&sim->cow);
	}
	sim->engine = true;
	if (pair_dead(&sim->disk))
		return;
	if (r && r != -EIO)
		fail("suspend: %d", r);
	if (!r)
		sim->phase = APART_ACTIVE;
	apart_stats.suspends += !r;
}

/* Over: what is written now is just written. */
static void after_the_end(struct apart *sim)
{
	writes(sim, 15);
	if (pair_dead(&sim->disk))
		return;
	apart_drain(sim);
	apart_judge(sim);
}

static void snapshot(struct apart *sim)
{
	struct rng *rng = &sim->rng;
	bool on = take_snapshot(sim);

	if (on && sim->large)
		writes(sim, 1200);
	while (on) {
		u32 next = (u32)rnd(rng, 100);

		if (chance(rng, 20))
			sim->disk.cut_at = sim->disk.ios + rnd(rng, 20);
		writes(sim, 1 + (u32)rnd(rng, chance(rng, 50) ? 20 : 120));
		if (!pair_dead(&sim->disk) && next < 15 && !sim->cow.passing)
			apart_forget(sim);
		else if (!pair_dead(&sim->disk) && next < 30)
			apart_drain(sim);
		else if (!pair_dead(&sim->disk) && next < 40)
			suspend_origin(sim);
		if (!pair_dead(&sim->disk) && sim->cow.passing)
			after_the_end(sim);
		if (sim->phase == APART_STALE)
			break;
		if (pair_dead(&sim->disk) || next >= 45 || sim->cow.passing)
			on = come_back(sim);
	}
	apart_stop(sim);
}

static void run_seed(u64 seed)
{
	struct apart *sim = &sim_;
	u32 nr;

	memset(sim, 0, sizeof(*sim));
	apart_current = sim;
	sim->seed = seed;
	sim->rng.state = seed * 0x9e3779b97f4a7c15ULL + 1;
	choose_shape(sim);
	live_init(&sim->live, sim->sectors);
	sim->snap = model_alloc(sim->sectors * SECTOR);
	apart_judge_start(sim);
	fill(sim);
	TRACE("seed %llu: %llu blocks of %u sectors, %llu sectors, store %llu",
	      (unsigned long long)seed, (unsigned long long)sim->nr_blocks,
	      sim->block_sectors, (unsigned long long)sim->sectors,
	      (unsigned long long)sim->store_sectors);
	for (nr = 1 + (u32)rnd(&sim->rng, 4); nr && sim->phase != APART_STALE; nr--)
		snapshot(sim);
	apart_stop(sim);
	apart_judge_stop();
	pair_exit(&sim->disk);
	live_exit(&sim->live);
	free(sim->snap);
	apart_stats.runs++;
}

/* ---- what was reached ------------------------------------------------------ */

#define KIND(name) { #name, &apart_stats.name }

static const struct kind {
	const char *name;
	const u64 *count;
} kinds[] = {
	KIND(runs), KIND(states), KIND(events), KIND(subsets), KIND(sweeps),
	KIND(sweep_cuts), KIND(takes), KIND(take_errors), KIND(take_cuts), KIND(too_small),
	KIND(resumes), KIND(resume_cuts), KIND(resume_errors), KIND(restores),
	KIND(restore_cuts), KIND(offline_ends), KIND(offline_end_cuts),
	KIND(finish_errors), KIND(writes), KIND(copies), KIND(rollovers), KIND(forgets),
	KIND(suspends), KIND(replaced),	KIND(full), KIND(lost), KIND(no_memory), KIND(marked), KIND(stale), KIND(voids), KIND(lingers), KIND(fua_backups), KIND(fua_pages), KIND(copies_ahead),
	KIND(dropped_tails), KIND(busy), KIND(power_cuts), KIND(kernel_crashes),
};

/* With pages of the real size few are ever full. */
static bool out_of_reach(const struct kind *kind)
{
	return kind->count == &apart_stats.dropped_tails && COW_PAGE_RECORDS > 100 &&
	       apart_stats.states < 1000000;
}

static int report_all(bool complete)
{
	int missing = 0;
	size_t i;

	printf("a log apart, %d records a page\n ", COW_PAGE_RECORDS);
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		printf(" %s %llu%s", kinds[i].name, (unsigned long long)*kinds[i].count,
		       i + 1 < ARRAY_SIZE(kinds) ? "," : "\n");
	for (i = 0; complete && i < ARRAY_SIZE(kinds); i++)
		if (!*kinds[i].count && !out_of_reach(&kinds[i])) {
			fprintf(stderr, "FAILED: never reached: %s\n", kinds[i].name);
			missing = 1;
		}
	return missing;
}

static const struct option options[] = {
	{ "states", required_argument, NULL, 'n' },
	{ "seed", required_argument, NULL, 's' },
	{ "runs", required_argument, NULL, 'r' },
	{ "no-errors", no_argument, NULL, 'E' },
	{ "no-shrink", no_argument, NULL, 'N' },	/* as of the other explorer */
	{ "trace", no_argument, NULL, 't' },
	{ }
};

int main(int argc, char **argv)
{
	u64 states = 20000, seed = 1, runs = ~0ULL;
	bool some = false;
	int c;

	mallopt(M_MMAP_THRESHOLD, 256 << 10);	/* a picture's buffer comes zeroed */
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		u64 number = optarg ? strtoull(optarg, NULL, 0) : 0;

		if (c == 'n')
			states = number;
		else if (c == 's')
			seed = number;
		else if (c == 'r')
			runs = number;
		else if (c == 'E')
			no_errors = true;
		else if (c == 't')
			tracing = true;
		else if (c != 'N')
			return 2;
		some |= c == 'r' || c == 'E';
	}
	if (runs != ~0ULL)
		states = ~0ULL;
	for (; runs && apart_stats.states < states; runs--, seed++)
		run_seed(seed);
	return report_all(!some && states >= 50000);
}
