// SPDX-License-Identifier: GPL-2.0-only
/*
 * Backups by what has changed: whatever is written where, a full copy of one
 * snapshot with the changed blocks of a later one is a full copy of that one.
 */
#include "unit.h"
#include "dm-blksnap-cbt.h"

#define NR 50			/* blocks */
#define SECTORS 16
#define IMAGES 6

struct image {
	u32 number;		/* 0: none */
	u32 data[NR];
};

struct backup {
	u32 number;
	u32 data[NR];
};

static struct sim {
	struct snap_cbt cbt;
	u32 origin[NR], next;
	u32 last[NR];		/* the epoch of the last write, for what is exact */
	struct image images[IMAGES];
	struct backup backups[IMAGES];
	unsigned long increments, blocks, skipped;
} sim;

static u32 pick(u32 n)
{
	return rnd(&rng, n);
}

/* Some sectors, and the blocks that they touch. */
static void some(u64 *sector, u64 *nr, u64 *first, u64 *end)
{
	*sector = pick(NR * SECTORS);
	*nr = 1 + pick(min(40U, (u32)(NR * SECTORS - *sector)));
	*first = *sector / SECTORS;
	*end = (*sector + *nr - 1) / SECTORS + 1;
}

static void write_origin(void)
{
	u64 sector, nr, block, end;

	some(&sector, &nr, &block, &end);
	snap_cbt_mark(&sim.cbt, sector, nr);
	for (; block < end; block++) {
		sim.origin[block] = sim.next++;
		sim.last[block] = sim.cbt.epoch;
	}
}

static void write_image(void)
{
	struct image *image = &sim.images[pick(IMAGES)];
	u64 sector, nr, block, end;

	if (!image->number)
		return;
	some(&sector, &nr, &block, &end);
	snap_cbt_mark_image(&sim.cbt, image->number, sector, nr);
	for (; block < end; block++)
		image->data[block] = sim.next++;
}

static void take_snapshot(void)
{
	struct image *image = &sim.images[pick(IMAGES)];

	image->number = snap_cbt_next(&sim.cbt);
	memcpy(image->data, sim.origin, sizeof(sim.origin));
}

static void make_backup(void)
{
	const struct image *image = &sim.images[pick(IMAGES)];
	struct backup *to = &sim.backups[pick(IMAGES)], from = sim.backups[pick(IMAGES)];
	unsigned int i;

	if (!image->number)
		return;
	for (i = 0; i < NR; i++) {
		if (!from.number || from.number > image->number ||
		    snap_cbt_value(&sim.cbt, i, image->number) > from.number) {
			from.data[i] = image->data[i];
			sim.blocks++;
		} else {
			sim.skipped++;
		}
	}
	assert_memory_equal(from.data, image->data, sizeof(from.data));
	*to = from;
	to->number = image->number;
	sim.increments++;
}

static void run(u64 seed, bool private)
{
	unsigned int i;

	rng.state = seed;
	memset(&sim.images, 0, sizeof(sim.images));
	memset(&sim.backups, 0, sizeof(sim.backups));
	memset(sim.last, 0, sizeof(sim.last));
	assert_int_equal(snap_cbt_init(&sim.cbt, NR * SECTORS - 3, SECTORS), 0);
	assert_int_equal(sim.cbt.nr, NR);
	for (i = 0; i < 3000; i++) {
		u32 what = pick(100);

		if (what < 60)
			write_origin();
		else if (what < 70 && private)
			write_image();
		else if (what < 75)
			take_snapshot();
		else
			make_backup();
	}
	snap_cbt_exit(&sim.cbt);
}

static void increments_make_full_copies(void **data)
{
	u64 seed;

	(void)data;
	memset(&sim, 0, sizeof(sim));
	for (seed = 1; seed <= 200; seed++)
		run(seed, seed & 1);
	assert_true(sim.increments > 100000);
	assert_true(sim.skipped > 1000000);
}

/* As of the newest snapshot nothing is forgotten, whatever is written after it. */
static void newest_is_exact(void **data)
{
	u32 want[NR], number;
	unsigned int i, j;

	(void)data;
	memset(&sim, 0, sizeof(sim));
	rng.state = 7;
	assert_int_equal(snap_cbt_init(&sim.cbt, NR * SECTORS, SECTORS), 0);
	for (i = 0; i < 500; i++) {
		for (j = pick(20); j; j--)
			write_origin();
		memcpy(want, sim.last, sizeof(want));
		number = snap_cbt_next(&sim.cbt);
		for (j = pick(20); j; j--)
			write_origin();
		for (j = 0; j < NR; j++)
			assert_int_equal(snap_cbt_value(&sim.cbt, j, number), want[j]);
	}
	snap_cbt_exit(&sim.cbt);
}

static void numbers_run_out(void **data)
{
	u8 generation[16];
	unsigned int i;

	(void)data;
	memset(&sim, 0, sizeof(sim));
	assert_int_equal(snap_cbt_init(&sim.cbt, NR * SECTORS, SECTORS), 0);
	memcpy(generation, sim.cbt.generation, sizeof(generation));
	snap_cbt_mark(&sim.cbt, 0, 1);
	for (i = 1; i < SNAP_CBT_LAST_EPOCH; i++)
		assert_int_equal(snap_cbt_next(&sim.cbt), i);
	assert_int_equal(sim.cbt.restarts, 0);
	assert_memory_equal(generation, sim.cbt.generation, sizeof(generation));
	assert_int_equal(snap_cbt_next(&sim.cbt), 1);
	assert_int_equal(sim.cbt.restarts, 1);
	assert_memory_not_equal(generation, sim.cbt.generation, sizeof(generation));
	assert_int_equal(snap_cbt_value(&sim.cbt, 0, 1), 0);
	snap_cbt_exit(&sim.cbt);
}

static void block_size_by_default(void **data)
{
	struct snap_cbt cbt;

	(void)data;
	assert_int_equal(snap_cbt_init(&cbt, 1000, 0), 0);
	assert_int_equal(cbt.shift, 7);
	assert_int_equal(cbt.nr, 8);
	snap_cbt_exit(&cbt);
	/* 16 TiB */
	assert_int_equal(snap_cbt_init(&cbt, 1ULL << 35, 0), 0);
	assert_int_equal(cbt.nr, SNAP_CBT_DEFAULT_BLOCKS);
	snap_cbt_exit(&cbt);
	/* Without memory nothing happens. */
	memset(&cbt, 0, sizeof(cbt));
	snap_cbt_mark(&cbt, 0, 1);
	snap_cbt_mark_image(&cbt, 1, 0, 1);
	assert_int_equal(snap_cbt_next(&cbt), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(increments_make_full_copies),
		cmocka_unit_test(newest_is_exact),
		cmocka_unit_test(numbers_run_out),
		cmocka_unit_test(block_size_by_default),
	};

	return cmocka_run_group_tests_name("cbt", tests, NULL, NULL);
}
