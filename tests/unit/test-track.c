// SPDX-License-Identifier: GPL-2.0-only
/*
 * Changed-block tracking over a reboot: the power goes at each write and each flush to
 * the tracking device, with any part of what was not flushed. Whatever was written to
 * the origin before that must count as changed for every backup there is.
 */
#include "unit.h"
#include "dm-blksnap-track.h"
#include <linux/dm-blksnap-track.h>

#define REGION SNAP_TRACK_MIN_REGION
#define REGIONS 12U
#define SECTORS (REGIONS * REGION - 5)
#define SIZE 8U
#define NR (REGIONS * REGION / SIZE)
#define DISK 48U		/* sectors; what is needed is less */
#define MAX_PENDING 4096U

void fail_allocation(unsigned int nth);	/* logdisk.c */

struct pending {
	u64 sector;
	u8 data[512];
};

/* A device with a volatile cache. */
static struct media {
	struct cow_io io;
	u8 durable[DISK][512];
	u8 now[DISK][512];
	struct pending pending[MAX_PENDING];
	u32 nr_pending;
	u32 calls, cut, fail;	/* the call that... 0: none */
	bool dead;
} media;

/* What is true, and what backups were told. */
static struct truth {
	u32 last[NR];	/* the lowest value that a block may have */
	u32 number;		/* the highest that was handed out */
	u8 generation[16];
	bool away;		/* written to past us: nothing may be known */
} truth;

static struct snap_cbt cbt;
static struct snap_track track;
static struct {
	unsigned long cuts, states, kept, forgotten, known, spared;
} count;

/* ---- the device ------------------------------------------------------------------- */

static int next_call(void)
{
	media.calls++;
	if (media.calls == media.cut)
		media.dead = true;
	return media.dead || media.calls == media.fail ? -EIO : 0;
}

static int disk_read(struct cow_io *io, u64 sector, void *buf, u32 sectors)
{
	int r = next_call();

	(void)io;
	assert_true(sector + sectors <= DISK);
	if (!r)
		memcpy(buf, media.now[sector], sectors * 512);
	return r;
}

static int disk_write(struct cow_io *io, u64 sector, const void *buf, u32 sectors)
{
	bool was_dead = media.dead;
	int r = next_call();
	u32 i;

	(void)io;
	assert_true(sector + sectors <= DISK);
	/* The one that is cut, or fails, may be there all the same. */
	for (i = 0; i < sectors && !was_dead; i++) {
		assert_true(media.nr_pending < MAX_PENDING);
		media.pending[media.nr_pending].sector = sector + i;
		memcpy(media.pending[media.nr_pending++].data, (const u8 *)buf + i * 512, 512);
		if (!r)
			memcpy(media.now[sector + i], (const u8 *)buf + i * 512, 512);
	}
	return r;
}

static int disk_flush(struct cow_io *io)
{
	int r = next_call();

	(void)io;
	if (!r) {
		memcpy(media.durable, media.now, sizeof(media.durable));
		media.nr_pending = 0;
	}
	return r;
}

static const struct cow_io_ops disk_ops = {
	.read = disk_read, .write = disk_write, .flush = disk_flush,
};

/* The power has gone: some of what was not flushed is there. @keep in percent. */
static void power_cut(u32 keep)
{
	u32 i;

	for (i = 0; i < media.nr_pending; i++)
		if (chance(&rng, keep))
			memcpy(media.durable[media.pending[i].sector], media.pending[i].data, 512);
	memcpy(media.now, media.durable, sizeof(media.now));
	media.nr_pending = 0;
}

/* Only the kernel has gone: the drive still has all in its cache. */
static void machine_on(u32 cut, u32 fail)
{
	media.io.ops = &disk_ops;
	media.io.sectors = DISK;
	media.dead = false;
	media.calls = 0;
	media.cut = cut;
	media.fail = fail;
}

/* ---- the origin ------------------------------------------------------------------- */

static void note(u64 sector, u64 nr, u32 value)
{
	u64 block;

	for (block = sector / SIZE; block <= (sector + nr - 1) / SIZE; block++)
		truth.last[block] = max(truth.last[block], value);
}

/* As origin_map() and the worker do it. */
static void write_origin(void)
{
	u64 sector = rnd(&rng, SECTORS), nr = 1 + rnd(&rng, min(3000U, (u32)(SECTORS - sector)));

	if (one_in(&rng, 2))
		nr = min(nr, (u64)20);
	snap_cbt_mark(&cbt, sector, nr);
	if (!snap_track_passes(&track, sector, nr)) {
		snap_track_want(&track, sector, nr);
		snap_track_record(&track);
	}
	if (!media.dead)
		note(sector, nr, cbt.epoch);
}

static void write_image(void)
{
	u64 sector = rnd(&rng, SECTORS - 8);
	u32 number = cbt.epoch - 1;

	if (!number)
		return;
	snap_cbt_mark_image(&cbt, number, sector, 8);
	if (!snap_track_passes(&track, sector, 8)) {
		snap_track_want(&track, sector, 8);
		snap_track_record(&track);
	}
	if (!media.dead)
		note(sector, 8, number + 1);
}

/* Who has a backup of another generation begins anew, so only the newest one matters. */
static void look_at_generation(void)
{
	if (!memcmp(truth.generation, cbt.generation, sizeof(truth.generation)))
		return;
	memcpy(truth.generation, cbt.generation, sizeof(truth.generation));
	memset(truth.last, 0, sizeof(truth.last));
	truth.number = 0;
	truth.away = false;
}

static void take_snapshot(void)
{
	u32 number;

	snap_track_pause(&track, false);
	if (media.dead)
		return;
	number = snap_cbt_next(&cbt);
	look_at_generation();
	truth.number = number;
	snap_track_resume(&track);
	/* Of numbers that began anew after an error, this one was the last to be told. */
	if (!media.dead)
		look_at_generation();
}

static void start(void)
{
	assert_int_equal(snap_cbt_init(&cbt, SECTORS, SIZE), 0);
	assert_int_equal(snap_track_init(&track, &cbt, SECTORS, &media.io), 0);
	assert_int_equal(track.nr, REGIONS);
	assert_true(snap_track_size(&cbt, SECTORS) <= DISK);
	snap_track_resume(&track);
}

static void stop(void)
{
	snap_track_exit(&track);
	snap_cbt_exit(&cbt);
}

/* ---- what must be true ------------------------------------------------------------ */

static void check_blocks(void)
{
	u32 i, new = snap_cbt_next(&cbt), value;

	assert_true(new > truth.number);
	for (i = 0; i < NR; i++) {
		value = snap_cbt_value(&cbt, i, new);
		assert_true(value >= truth.last[i]);
		count.known += value == truth.last[i];
		count.spared += value <= truth.number;
	}
}

static void check_nothing_known(void)
{
	u32 i;

	assert_int_equal(cbt.epoch, 1);
	for (i = 0; i < NR; i++)
		assert_int_equal(snap_cbt_last(&cbt, i), 0);
}

/* A look at what a machine would find that is switched on now. */
static bool check(void)
{
	bool same;

	machine_on(0, 0);
	start();
	same = !memcmp(truth.generation, cbt.generation, sizeof(truth.generation));
	count.states++;
	if (same) {
		assert_false(truth.away);
		check_blocks();
	} else {
		check_nothing_known();
	}
	count.kept += same;
	count.forgotten += !same;
	stop();
	return same;
}

/* ---- exploring -------------------------------------------------------------------- */

static void do_something(void)
{
	u32 what = rnd(&rng, 100);

	if (what < 70)
		write_origin();
	else if (what < 80)
		write_image();
	else if (what < 95)
		take_snapshot();
	else
		snap_track_save(&track);
}

enum end { END_SAVED, END_AWAY, END_OF_POWER, NR_ENDS };

/* One run of a machine. Not what it does but the numbers decide when it is cut. */
static void session(u32 steps, enum end end)
{
	start();
	if (!media.dead)
		look_at_generation();
	for (; steps && !media.dead; steps--)
		do_something();
	if (!media.dead && end != END_OF_POWER)
		snap_track_pause(&track, end == END_SAVED);
	if (!media.dead && end == END_AWAY) {
		/* Another table: nobody counts what is written. */
		truth.away = true;
		snap_track_close(&track);
	}
	/* The numbers that are told from the next suspend on. */
	if (!media.dead)
		look_at_generation();
	stop();
}

static struct media saved_disk;
static struct truth saved_truth;

/* One cut, and each of some parts of what was not flushed. */
static void look_after_cut(void)
{
	static const u32 keep[] = { 0, 100, 50, 50, 50, 90, 10 };
	struct rng was = rng;
	u32 i;

	saved_disk = media;
	saved_truth = truth;
	count.cuts++;
	for (i = 0; i < ARRAY_SIZE(keep); i++) {
		media = saved_disk;
		truth = saved_truth;
		power_cut(keep[i]);
		check();
	}
	rng = was;
}

static void clean_disk(void)
{
	memset(&media, 0, sizeof(media));
	memset(&truth, 0, sizeof(truth));
	memset(media.durable, 0xa5, sizeof(media.durable));
	memcpy(media.now, media.durable, sizeof(media.now));
}

/* A few runs, the last of which is cut at its nth call; false if that was never. */
static bool explore(u64 seed, u32 nth, u32 fail)
{
	u32 runs, i;
	bool cut;

	rng.state = seed;
	clean_disk();
	runs = 1 + rnd(&rng, 3);
	for (i = 0; i < runs; i++) {
		bool last = i + 1 == runs;

		machine_on(last ? nth : rnd(&rng, 60), last ? fail : 0);
		session(6 + rnd(&rng, 12), rnd(&rng, NR_ENDS));
		if (!last && one_in(&rng, 4))
			continue;	/* a kernel crash: nothing is lost yet */
		if (!last)
			power_cut(rnd(&rng, 101));
	}
	cut = media.dead;
	look_after_cut();
	return cut;
}

static void power_cuts(void **data)
{
	u64 seed;
	u32 nth;

	(void)data;
	memset(&count, 0, sizeof(count));
	for (seed = 1; seed <= 40; seed++)
		for (nth = 1; explore(seed, nth, 0); nth++)
			;
	printf("# %lu cuts, %lu states: %lu with their numbers; %lu %% of the blocks exact, %lu %% spared\n",
	       count.cuts, count.states, count.kept, count.known * 100 / (count.kept * NR),
	       count.spared * 100 / (count.kept * NR));
	assert_true(count.kept > count.states / 3);
	assert_true(count.forgotten > 0);
	assert_true(count.spared > count.kept * NR / 4);
}

/* One call fails, and later the power goes: then the device is not believed. */
static void errors(void **data)
{
	u64 seed;
	u32 fail, cut;

	(void)data;
	memset(&count, 0, sizeof(count));
	for (seed = 1; seed <= 12; seed++)
		for (fail = 1; fail < 40; fail++)
			for (cut = fail + 1; cut < fail + 12; cut += 4)
				explore(seed, cut, fail);
	assert_true(count.states > 9000);
	assert_true(count.forgotten > count.states / 10);
}

/* ---- what is known exactly -------------------------------------------------------- */

static void write_at(u64 sector, u64 nr)
{
	snap_cbt_mark(&cbt, sector, nr);
	if (!snap_track_passes(&track, sector, nr)) {
		snap_track_want(&track, sector, nr);
		assert_int_equal(snap_track_record(&track), 0);
	}
}

static u32 value_now(u64 block)
{
	return snap_cbt_value(&cbt, block, cbt.epoch);
}

static void begin_here(void)
{
	clean_disk();
	machine_on(0, 0);
	start();
	assert_true(track.live);
	look_at_generation();
	truth.number = snap_cbt_next(&cbt);
	snap_track_pause(&track, false);
	assert_int_equal(snap_track_resume(&track), 0);
}

/* After a clean end all is as it was; after a crash whole regions have changed. */
static void clean_and_crash(void **data)
{
	u32 i;

	(void)data;
	begin_here();
	write_at(SIZE * 7, 1);
	assert_int_equal(snap_track_pause(&track, true), 0);
	stop();
	start();
	assert_memory_equal(cbt.generation, truth.generation, 16);
	assert_int_equal(cbt.epoch, 2);
	for (i = 0; i < NR; i++)
		assert_int_equal(value_now(i), i == 7 ? 2 : 0);
	write_at(REGION * 3 + 1, 1);
	power_cut(0);
	stop();
	start();
	assert_memory_equal(cbt.generation, truth.generation, 16);
	for (i = 0; i < NR; i++)
		assert_int_equal(value_now(i), i == 7 || i / (REGION / SIZE) == 3 ? 2 : 0);
	/* As of before nothing is known of them. */
	assert_int_equal(snap_cbt_value(&cbt, 7, 1), SNAP_CBT_FORGOTTEN);
	assert_int_equal(snap_cbt_value(&cbt, 8, 1), 0);
	/* What is recorded is recorded once in an epoch. */
	media.calls = 0;
	write_at(REGION * 3 + 9, 1);
	assert_int_equal(media.calls, 0);
	write_at(REGION * 4 - 1, 2);
	assert_int_equal(media.calls, 2);	/* a page, a flush */
	stop();
}

/* Of another generation, size, place, or damaged: begin anew. */
static void not_believed(void **data)
{
	u32 byte;

	(void)data;
	begin_here();
	write_at(100, 1);
	assert_int_equal(snap_track_pause(&track, true), 0);
	stop();
	saved_disk = media;
	saved_truth = truth;
	for (byte = 0; byte < snap_track_size(&cbt, SECTORS) * 512; byte += byte < 512 ? 1 : 61) {
		if (byte >= 512 && byte < 4096)
			continue;
		media = saved_disk;
		media.now[byte / 512][byte % 512] ^= 1U << byte % 8;
		truth.away = true;
		assert_false(check());
		truth = saved_truth;
	}
	media = saved_disk;
	memcpy(media.now[9], media.now[10], 512);
	truth.away = true;
	assert_false(check());
	media = saved_disk;
	truth = saved_truth;
	assert_true(check());
}

static void put_number(u64 sector, u32 i, u16 number)
{
	struct snap_track_sector *numbers = (struct snap_track_sector *)media.now[sector];
	__le64 where = cpu_to_le64(sector);
	u32 crc = crc32c(~0U, truth.generation, 16);

	numbers->numbers[i] = cpu_to_le16(number);
	crc = crc32c(crc, &where, sizeof(where));
	numbers->crc = cpu_to_le32(~crc32c(crc, numbers->numbers, sizeof(numbers->numbers)));
}

/* Numbers of later than now, with good checksums. */
static void hostile_numbers(void **data)
{
	(void)data;
	begin_here();
	assert_int_equal(snap_track_pause(&track, true), 0);
	stop();
	saved_disk = media;
	put_number(16, 3, 2);
	assert_true(check());
	media = saved_disk;
	put_number(16, 3, 3);
	assert_false(check());
	media = saved_disk;
	put_number(8, 0, SNAP_CBT_FORGOTTEN);
	assert_false(check());
}

/* The numbers run out: what the device has of before is worth nothing. */
static void another_generation(void **data)
{
	u8 old[16];

	(void)data;
	begin_here();
	memcpy(old, cbt.generation, 16);
	write_at(0, 1);
	snap_track_pause(&track, false);
	cbt.epoch = SNAP_CBT_LAST_EPOCH;
	assert_int_equal(snap_cbt_next(&cbt), 1);
	assert_int_equal(snap_track_resume(&track), 0);
	assert_memory_not_equal(old, cbt.generation, 16);
	look_at_generation();
	truth.number = 1;
	write_at(REGION, 1);
	note(REGION, 1, 2);
	stop();
	power_cut(0);
	assert_true(check());
}

/*
 * The device fails and cannot even be told that it is not to be believed: no backup of
 * later may be of the numbers that it has.
 */
static void not_even_invalid(void **data)
{
	u8 old[16];

	(void)data;
	begin_here();
	memcpy(old, cbt.generation, 16);
	media.dead = true;
	snap_cbt_mark(&cbt, 0, 1);
	assert_false(snap_track_passes(&track, 0, 1));
	snap_track_want(&track, 0, 1);
	assert_int_equal(snap_track_record(&track), -EIO);
	assert_true(snap_track_passes(&track, 0, 1));
	assert_memory_equal(old, cbt.generation, 16);
	snap_track_pause(&track, false);
	assert_memory_not_equal(old, cbt.generation, 16);
	/* At the first chance it is told. */
	media.dead = false;
	snap_track_resume(&track);
	assert_true(snap_track_passes(&track, 0, 1));
	stop();
	truth.away = true;
	assert_false(check());
}

/* Larger ones: 16 TiB, and as many as there may be. */
static void sizes(void **data)
{
	struct snap_cbt large = { .nr = 8388608, .shift = 12 };
	struct snap_track t;

	(void)data;
	assert_int_equal(snap_track_init(&t, &large, 1ULL << 35, &media.io), 0);
	assert_int_equal(t.nr, SNAP_TRACK_MAX_REGIONS);
	assert_int_equal(t.shift, ilog2(SNAP_TRACK_MAX_REGION));
	assert_true(snap_track_size(&large, 1ULL << 35) < 17 * 2048);
	snap_track_exit(&t);
	assert_int_equal(snap_track_init(&t, &large, 1ULL << 38, &media.io), 0);
	assert_true(t.nr <= SNAP_TRACK_MAX_REGIONS);
	snap_track_exit(&t);
	large.shift = 20;
	assert_int_equal(snap_track_init(&t, &large, 3 << 20, &media.io), 0);
	assert_int_equal(t.nr, 3);
	snap_track_exit(&t);
}

static void without_memory(void **data)
{
	unsigned int n;

	(void)data;
	assert_int_equal(snap_cbt_init(&cbt, SECTORS, SIZE), 0);
	for (n = 1; n <= 4; n++) {
		fail_allocation(n);
		assert_int_equal(snap_track_init(&track, &cbt, SECTORS, &media.io), -ENOMEM);
	}
	fail_allocation(0);
	snap_cbt_exit(&cbt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean_and_crash),
		cmocka_unit_test(power_cuts),
		cmocka_unit_test(errors),
		cmocka_unit_test(not_believed),
		cmocka_unit_test(hostile_numbers),
		cmocka_unit_test(another_generation),
		cmocka_unit_test(not_even_invalid),
		cmocka_unit_test(sizes),
		cmocka_unit_test(without_memory),
	};

	return cmocka_run_group_tests_name("track", tests, NULL, NULL);
}
