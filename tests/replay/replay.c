// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which crash states a recording has, and the way through them.
 *
 * Power goes in an epoch, see epochs.c: of the writes that no flush has saved any part
 * may be there, sector by sector. Or it goes while a FUA write is under way: those
 * before it are there, of this one any sectors.
 *
 * These are states that the recorded machine could have left, not more: when a
 * write was issued is not recorded, so none of the next epoch is taken along.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>

#include "replay.h"

#define MAX_EXHAUSTIVE 12U
#define SPECIAL 8U
#define MAX_PASSES 20
#define BLOCK_SECTORS 8U

/* ---- small things -------------------------------------------------------- */

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "replay: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(2);
}

void *need(size_t size)
{
	void *p = calloc(1, size ? size : 1);

	if (!p)
		die("out of memory");
	return p;
}

/* ---- states that were judged already ------------------------------------- */

static u64 *seen;
static u64 seen_room, nr_seen;

static bool insert(u64 *table, u64 room, u64 key)
{
	u64 i = key & (room - 1);

	while (table[i] && table[i] != key)
		i = (i + 1) & (room - 1);
	if (table[i])
		return false;
	table[i] = key;
	return true;
}

static void grow(void)
{
	u64 room = seen_room ? 2 * seen_room : 1 << 16, i;
	u64 *table = need(room * sizeof(*table));

	for (i = 0; i < seen_room; i++)
		if (seen[i])
			insert(table, room, seen[i]);
	free(seen);
	seen = table;
	seen_room = room;
}

static bool is_new(u64 key)
{
	if (2 * nr_seen >= seen_room)
		grow();
	if (!insert(seen, seen_room, key | 1))
		return false;
	nr_seen++;
	return true;
}

/* ---- how many states ----------------------------------------------------- */

struct walk {
	struct run run;
	struct epochs epochs;
	u32 exhaustive;		/* all subsets of so many writes */
	u64 states;		/* wanted */
	u32 only_epoch, only_state;
};

static u64 subsets(const struct epoch *epoch)
{
	return epoch->nr < 63 ? 1ULL << epoch->nr : ~0ULL;
}

/* How many writes an epoch may have for all their subsets to be affordable. */
static void choose_exhaustive(struct walk *walk)
{
	const struct epochs *epochs = &walk->epochs;
	u32 i, most;
	u64 total;

	for (most = 1; most < MAX_EXHAUSTIVE; most++) {
		total = 0;
		for (i = epochs->first; i < epochs->nr; i++)
			if (epochs->list[i].nr <= most + 1)
				total += subsets(&epochs->list[i]);
		if (total > walk->states / 2)
			break;
	}
	walk->exhaustive = most;
}

static void apply_entries(struct image *img, const struct recording *rec, u32 from,
			  u32 to)
{
	for (; from < to; from++)
		image_apply(img, rec->entries[from].sector, rec->entries[from].data,
			    rec->entries[from].nr);
}

/* ---- making a state ------------------------------------------------------ */

static void describe(struct run *run, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void describe(struct run *run, const char *format, ...)
{
	size_t len = strlen(run->what);
	va_list args;

	va_start(args, format);
	vsnprintf(run->what + len, sizeof(run->what) - len, format, args);
	va_end(args);
}

static void put_sector(struct run *run, const struct entry *entry, u32 i)
{
	static const u8 zeroes[SECTOR];

	image_try(&run->img, entry->sector + i,
		  entry->data ? entry->data + (size_t)i * SECTOR : zeroes);
}

static void put(struct run *run, const struct entry *entry)
{
	u32 i;

	run->img.nr_writes++;
	for (i = 0; i < entry->nr; i++)
		put_sector(run, entry, i);
}

/* A first part, a last part, or any sectors. */
static void put_torn(struct run *run, const struct entry *entry)
{
	u32 i, how = rnd(&run->rng, 3), at = rnd(&run->rng, entry->nr + 1);

	run->img.nr_writes++;
	run->img.tearing = entry->flags & ENTRY_META;
	run->figures.torn++;
	for (i = 0; i < entry->nr; i++)
		if (how == 0 ? i < at : how == 1 ? i >= at : !rnd(&run->rng, 2))
			put_sector(run, entry, i);
	run->img.tearing = false;
}

static void put_one(struct run *run, const struct entry *entry, u32 i, bool torn)
{
	describe(run, " %u%s", i, torn ? "~" : "");
	if (torn)
		put_torn(run, entry);
	else
		put(run, entry);
}

static void put_subset(struct walk *walk, const struct epoch *epoch, u64 mask)
{
	struct run *run = &walk->run;
	u32 i;

	describe(run, "all FUA writes (%u); of %u others", epoch->nr_fua, epoch->nr);
	for (i = 0; i < epoch->nr_fua; i++)
		put(run, walk->epochs.fuas[i]);
	for (i = 0; i < epoch->nr; i++)
		if (mask >> i & 1)
			put_one(run, walk->epochs.writes[i], i, false);
}

/* Of the only write any sectors, another choice for each state. */
static void put_sectors(struct walk *walk, u32 state)
{
	struct run *run = &walk->run;
	const struct entry *entry = walk->epochs.writes[0];
	u32 i, mask = state * 167U;

	if (entry->nr > 8) {
		put_one(run, entry, 0, true);
		return;
	}
	describe(run, " sectors %x", mask & ((1U << entry->nr) - 1));
	run->figures.torn++;
	run->img.tearing = entry->flags & ENTRY_META;
	for (i = 0; i < entry->nr; i++)
		if (mask >> i & 1)
			put_sector(run, entry, i);
	run->img.tearing = false;
}

/* Few, half, many, all but one; whole or torn. Of origin and store not the same share. */
static void put_sample(struct walk *walk, const struct epoch *epoch, u32 state)
{
	static const u32 shares[] = { 10, 50, 90, 50, 100 };
	struct run *run = &walk->run;
	u32 share[NR_PARTS] = { shares[rnd(&run->rng, ARRAY_SIZE(shares))],
				shares[rnd(&run->rng, ARRAY_SIZE(shares))] };
	u32 tear = rnd(&run->rng, 4) * 25;
	u32 without = rnd(&run->rng, epoch->nr + 1), i;

	describe(run, "all FUA writes (%u); of %u others", epoch->nr_fua, epoch->nr);
	for (i = 0; i < epoch->nr_fua; i++)
		put(run, walk->epochs.fuas[i]);
	if (epoch->nr == 1) {
		put_sectors(walk, state);
		return;
	}
	for (i = 0; i < epoch->nr; i++) {
		const struct entry *entry = walk->epochs.writes[i];

		if (i != without && rnd(&run->rng, 100) < share[part_of(&run->rec, entry)])
			put_one(run, entry, i, entry->nr > 1 && rnd(&run->rng, 100) < tear);
	}
}

static void put_fua_prefix(struct walk *walk, const struct epoch *epoch)
{
	struct run *run = &walk->run;
	u32 nr = rnd(&run->rng, epoch->nr_fua), i;

	describe(run, "of %u FUA writes", epoch->nr_fua);
	for (i = 0; i <= nr; i++)
		put_one(run, walk->epochs.fuas[i], i, i == nr);
}

static void make_state(struct walk *walk, const struct epoch *epoch, u32 state)
{
	bool all = epoch->nr <= walk->exhaustive;

	if (all && state < subsets(epoch)) {
		put_subset(walk, epoch, state);
		walk->run.figures.exhaustive++;
		return;
	}
	if (epoch->nr_fua && (!epoch->nr || !rnd(&walk->run.rng, 4)))
		put_fua_prefix(walk, epoch);
	else
		put_sample(walk, epoch, state);
	walk->run.figures.sampled++;
}

/* ---- the way through ----------------------------------------------------- */

/* No log for a while? There always is when one of bow's is gone on with. */
static bool may_be_between(const struct run *run, const struct epoch *epoch)
{
	const struct recording *rec = &run->rec;

	if (rec->entries[epoch->end - 1].flags & ENTRY_GAP)
		return true;
	return rec->point[POINT_TAKEN] >= epoch->end && (!run->base || has_store(rec));
}

static void expect(struct run *run, const struct epoch *epoch)
{
	const u32 *point = run->rec.point;
	bool between = may_be_between(run, epoch);

	run->must_have_none = point[POINT_COMMITTED] < epoch->end;
	run->may_commit = point[POINT_COMMIT] < epoch->end;
	run->may_have_none = run->may_commit || between;
	run->untouched = !run->base && point[POINT_TAKEN] >= epoch->end;
	if (run->must_have_none)
		run->figures.committed++;
	else if (run->may_commit)
		run->figures.committing++;
	else if (point[POINT_TAKEN] < epoch->end && between)
		run->figures.suspended++;
	else if (point[POINT_TAKEN] < epoch->end)
		run->figures.active++;
	else if (run->base)
		run->figures.resuming++;
	else
		run->figures.entering++;
}

static void begin_state(struct walk *walk, u32 e, u32 state)
{
	struct run *run = &walk->run;

	run->epoch = e;
	run->state = state;
	run->what[0] = 0;
	run->rng.state = run->seed ^ ((u64)e << 40) ^ ((u64)state << 8);
	rng_next(&run->rng);
	make_state(walk, &walk->epochs.list[e], state);
}

/* False if it is the same as an earlier one. */
static bool one_state(struct walk *walk, u32 e, u32 state)
{
	struct run *run = &walk->run;
	const struct epoch *epoch = &walk->epochs.list[e];
	struct figures before = run->figures;

	run->img.hashing = true;
	begin_state(walk, e, state);
	run->img.hashing = false;
	expect(run, epoch);
	if (!is_new(run->img.hash ^ (run->may_have_none + 2 * run->must_have_none) * 0x9e37ULL)) {
		image_back(&run->img, 0);
		run->figures = before;
		return false;
	}
	run->figures.states++;
	judge_state(run);
	image_back(&run->img, 0);
	return true;
}

/* Nothing but the header of a log on a store: that is how it begins, rests and ends. */
static bool writes_header(const struct recording *rec, const struct epoch *epoch)
{
	u32 i;

	for (i = epoch->start; i < epoch->end; i++)
		if (rec->entries[i].sector == rec->origin_sectors && rec->entries[i].nr == 1)
			return true;
	return false;
}

/* Entering and committing have few epochs, and much in each of them. */
static bool special(const struct walk *walk, const struct epoch *epoch)
{
	const struct recording *rec = &walk->run.rec;

	if (rec->point[POINT_TAKEN] >= epoch->start)
		return true;
	if (has_store(rec))
		return writes_header(rec, epoch);
	return rec->point[POINT_COMMIT] < epoch->end &&
	       rec->point[POINT_COMMITTED] >= epoch->start;
}

static u32 attempts(const struct walk *walk, u32 e, u32 per, bool first)
{
	const struct epoch *epoch = &walk->epochs.list[e];

	if (e < walk->epochs.first || epoch->unclear || (!epoch->nr && !epoch->nr_fua))
		return 0;
	if (special(walk, epoch))
		per = SPECIAL * per;
	if (first && epoch->nr <= walk->exhaustive && subsets(epoch) > per)
		return (u32)subsets(epoch);
	return per;
}

static void restart(struct walk *walk)
{
	struct run *run = &walk->run;

	image_exit(&run->img);
	image_init(&run->img, run->rec.sectors, run->rec.origin_sectors);
	if (run->base)
		image_apply(&run->img, 0, run->base, run->rec.sectors);
	epochs_restart(&walk->epochs);
}

/* From here on states are made. Of what was written before, some may not be there. */
static void begin_states(struct walk *walk)
{
	struct run *run = &walk->run;
	u32 i;

	if (run->base)
		base_note_since(run);
	else
		memset(run->img.since, 0, run->rec.sectors);
	for (i = 0; i < walk->epochs.nr_writes; i++)
		memset(run->img.since + walk->epochs.writes[i]->sector, 1,
		       walk->epochs.writes[i]->nr);
}

static bool is_unsettled(const struct epochs *epochs)
{
	const struct entry *take = &epochs->rec->entries[epochs->rec->point[POINT_TAKE]];

	return epochs->nr_carried && epochs->writes[0] < take &&
	       part_of(epochs->rec, epochs->writes[0]) == PART_ORIGIN;
}

static void enter(struct walk *walk, u32 e)
{
	epochs_enter(&walk->epochs, e);
	if (e == walk->epochs.first)
		begin_states(walk);
	walk->run.unsettled = is_unsettled(&walk->epochs);
}

/* All that stands before epoch @e. */
static void go_to(struct walk *walk, u32 e)
{
	u32 i;

	restart(walk);
	for (i = 0; i <= e; i++)
		enter(walk, i);
}

/* @from: number of the first state to make in each epoch. */
static void pass(struct walk *walk, u32 *from, u32 per)
{
	u32 e, i;

	restart(walk);
	for (e = 0; e < walk->epochs.nr; e++) {
		u32 nr = attempts(walk, e, per, !from[e]);

		enter(walk, e);
		for (i = 0; i < nr; i++)
			one_state(walk, e, from[e] + i);
		from[e] += nr;
	}
}

/* What has been judged already is not counted, so it may take a few passes. */
static void all_states(struct walk *walk)
{
	u32 *from = need(walk->epochs.nr * sizeof(*from)), passes;
	u32 nr = walk->epochs.nr - walk->epochs.first;

	for (passes = 0; passes < MAX_PASSES; passes++) {
		u64 left = walk->states - walk->run.figures.states;

		pass(walk, from, (u32)(left / nr) + 1);
		if (walk->run.figures.states >= walk->states)
			break;
	}
	free(from);
}

static void only_one(struct walk *walk)
{
	u32 e = walk->only_epoch;

	if (e >= walk->epochs.nr)
		die("there are %u epochs", walk->epochs.nr);
	go_to(walk, e);
	one_state(walk, e, walk->only_state);
	printf("epoch %u state %u: %s: as it must be\n", e, walk->only_state,
	       walk->run.what);
}

/* ---- a state to be resumed ----------------------------------------------- */

#define SAMPLES 4U
#define FIRST_SAMPLE (1U << MAX_EXHAUSTIVE)	/* no subset has that number */

/* Is it better than what was found so far, and so younger than that? */
static bool to_be_resumed(struct walk *walk, u32 e, u32 state, bool *missing)
{
	u32 nr;

	begin_state(walk, e, state);
	nr = missing_backups(&walk->run);
	image_back(&walk->run.img, 0);
	if (nr == NOWHERE || (*missing && !nr))
		return false;
	*missing |= !!nr;
	return true;
}

/* Of epoch @e the last state that may be gone on with, or NOWHERE. */
static u32 best_of(struct walk *walk, u32 e, bool *missing)
{
	const struct epoch *epoch = &walk->epochs.list[e];
	u32 s, best = NOWHERE;

	if (epoch->start <= walk->run.rec.point[POINT_TAKEN] || !epoch->nr || epoch->unclear)
		return NOWHERE;
	for (s = FIRST_SAMPLE; s < FIRST_SAMPLE + SAMPLES; s++)
		if (to_be_resumed(walk, e, s, missing))
			best = s;
	return best;
}

/* The youngest state in which a backup is missing; or else the youngest one. */
static void make_base(struct walk *walk, const char *path, const char *checkpoint)
{
	const struct epochs *epochs = &walk->epochs;
	u32 e, s, best = NOWHERE, best_state = 0;
	bool missing = false;

	restart(walk);
	for (e = 0; e < epochs->nr; e++) {
		if (epochs->list[e].end > walk->run.rec.point[POINT_COMMIT])
			break;
		enter(walk, e);
		s = best_of(walk, e, &missing);
		if (s != NOWHERE) {
			best = e;
			best_state = s;
		}
	}
	if (best == NOWHERE)
		die("%s: nothing to be resumed", walk->run.rec.path);
	go_to(walk, best);
	begin_state(walk, best, best_state);
	printf("to be resumed: epoch %u of %u, %u backups missing: %s\n", best,
	       epochs->nr, missing_backups(&walk->run), walk->run.what);
	base_save(&walk->run, path, checkpoint);
}

/* ---- before the first state ---------------------------------------------- */

/* All of the recording, one write after the other, gives what the disk has. */
static void check_recording(struct run *run, const u8 *disk)
{
	u32 s;

	if (run->base)
		image_apply(&run->img, 0, run->base, run->rec.sectors);
	apply_entries(&run->img, &run->rec, 0, run->rec.nr);
	for (s = 0; s < run->rec.sectors; s++)
		if (memcmp(run->img.data + (size_t)s * SECTOR, disk + (size_t)s * SECTOR,
			   SECTOR))
			die("%s: not all is recorded: sector %u of the disk is another",
			    run->rec.path, s);
}

/* The free map of the log must be one that ext4 agrees with. */
static void check_free_map(const struct run *run)
{
	u32 b, nr = run->rec.sectors / BLOCK_SECTORS, free_blocks = 0;
	u8 *ext4_free = need(nr);

	read_ext4_free(run, run->snap, ext4_free);
	for (b = 0; b < nr; b++) {
		free_blocks += run->was_free[b];
		if (run->was_free[b] && !ext4_free[b])
			die("%s: block %u is in the free map, and in use", run->rec.path, b);
	}
	printf("checkpoint: %u of %u blocks were free\n", free_blocks, nr);
	free(ext4_free);
}

/* As if all writes up to that one had been saved. */
static void all_up_to(struct walk *walk, u32 index)
{
	restart(walk);
	apply_entries(&walk->run.img, &walk->run.rec, 0, index + 1);
}

static void learn_checkpoint(struct walk *walk)
{
	struct run *run = &walk->run;
	const u32 *point = run->rec.point;
	size_t bytes = (size_t)run->rec.sectors * SECTOR;

	all_up_to(walk, point[POINT_TAKE]);
	run->snap = need(bytes);
	memcpy(run->snap, run->img.data, bytes);
	run->was_free = need(run->rec.sectors / BLOCK_SECTORS);
	all_up_to(walk, point[POINT_TAKEN]);
	if (!read_free_map(&run->img, run->was_free))
		die("%s: no good log after it was taken", run->rec.path);
	if (!has_store(&run->rec))
		check_free_map(run);
	fsck_clean(run, run->snap);
}

static void learn_resumed(struct walk *walk)
{
	all_up_to(walk, walk->run.rec.point[POINT_TAKEN]);
	base_check(&walk->run);
}

static void learn_view(struct run *run, const char *path)
{
	u64 size;

	run->view = read_file(path, &size);
	if (size < (u64)run->rec.sectors * SECTOR)
		die("%s: short", path);
	run->view_free = need(run->rec.sectors / BLOCK_SECTORS);
	read_ext4_free(run, run->view, run->view_free);
	fsck_clean(run, run->view);
}

/*
 * Or else an epoch would not be one write. The first mark, which passes bow by,
 * is made with a flush.
 */
static void check_through(const struct recording *rec)
{
	u32 i;

	for (i = rec->point[POINT_TAKE] + 2; i < rec->nr; i++)
		if (rec->entries[i].flags & (ENTRY_FLUSH | ENTRY_FUA))
			die("%s: entry %u: the disk had a volatile cache", rec->path, i);
}

/* ---- reports ------------------------------------------------------------- */

static void leave_state(const struct run *run)
{
	FILE *f = run->failed ? fopen(run->failed, "wb") : NULL;

	if (!f)
		return;
	fwrite(run->img.data, SECTOR, run->rec.sectors, f);
	fclose(f);
}

static struct walk walk = { .only_epoch = NOWHERE };
static char again[4096];	/* the options to make a state again */

void fail(struct run *run, const char *format, ...)
{
	va_list args;

	printf("FAILED %s: epoch %u (entries %u to %u), state %u: ", run->rec.path,
	       run->epoch, walk.epochs.list ? walk.epochs.list[run->epoch].start : 0,
	       walk.epochs.list ? walk.epochs.list[run->epoch].end - 1 : 0, run->state);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n  kept: %s\n  again: %s --seed %llu --exhaustive %u --epoch %u --state %u\n",
	       run->what, again, (unsigned long long)run->seed, walk.exhaustive,
	       run->epoch, run->state);
	fflush(stdout);
	image_back(&run->img, 0);
	run->img.hashing = false;
	if (walk.epochs.list) {
		run->rng.state = run->seed ^ ((u64)run->epoch << 40) ^
				 ((u64)run->state << 8);
		rng_next(&run->rng);
		make_state(&walk, &walk.epochs.list[run->epoch], run->state);
	}
	leave_state(run);
	exit(1);
}

static void line(const char *what, u64 n)
{
	printf("  %-46s %10llu\n", what, (unsigned long long)n);
}

static void report(const struct walk *walk)
{
	const struct figures *f = &walk->run.figures;
	const struct recording *rec = &walk->run.rec;

	printf("%s: %u entries, %u flushes, %u FUA writes; %u epochs of %s since the checkpoint\n",
	       rec->path, rec->nr, rec->flushes, rec->fuas,
	       walk->epochs.nr - walk->epochs.first,
	       walk->epochs.through ? "one write" : "writes between flushes");
	line("epochs left out", walk->epochs.unclear);
	line("crash states, all different", f->states);
	line("  all subsets of the writes of an epoch", f->exhaustive);
	line("  samples", f->sampled);
	line("  writes torn in them", f->torn);
	line("  entering a checkpoint", f->entering);
	line("  resuming one", f->resuming);
	line("  checkpoint", f->active);
	line("  origin suspended", f->suspended);
	line("  committing", f->committing);
	line("  committed", f->committed);
	line("without a log", f->no_log);
	line("commit begun by the kernel, finished", f->finished);
	line("a backup was missing", f->pending_voids);
	line("newest log page dropped", f->dropped_tails);
	line("restored, bit for bit", f->restores);
	line("  power cuts in that", f->restore_cuts);
	line("committed offline, bit for bit", f->commits);
	line("  power cuts in that", f->commit_cuts);
	line("compared with what was read before the commit", f->view_checks);
	line(has_store(rec) ? "restored by blksnap" : "restored by bow", f->tool_restores);
	line("committed by bow", f->tool_commits);
	line("  the program stopped in the middle", f->tool_cuts);
	line("e2fsck -fn after a restore", f->fsck_back);
	line("e2fsck -fp, then -fn of what is live", f->fsck_live);
	line("  not so: ext4's write of its superblock torn", f->torn_supers);
}

/* ---- main ---------------------------------------------------------------- */

static const char usage[] =
	"replay [options] LOG DISK\n\n"
	"LOG was written by dm-log-writes, DISK is what was below it, as it is now.\n"
	"  --states N       different crash states to judge (default 2000), if there\n"
	"                   are so many\n"
	"  --seed N         begin elsewhere (default 1)\n"
	"  --view FILE      what was read through bow, frozen, before the commit\n"
	"  --write-through  DISK had no volatile cache\n"
	"  --origin N       DISK is an origin of N sectors, and its store\n"
	"  --program NAME   default: bow, or blksnap\n"
	"  --scratch FILE   for the programs (default: replay.scratch)\n"
	"  --failed FILE    leave a failing state there\n"
	"  --tools N        one state in N is also given to bow and e2fsck (default 40)\n"
	"  --epoch E --state S [--exhaustive N]  that state alone\n"
	"  --base FILE --checkpoint FILE  DISK held FILE when the recording began, and\n"
	"                   is to go back to the checkpoint\n"
	"  --make           write these two, for a state of this recording, and stop\n";

enum { OPT_STATES = 256, OPT_SEED, OPT_VIEW, OPT_THROUGH, OPT_ORIGIN, OPT_PROGRAM,
       OPT_SCRATCH, OPT_FAILED, OPT_TOOLS, OPT_EPOCH, OPT_STATE, OPT_EXHAUSTIVE, OPT_BASE,
       OPT_CHECKPOINT, OPT_MAKE };

static const struct option options[] = {
	{ "states", required_argument, NULL, OPT_STATES },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "view", required_argument, NULL, OPT_VIEW },
	{ "write-through", no_argument, NULL, OPT_THROUGH },
	{ "origin", required_argument, NULL, OPT_ORIGIN },
	{ "program", required_argument, NULL, OPT_PROGRAM },
	{ "scratch", required_argument, NULL, OPT_SCRATCH },
	{ "failed", required_argument, NULL, OPT_FAILED },
	{ "tools", required_argument, NULL, OPT_TOOLS },
	{ "epoch", required_argument, NULL, OPT_EPOCH },
	{ "state", required_argument, NULL, OPT_STATE },
	{ "exhaustive", required_argument, NULL, OPT_EXHAUSTIVE },
	{ "base", required_argument, NULL, OPT_BASE },
	{ "checkpoint", required_argument, NULL, OPT_CHECKPOINT },
	{ "make", no_argument, NULL, OPT_MAKE },
	{ "help", no_argument, NULL, 'h' },
	{ 0 }
};

static const char *view_path, *base_path, *checkpoint_path;
static bool making;

static void option(int c)
{
	u64 number = optarg ? strtoull(optarg, NULL, 0) : 0;

	switch (c) {
	case OPT_STATES: walk.states = number; break;
	case OPT_SEED: walk.run.seed = number; break;
	case OPT_VIEW: view_path = optarg; break;
	case OPT_THROUGH: walk.epochs.through = true; break;
	case OPT_ORIGIN: walk.run.rec.origin_sectors = (u32)number; break;
	case OPT_PROGRAM: walk.run.program = optarg; break;
	case OPT_SCRATCH: walk.run.scratch = optarg; break;
	case OPT_FAILED: walk.run.failed = optarg; break;
	case OPT_TOOLS: walk.run.tool_share = (u32)number; break;
	case OPT_EPOCH: walk.only_epoch = (u32)number; break;
	case OPT_STATE: walk.only_state = (u32)number; break;
	case OPT_EXHAUSTIVE: walk.exhaustive = (u32)number; break;
	case OPT_BASE: base_path = optarg; break;
	case OPT_CHECKPOINT: checkpoint_path = optarg; break;
	case OPT_MAKE: making = true; break;
	case 'h': printf("%s", usage); exit(0);
	default: exit(2);
	}
}

static void remember(int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++)
		snprintf(again + strlen(again), sizeof(again) - strlen(again), "%s%s",
			 i ? " " : "", argv[i]);
}

int main(int argc, char **argv)
{
	struct run *run = &walk.run;
	u64 size;
	u8 *disk;
	int c;

	walk.states = 2000;
	run->seed = 1;
	run->scratch = "replay.scratch";
	run->tool_share = 40;
	remember(argc, argv);
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1)
		option(c);
	if (optind + 2 != argc || !base_path != !checkpoint_path ||
	    (making && !base_path))
		die("%s", usage);
	if (!run->program)
		run->program = run->rec.origin_sectors ? "blksnap" : "bow";
	disk = read_file(argv[optind + 1], &size);
	recording_open(&run->rec, argv[optind], size);
	image_init(&run->img, run->rec.sectors, run->rec.origin_sectors);
	if (base_path && !making)
		base_load(run, base_path, checkpoint_path);
	check_recording(run, disk);
	if (walk.epochs.through)
		check_through(&run->rec);
	if (run->base)
		learn_resumed(&walk);
	else
		learn_checkpoint(&walk);
	if (view_path)
		learn_view(run, view_path);
	epochs_init(&walk.epochs, &run->rec, &run->img);
	if (!walk.exhaustive)
		choose_exhaustive(&walk);
	if (making) {
		make_base(&walk, base_path, checkpoint_path);
		return 0;
	}
	if (walk.only_epoch != NOWHERE) {
		only_one(&walk);
		return 0;
	}
	all_states(&walk);
	report(&walk);
	return 0;
}
