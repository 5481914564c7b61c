// SPDX-License-Identifier: GPL-2.0-only
/* Going on with a log: what the first act must have said. */
#include "unit.h"
#include "dm-bow-proto.h"
#include "logdisk.h"

static struct cow cow;

static int resume(void)
{
	struct cow_picture pic;
	int r;

	assert_int_equal(logdisk_read(&disk, &pic, COW_CHECK_TAIL), COW_LOG_OK);
	assert_int_equal(cow_init(&cow, disk.io.sectors, BS, &disk.io, NULL), 0);
	r = bow_resume(&cow, &pic);
	cow_picture_exit(&pic);
	return r;
}

/* A tail whose @nr records were all cut, with or without a seal kept. */
static void cut_page(u64 nr, bool seal)
{
	u64 i;

	logdisk_extent(&disk, COW_RECORD_FREE, 160, 200);
	logdisk_seal(&disk, 350);
	for (i = 0; i < nr; i++)
		logdisk_backup(&disk, 10 + i, 160 + i, 1, 10 + i);
	disk.head.seal = seal ? 351 * BS : 0;
	logdisk_finish(&disk);
}

/* Until its void is durable nobody writes to the place of a cut backup. */
static void check_places(u64 nr)
{
	u64 i;

	for (i = 0; i < nr && cow.nr_voids; i++)
		assert_int_equal(cow_map_get(&cow.map, 160 + i), COW_PROTECTED);
}

/* Whatever the first act had room for, a second resume must not be misled. */
static void voids_survive(void **data)
{
	u64 nr, i;
	int seal, left = 0;

	for (seal = 0; seal < 2; seal++)
		for (nr = COW_PAGE_RECORDS - 3; nr <= COW_PAGE_RECORDS; nr++) {
			cut_page(nr, seal);
			assert_int_equal(resume(), 0);
			left += !!cow.nr_voids;
			check_places(nr);
			cow_exit(&cow);
			assert_int_equal(resume(), 0);
			for (i = 0; i < nr; i++) {
				assert_int_equal(cow_map_get(&cow.map, 10 + i),
						 COW_PROTECTED);
				assert_int_not_equal(cow_map_get(&cow.map, 160 + i),
						     COW_FREE);
			}
			cow_exit(&cow);
			disk_teardown(data);
			disk_setup(data);
		}
	assert_true(left > 0);
}

static void map_of_a_resumed_log(void **data)
{
	(void)data;
	logdisk_extent(&disk, COW_RECORD_RESERVE, 200, 10);
	logdisk_extent(&disk, COW_RECORD_FREE, 100, 200);
	logdisk_backup(&disk, 10, 100, 2, 100);
	logdisk_backup(&disk, 101, 120, 1, 101);	/* a backup moved... */
	logdisk_fill(&disk, 120, 1, 101 * 7 % 256 + 1);
	logdisk_backup(&disk, 209, 130, 1, 130);	/* the reserve written to */
	disk.head.seal = 150 * BS;
	logdisk_finish(&disk);
	logdisk_fill(&disk, 101, 1, 0);
	assert_int_equal(resume(), 0);
	assert_int_equal(cow_map_get(&cow.map, 0), COW_PROTECTED);
	assert_int_equal(cow_map_get(&cow.map, 9), COW_PROTECTED);
	assert_int_equal(cow_map_get(&cow.map, 10), COW_CHANGED);
	assert_int_equal(cow_map_get(&cow.map, 11), COW_CHANGED);
	assert_int_equal(cow_map_get(&cow.map, 100), COW_PROTECTED);
	assert_int_equal(cow_map_get(&cow.map, 101), COW_CHANGED);
	assert_int_equal(cow_map_get(&cow.map, 102), COW_LOOSE);
	assert_int_equal(cow_map_get(&cow.map, 120), COW_PROTECTED);
	assert_int_equal(cow_map_get(&cow.map, 150), COW_PROTECTED);
	assert_int_equal(cow_map_get(&cow.map, 200), COW_PROTECTED);
	assert_int_equal(cow_map_get(&cow.map, 204), COW_PROTECTED);
	assert_int_equal(cow_map_get(&cow.map, 205), COW_FREE);
	assert_int_equal(cow_map_get(&cow.map, 208), COW_FREE);
	assert_int_equal(cow_map_get(&cow.map, 209), COW_CHANGED);
	assert_int_equal(cow_map_get(&cow.map, 210), COW_LOOSE);
	assert_int_equal(cow_map_get(&cow.map, SLOT1), COW_PROTECTED);
	cow_exit(&cow);
	/* Half of what was kept is kept again. */
	assert_int_equal(resume(), 0);
	assert_int_equal(cow_map_nr_free(&cow.map), 3);
	cow_exit(&cow);
}

/*
 * Entering was cut when the records of block 0 were there and the rest was not.
 * What the filesystem left behind them must be gone before it can be taken for
 * somebody else's, that is, before slot 1 is written to.
 */
static void entering_was_cut(void **data)
{
	struct cow_picture pic;
	u8 slot1[COW_PAGE_SIZE];

	(void)data;
	logdisk_extent(&disk, COW_RECORD_FREE, 100, 200);
	disk.head.seal = 350 * BS;
	logdisk_finish(&disk);
	memset(logdisk_block(&disk, 0) + 1024, 0xee, BS * 512 - 1024);
	memcpy(slot1, logdisk_block(&disk, SLOT1), sizeof(slot1));
	assert_int_equal(resume(), 0);
	cow_exit(&cow);
	assert_memory_equal(logdisk_block(&disk, SLOT1), slot1, sizeof(slot1));
	/* The next version, torn: its header alone. */
	disk.head.generation += 10;
	disk.head.features_compat = COW_FEATURE_SLOT1;
	logdisk_write(&disk, SLOT1);
	logdisk_backup(&disk, 10, 200, 1, 10);
	disk.head.generation++;
	disk.head.features_compat = 0;
	cow_page_encode(&disk.page, &disk.head);
	memcpy(logdisk_block(&disk, 0), &disk.page, 512);
	assert_int_equal(logdisk_read(&disk, &pic, COW_CHECK_ALL), COW_LOG_OK);
	assert_int_equal(pic.log.newest, 1);
	cow_picture_exit(&pic);
}

/* The newest version is not written over, wherever slot 1 has been since. */
static void only_as_long_as_slot1_is_the_same(void **data)
{
	struct cow_picture pic;

	(void)data;
	logdisk_write(&disk, SLOT1);
	logdisk_backup(&disk, 10, 100, 1, 100);
	logdisk_write(&disk, 0);
	assert_int_equal(logdisk_read(&disk, &pic, COW_CHECK_TAIL), COW_LOG_OK);
	assert_int_equal(pic.log.newest, 0);
	cow_picture_exit(&pic);
	disk.head.hidden[0].live = 200 * BS;
	logdisk_write(&disk, SLOT1);
	disk.head.hidden[0].live = LIVE0 * BS;
	logdisk_write(&disk, 0);
	assert_int_equal(logdisk_read(&disk, &pic, COW_CHECK_TAIL), COW_LOG_OK);
	assert_int_equal(pic.log.newest, 0);
	cow_picture_exit(&pic);
	disk.head.features_compat = COW_FEATURE_SLOT1;
	logdisk_write(&disk, SLOT1);
	disk.head.features_compat = 0;
	logdisk_write(&disk, 0);
	assert_int_equal(logdisk_read(&disk, &pic, COW_CHECK_TAIL), COW_LOG_OK);
	assert_int_equal(pic.log.newest, 0);
	cow_picture_exit(&pic);
}

static void ended_logs_are_refused(void **data)
{
	(void)data;
	logdisk_write(&disk, 0);
	disk.head.state = COW_LOG_COMMITTING;
	logdisk_write(&disk, SLOT1);
	assert_int_equal(resume(), -EBUSY);
	cow_exit(&cow);
	disk.head.state = COW_LOG_RESTORING;
	logdisk_write(&disk, SLOT1);
	assert_int_equal(resume(), -EBUSY);
	cow_exit(&cow);
	assert_int_equal(disk.writes, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, disk_setup, disk_teardown)

/*
 * A move of a backup that cannot be read, yet where it was before says the same: the
 * filesystem may have written just that there. It must not be free after a commit.
 */
static void place_of_ours_perhaps_claimed(void **data)
{
	(void)data;
	logdisk_extent(&disk, COW_RECORD_FREE, 100, 200);
	logdisk_backup(&disk, 10, 100, 1, 100);
	logdisk_backup(&disk, 100, 120, 1, 100);
	disk.head.seal = 150 * BS;
	logdisk_finish(&disk);
	disk.fail_read = 120 * BS;
	assert_int_equal(resume(), -EIO);
	cow_exit(&cow);
	/* One that never arrived was not relied on. */
	disk.fail_read = ~0ULL;
	logdisk_fill(&disk, 120, 1, 0);
	assert_int_equal(resume(), 0);
	cow_exit(&cow);
}

/* A place where an older backup failed was copied in vain, and that was cut. */
static void source_of_a_cut_record_in_free_space(void **data)
{
	u64 i;

	(void)data;
	logdisk_extent(&disk, COW_RECORD_FREE, 160, 200);
	logdisk_seal(&disk, 350);
	logdisk_backup(&disk, 170, 180, 1, 170);
	for (i = 1; i < COW_PAGE_RECORDS; i++)
		logdisk_backup(&disk, 10 + i, 200 + i, 1, 200 + i);
	logdisk_finish(&disk);
	/* No room for the void: the record stays what it is. */
	assert_int_equal(resume(), 0);
	assert_int_equal(cow.nr_voids, 1);
	assert_int_equal(cow_map_get(&cow.map, 170), COW_PROTECTED);
	cow_exit(&cow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(voids_survive), TEST(map_of_a_resumed_log),
		TEST(entering_was_cut), TEST(only_as_long_as_slot1_is_the_same),
		TEST(ended_logs_are_refused), TEST(place_of_ours_perhaps_claimed),
		TEST(source_of_a_cut_record_in_free_space),
	};

	return cmocka_run_group_tests_name("resume", tests, NULL, NULL);
}
