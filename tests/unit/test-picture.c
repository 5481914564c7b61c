// SPDX-License-Identifier: GPL-2.0-only
/* Where the original of every block is, whatever has been moved meanwhile. */
#include "unit.h"
#include "logdisk.h"

static struct cow_picture pic;
static u64 place[BLOCKS];	/* where a block's original is, or NOWHERE */

#define NOWHERE (~0ULL)

static int teardown(void **data)
{
	cow_picture_exit(&pic);
	return disk_teardown(data);
}

static int note(void *data, u64 from, u64 to, u32 sectors)
{
	u64 block;

	(void)data;
	for (block = 0; block * BS < sectors; block++) {
		assert_int_equal(place[to / BS + block], NOWHERE);
		place[to / BS + block] = from / BS + block;
	}
	return 0;
}

static void read_all(enum cow_picture_depth depth)
{
	enum cow_log_error error;

	memset(place, 0xff, sizeof(place));
	error = logdisk_read(&disk, &pic, depth);
	if (error)
		fail_msg("%s (record %d)", cow_log_strerror(error),
			 pic.complaint.record);
	assert_int_equal(cow_picture_each_original(&pic, note, NULL), 0);
	assert_int_equal(place[0], BACKUP0);
}

static bool in(const struct cow_ranges *set, u64 block)
{
	struct cow_range *range;

	cow_ranges_piece(set, block, 1, &range);
	return range;
}

static void plain(void **data)
{
	(void)data;
	logdisk_backup(&disk, 10, 100, 3, 100);
	logdisk_extent(&disk, COW_RECORD_RESERVE, 200, 7);
	logdisk_extent(&disk, COW_RECORD_FREE, 100, 200);
	logdisk_finish(&disk);
	read_all(COW_CHECK_ALL);
	assert_int_equal(place[10], 100);
	assert_int_equal(place[12], 102);
	assert_int_equal(place[13], NOWHERE);
	assert_int_equal(pic.nr_backups, 2);
	assert_int_equal(pic.backup_sectors, 4 * BS);
	assert_int_equal(pic.reserve_start, 200);
	assert_int_equal(pic.reserve_nr, 7);
	assert_true(in(&pic.free, 299) && !in(&pic.free, 300));
	assert_true(in(&pic.ours, 101) && in(&pic.ours, SLOT1) && in(&pic.ours, LIVE0));
	assert_false(in(&pic.ours, 10));
}

/* Of a run of five the middle is moved, then the middle of that. */
static void part_of_a_run_moved(void **data)
{
	(void)data;
	logdisk_backup(&disk, 10, 100, 5, 100);
	memcpy(logdisk_block(&disk, 200), logdisk_block(&disk, 101), 3 * BS * 512);
	logdisk_backup(&disk, 101, 200, 3, 200);
	memcpy(logdisk_block(&disk, 300), logdisk_block(&disk, 201), BS * 512);
	logdisk_backup(&disk, 201, 300, 1, 300);
	logdisk_finish(&disk);
	/* What they left behind belongs to the filesystem now. */
	logdisk_fill(&disk, 101, 3, 0xee);
	logdisk_fill(&disk, 201, 1, 0xdd);
	logdisk_fill(&disk, 10, 5, 0xcc);
	read_all(COW_CHECK_ALL);
	assert_int_equal(place[10], 100);
	assert_int_equal(place[11], 200);
	assert_int_equal(place[12], 300);
	assert_int_equal(place[13], 202);
	assert_int_equal(place[14], 104);
	assert_int_equal(place[101], NOWHERE);
	assert_int_equal(place[201], NOWHERE);
	assert_false(in(&pic.ours, 102) || in(&pic.ours, 201));
	assert_true(in(&pic.ours, 300) && in(&pic.ours, 202));
}

/* A move that covers the ends of two backups and a block that is no backup. */
static void move_across_runs(void **data)
{
	(void)data;
	logdisk_backup(&disk, 10, 100, 2, 100);
	logdisk_backup(&disk, 20, 102, 2, 102);
	memcpy(logdisk_block(&disk, 200), logdisk_block(&disk, 101), 4 * BS * 512);
	logdisk_backup(&disk, 101, 200, 4, 200);
	logdisk_finish(&disk);
	logdisk_fill(&disk, 101, 4, 0xee);
	read_all(COW_CHECK_ALL);
	assert_int_equal(place[10], 100);
	assert_int_equal(place[11], 200);
	assert_int_equal(place[20], 201);
	assert_int_equal(place[21], 202);
	assert_int_equal(place[104], 203);
	assert_int_equal(place[103], NOWHERE);
}

static void many_moves_over_pages(void **data)
{
	u64 i, page = 300;

	(void)data;
	logdisk_backup(&disk, 10, 100, 1, 100);
	for (i = 100; i < 250; i++) {
		if (disk.head.record_count == 20)
			logdisk_seal(&disk, page++);
		logdisk_fill(&disk, i + 1, 1, (u8)(100 * 7 + 1));
		logdisk_backup(&disk, i, i + 1, 1, 100);
	}
	logdisk_finish(&disk);
	logdisk_fill(&disk, 10, 1, 0);
	logdisk_fill(&disk, 101, 149, 0);
	read_all(COW_CHECK_ALL);
	assert_int_equal(place[10], 250);
	assert_int_equal(pic.nr_pages, page - 300 + 1);
	assert_true(in(&pic.ours, 300));
}

static void sealed_page_moved(void **data)
{
	(void)data;
	logdisk_backup(&disk, 10, 100, 1, 100);
	logdisk_seal(&disk, 300);
	logdisk_backup(&disk, 11, 101, 1, 101);
	logdisk_seal(&disk, 301);
	memcpy(logdisk_block(&disk, 310), logdisk_block(&disk, 300), BS * 512);
	logdisk_backup(&disk, 300, 310, 1, 300);
	logdisk_finish(&disk);
	logdisk_fill(&disk, 300, 1, 0xaa);
	read_all(COW_CHECK_ALL);
	assert_int_equal(place[10], 100);
	assert_int_equal(place[11], 101);
	assert_int_equal(place[300], NOWHERE);
	assert_true(in(&pic.ours, 310) && !in(&pic.ours, 300));
}

static void voids(void **data)
{
	(void)data;
	logdisk_backup(&disk, 10, 100, 2, 50);		/* failed: data elsewhere */
	logdisk_void(&disk, 10, 100);
	logdisk_backup(&disk, 10, 110, 2, 110);
	logdisk_backup(&disk, 20, 100, 1, 100);		/* its place, used again */
	logdisk_finish(&disk);
	logdisk_fill(&disk, 10, 2, 0);
	read_all(COW_CHECK_ALL);
	assert_int_equal(place[10], 110);
	assert_int_equal(place[20], 100);
	assert_int_equal(pic.nr_void_records, 1);
	assert_int_equal(pic.nr_voids, 0);
}

static void one_void_serves_once(void **data)
{
	(void)data;
	logdisk_backup(&disk, 10, 100, 1, 100);		/* good */
	logdisk_backup(&disk, 10, 100, 1, 50);		/* cancelled */
	logdisk_void(&disk, 10, 100);
	logdisk_finish(&disk);
	read_all(COW_CHECK_ALL);
	assert_int_equal(place[10], 100);
}

static void void_by_content(void **data)
{
	(void)data;
	logdisk_backup(&disk, 10, 100, 2, 10);	/* never arrived at 100 */
	logdisk_finish(&disk);
	read_all(COW_CHECK_TAIL);
	assert_int_equal(place[10], NOWHERE);
	assert_int_equal(pic.nr_voids, 1);
	assert_int_equal(pic.voids[0].source, 10 * BS);
	assert_false(in(&pic.ours, 100));
}

/* Whoever gave its place away again must have cancelled it first. */
static void cut_yet_given_away(void **data)
{
	(void)data;
	logdisk_backup(&disk, 10, 100, 1, 10);
	logdisk_backup(&disk, 10, 100, 1, 10);
	logdisk_void(&disk, 10, 100);
	logdisk_finish(&disk);
	assert_int_equal(logdisk_read(&disk, &pic, COW_CHECK_TAIL), COW_LOG_OVERLAP);
}

/* The disk is bad there, and power failed before the void was recorded. */
static void unreadable_backup(void **data)
{
	(void)data;
	logdisk_backup(&disk, 10, 100, 1, 10);
	logdisk_finish(&disk);
	disk.fail_read = 100 * BS;
	read_all(COW_CHECK_ALL);
	assert_int_equal(pic.nr_voids, 1);
	assert_int_equal(place[10], NOWHERE);
	/* Now somebody relied on it: the original is gone. */
	logdisk_fill(&disk, 10, 1, 0);
	cow_picture_exit(&pic);
	assert_int_equal(logdisk_read(&disk, &pic, COW_CHECK_ALL), COW_LOG_IO);
}

/* A hidden block is not restored from itself: the backup will be needed. */
static void unreadable_backup_of_hidden(void **data)
{
	(void)data;
	disk.head.hidden[1].source = 16 * BS;
	disk.head.hidden[1].live = 220 * BS;
	disk.head.hidden_count = 2;
	logdisk_backup(&disk, 16, 221, 1, 16);
	logdisk_finish(&disk);
	/* Not blanked yet: the original is still there. */
	disk.fail_read = 221 * BS;
	assert_int_equal(logdisk_read(&disk, &pic, COW_CHECK_ALL), COW_LOG_IO);
	assert_int_equal(pic.complaint.source, 16 * BS);
}

/* In an older page its void would be there already: the group was durable. */
static void unreadable_backup_of_older_page(void **data)
{
	(void)data;
	logdisk_backup(&disk, 10, 100, 1, 10);
	logdisk_seal(&disk, 300);
	logdisk_finish(&disk);
	disk.fail_read = 100 * BS;
	assert_int_equal(logdisk_read(&disk, &pic, COW_CHECK_ALL), COW_LOG_IO);
}

static void dropped_tail(void **data)
{
	(void)data;
	logdisk_backup(&disk, 10, 100, 1, 100);
	logdisk_write(&disk, 0);
	logdisk_seal(&disk, 300);
	logdisk_backup(&disk, 11, 101, 1, 11);
	logdisk_write(&disk, SLOT1);
	logdisk_fill(&disk, 300, 1, 0);		/* the seal is lost */
	logdisk_fill(&disk, 10, 1, 0);
	read_all(COW_CHECK_ALL);
	assert_true(pic.dropped_tail);
	assert_int_equal(pic.log.newest, 0);
	assert_int_equal(pic.log.head.sequence, 0);
	/* The next version must be younger than the one that is dropped. */
	assert_int_equal(pic.log.generation, disk.head.generation);
	assert_int_equal(place[10], 100);
	assert_int_equal(place[11], NOWHERE);
}

/* Torn records in block 0: its header still says where slot 1 is. */
static void torn_slot0(void **data)
{
	(void)data;
	disk.head.slot1 = 380 * BS;
	logdisk_backup(&disk, 10, 100, 1, 100);
	logdisk_write(&disk, 380);
	logdisk_write(&disk, 0);
	logdisk_block(&disk, 0)[512] ^= 1;
	read_all(COW_CHECK_ALL);
	assert_int_equal(pic.log.newest, 1);
	assert_int_equal(pic.log.head.slot1, 380 * BS);
	assert_int_equal(pic.log.generation, disk.head.generation);
	assert_int_equal(place[10], 100);
}

/* Slot 1 names an older slot 1: only block 0 is believed. */
static void slot1_by_block0_only(void **data)
{
	(void)data;
	logdisk_write(&disk, 0);
	disk.head.slot1 = 200 * BS;
	disk.head.seal = 210 * BS;
	logdisk_write(&disk, SLOT1);
	read_all(COW_CHECK_ALL);
	assert_int_equal(pic.log.newest, 1);
	assert_int_equal(pic.log.head.slot1, SLOT1 * BS);
	assert_int_equal(pic.log.head.seal, 210 * BS);
}

static void short_last_block(void **data)
{
	(void)data;
	disk.io.sectors -= 3;
	disk.head.device_sectors -= 3;
	logdisk_backup(&disk, BLOCKS - 1, 100, 1, 100);
	logdisk_finish(&disk);
	logdisk_fill(&disk, 10, 1, 0);
	read_all(COW_CHECK_ALL);
	assert_int_equal(place[BLOCKS - 1], 100);
	assert_int_equal(pic.backup_sectors, BS + BS - 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, disk_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(plain), TEST(part_of_a_run_moved), TEST(move_across_runs),
		TEST(many_moves_over_pages), TEST(sealed_page_moved), TEST(voids),
		TEST(one_void_serves_once), TEST(void_by_content), TEST(cut_yet_given_away),
		TEST(unreadable_backup),
		TEST(unreadable_backup_of_hidden), TEST(unreadable_backup_of_older_page),
		TEST(dropped_tail),
		TEST(torn_slot0), TEST(slot1_by_block0_only), TEST(short_last_block),
	};

	return cmocka_run_group_tests_name("picture", tests, NULL, NULL);
}
