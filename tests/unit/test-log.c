// SPDX-License-Identifier: GPL-2.0-only
/* Encoding, decoding, bounds: every way in which a log can be refused. */
#include "unit.h"
#include "dm-bow-proto.h"
#include "dm-cow-finish.h"
#include "logdisk.h"


static void expect_depth(enum cow_log_error error, enum cow_picture_depth depth)
{
	struct cow_picture pic;
	enum cow_log_error got = logdisk_read(&disk, &pic, depth);

	if (got != error)
		fail_msg("'%s' instead of '%s'", cow_log_strerror(got),
			 cow_log_strerror(error));
	assert_int_equal(pic.complaint.error, error);
	assert_int_equal(disk.writes, 0);
	cow_picture_exit(&pic);
}

static void expect(enum cow_log_error error)
{
	expect_depth(error, COW_CHECK_ALL);
}

/* Change a header field in both slots, checksums made right again. */
#define WITH_HEAD(field, value, error) do {		\
	__auto_type old_ = disk.head.field;		\
	disk.head.field = (value);			\
	logdisk_finish(&disk);				\
	disk.head.field = old_;				\
	expect(error);					\
} while (0)

static void header_and_back(void **data)
{
	struct cow_head head;
	u32 i;

	(void)data;
	assert_int_equal(sizeof(struct cow_disk_header), COW_HEADER_SIZE);
	assert_int_equal(sizeof(struct cow_disk_record), 24);
	assert_int_equal(sizeof(struct cow_disk_page), COW_PAGE_SIZE);
	disk.head.hidden_count = COW_MAX_HIDDEN;
	for (i = 1; i < COW_MAX_HIDDEN; i++) {
		disk.head.hidden[i].source = i * BS;
		disk.head.hidden[i].live = (100 + i) * BS;
	}
	disk.head.seal = 333 * BS;
	disk.head.sequence = 1ULL << 40;
	disk.head.prev_place = 334 * BS;
	disk.head.prev_generation = 1ULL << 63;
	disk.head.time = 1700000000;
	logdisk_write(&disk, 0);
	assert_int_equal(cow_head_decode(&disk.page, disk.io.sectors, &head), COW_LOG_OK);
	assert_memory_equal(&head, &disk.head, sizeof(head));
	assert_true(cow_page_records_valid(&disk.page, &head));
	disk.page.records[0].data_crc ^= 1;
	assert_false(cow_page_records_valid(&disk.page, &head));
}

static void record_and_back(void **data)
{
	struct cow_record record = {
		.kind = COW_RECORD_RESERVE, .source = COW_RECORD_SECTOR_MASK,
		.dest = ~0ULL, .sectors = ~0U, .crc = 0x12345678,
	}, back;

	(void)data;
	logdisk_raw(&disk, &record);
	back = cow_record_decode(&disk.page.records[1]);
	assert_int_equal(record.kind, back.kind);
	assert_int_equal(record.source, back.source);
	assert_int_equal(record.dest, back.dest);
	assert_int_equal(record.sectors, back.sectors);
	assert_int_equal(record.crc, back.crc);
}

static void known_checksum(void **data)
{
	(void)data;
	assert_int_equal(cow_crc("123456789", 9), 0xe3069283);
}

static void every_bit_of_a_header_counts(void **data)
{
	struct cow_head head;
	u32 i;

	(void)data;
	logdisk_write(&disk, 0);
	for (i = 0; i < COW_HEADER_SIZE * 8; i++) {
		u8 *byte = (u8 *)&disk.page + i / 8;

		*byte ^= 1 << i % 8;
		assert_int_not_equal(cow_head_decode(&disk.page, disk.io.sectors, &head),
				     COW_LOG_OK);
		*byte ^= 1 << i % 8;
	}
}

static void good(void **data)
{
	(void)data;
	logdisk_finish(&disk);
	expect(COW_LOG_OK);
	expect_depth(COW_LOG_OK, COW_CHECK_TAIL);
}

static void no_magic(void **data)
{
	(void)data;
	expect(COW_LOG_NO_MAGIC);
	logdisk_finish(&disk);
	logdisk_block(&disk, 0)[7] ^= 0x20;
	expect(COW_LOG_NO_MAGIC);
	disk.io.sectors = 7;
	expect(COW_LOG_NO_MAGIC);
}

static void bad_header(void **data)
{
	(void)data;
	logdisk_finish(&disk);
	logdisk_block(&disk, 0)[300] ^= 1;
	expect(COW_LOG_BAD_HEADER);
}

static void fix_header(u64 block)
{
	struct cow_disk_header *header = (void *)logdisk_block(&disk, block);

	header->header_crc = 0;
	header->header_crc = cpu_to_le32(cow_crc(header, sizeof(*header)));
}

static void finish_with(size_t at, u8 value)
{
	u32 i;

	logdisk_finish(&disk);
	for (i = 0; i < 2; i++) {
		u64 block = i ? SLOT1 : 0;

		logdisk_block(&disk, block)[at] = value;
		fix_header(block);
	}
}

static void versions_and_features(void **data)
{
	(void)data;
	finish_with(offsetof(struct cow_disk_header, version), 2);
	expect(COW_LOG_BAD_VERSION);
	finish_with(offsetof(struct cow_disk_header, features_incompat), 2);
	expect(COW_LOG_BAD_FEATURES);
	finish_with(offsetof(struct cow_disk_header, features_incompat), 1);
	expect(COW_LOG_WRONG_KIND);
	finish_with(offsetof(struct cow_disk_header, features_incompat) + 3, 0x80);
	expect(COW_LOG_BAD_FEATURES);
	finish_with(offsetof(struct cow_disk_header, features_compat), 0xff);
	expect(COW_LOG_OK);
	finish_with(offsetof(struct cow_disk_header, reserved) + 100, 0xff);
	expect(COW_LOG_OK);
}

/* Read like any other, and written to by nobody. */
static void read_only(void **data)
{
	static struct cow cow;
	struct cow_picture pic;

	(void)data;
	finish_with(offsetof(struct cow_disk_header, features_ro_compat) + 3, 0x80);
	assert_int_equal(logdisk_read(&disk, &pic, COW_CHECK_ALL), COW_LOG_OK);
	assert_true(pic.log.read_only);
	assert_int_equal(cow_restore(&pic, NULL, NULL), -EROFS);
	assert_int_equal(cow_commit(&pic.log, &pic.geo, &disk.io, pic.buf), -EROFS);
	assert_int_equal(cow_init(&cow, disk.io.sectors, BS, &disk.io, NULL), 0);
	assert_int_equal(bow_resume(&cow, &pic), -EROFS);
	cow_exit(&cow);
	cow_picture_exit(&pic);
	/* One page will do. */
	finish_with(offsetof(struct cow_disk_header, features_ro_compat), 0);
	logdisk_seal(&disk, 300);
	((struct cow_disk_header *)logdisk_block(&disk, 300))->features_ro_compat = 1;
	fix_header(300);
	logdisk_finish(&disk);
	assert_int_equal(logdisk_read(&disk, &pic, COW_CHECK_TAIL), COW_LOG_OK);
	assert_true(pic.log.read_only);
	cow_picture_exit(&pic);
	assert_int_equal(disk.writes, 0);
}

static void geometry(void **data)
{
	u64 last = (BLOCKS - 1) * BS;

	(void)data;
	WITH_HEAD(block_sectors, 0, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(block_sectors, 4, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(block_sectors, 12, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(block_sectors, 4096, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(block_sectors, 0x80000000U, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(device_sectors, 1ULL << 57, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(device_sectors, disk.io.sectors - 1, COW_LOG_WRONG_SIZE);
	WITH_HEAD(state, 0, COW_LOG_BAD_STATE);
	WITH_HEAD(state, 4, COW_LOG_BAD_STATE);
	WITH_HEAD(generation, 1ULL << 62, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(generation, ~0ULL - 2, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(slot1, 0, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(slot1, 3, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(slot1, disk.io.sectors, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(slot1, ~7ULL, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(seal, 5, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(seal, last + BS, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(seal, last, COW_LOG_OK);
	WITH_HEAD(prev_place, 8, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(sequence, 1, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(hidden[0].live, 0, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(hidden[0].live, 9, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(hidden[0].source, 9, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(hidden[0].live, SLOT1 * BS, COW_LOG_OVERLAP);
	WITH_HEAD(hidden_count, 0, COW_LOG_BAD_GEOMETRY);
	/* Hidden, yet nowhere saved. */
	WITH_HEAD(hidden[0].source, 80, COW_LOG_BAD_GEOMETRY);
	finish_with(offsetof(struct cow_disk_header, hidden_count), COW_MAX_HIDDEN + 1);
	expect(COW_LOG_BAD_GEOMETRY);
	finish_with(offsetof(struct cow_disk_header, hidden_count) + 3, 0xff);
	expect(COW_LOG_BAD_GEOMETRY);
	finish_with(offsetof(struct cow_disk_header, record_count), 150);
	expect(COW_LOG_BAD_GEOMETRY);
	finish_with(offsetof(struct cow_disk_header, record_count) + 3, 0x80);
	expect(COW_LOG_BAD_GEOMETRY);
}

static void no_tail(void **data)
{
	(void)data;
	logdisk_finish(&disk);
	logdisk_block(&disk, 0)[600] ^= 1;
	logdisk_block(&disk, 0)[520] ^= 1;
	expect(COW_LOG_OK);
	logdisk_block(&disk, SLOT1)[520] ^= 1;
	expect(COW_LOG_NO_TAIL);
	/* A page of another checkpoint is none. */
	disk.head.uuid[3] ^= 1;
	logdisk_write(&disk, SLOT1);
	expect(COW_LOG_FOREIGN);
}

/* Marks go to slot 1, but a header that was put back into block 0 has one too. */
static void marked_in_slot0(void **data)
{
	static const u32 marks[] = { COW_LOG_RESTORING, COW_LOG_COMMITTING };
	unsigned int i;

	(void)data;
	logdisk_finish(&disk);
	for (i = 0; i < 2; i++) {
		disk.head.state = marks[i];
		logdisk_write(&disk, SLOT1);
		expect(COW_LOG_OK);
		logdisk_write(&disk, 0);
		expect_depth(COW_LOG_OK, COW_CHECK_TAIL);
	}
}

/*
 * Block 0 is written over before the end: a mark that is there alone would be
 * lost in a cut, and a half restored device taken for a live one.
 */
static void marked_once_more(void **data)
{
	static const u32 marks[] = { COW_LOG_RESTORING, COW_LOG_COMMITTING };
	struct cow_picture pic;
	struct cow_head head;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		logdisk_write(&disk, SLOT1);
		disk.head.state = marks[i];
		logdisk_write(&disk, 0);
		assert_int_equal(logdisk_read(&disk, &pic, COW_CHECK_ALL), COW_LOG_OK);
		assert_int_equal(pic.log.newest, 0);
		if (i)
			assert_int_equal(cow_commit(&pic.log, &pic.geo, &disk.io,
						    pic.buf), 0);
		else
			assert_int_equal(cow_restore(&pic, NULL, NULL), 0);
		cow_picture_exit(&pic);
		memcpy(&disk.page, logdisk_block(&disk, SLOT1), sizeof(disk.page));
		assert_int_equal(cow_head_decode(&disk.page, disk.io.sectors, &head),
				 COW_LOG_OK);
		assert_int_equal(head.state, marks[i]);
		disk_teardown(data);
		disk_setup(data);
	}
}

/* Two hidden blocks of which the second is wrong in every possible way. */
static void hidden_twice(void **data)
{
	(void)data;
	disk.head.hidden_count = 2;
	disk.head.hidden[1].source = BS;
	disk.head.hidden[1].live = 300 * BS;
	logdisk_backup(&disk, 1, 301, 1, 301);
	logdisk_finish(&disk);
	expect(COW_LOG_OK);
	WITH_HEAD(hidden[1].live, LIVE0 * BS, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(hidden[1].live, BS, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(hidden[0].live, BS, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(hidden[1].source, SLOT1 * BS, COW_LOG_OVERLAP);
	/* A block that was the place of a backup was free: nothing to hide. */
	logdisk_backup(&disk, 301, 310, 1, 301);
	memcpy(logdisk_block(&disk, 310), logdisk_block(&disk, 301), BS * 512);
	WITH_HEAD(hidden[1].source, 301 * BS, COW_LOG_BAD_GEOMETRY);
}

static void broken_chain(void **data)
{
	(void)data;
	logdisk_seal(&disk, 300);
	logdisk_finish(&disk);
	expect(COW_LOG_OK);
	logdisk_block(&disk, 300)[520] ^= 1;	/* its records */
	expect(COW_LOG_BROKEN_CHAIN);
	logdisk_block(&disk, 300)[520] ^= 1;
	logdisk_block(&disk, 300)[90] ^= 1;	/* its header */
	expect(COW_LOG_BROKEN_CHAIN);
	logdisk_block(&disk, 300)[90] ^= 1;
	WITH_HEAD(prev_generation, 3, COW_LOG_BROKEN_CHAIN);
	WITH_HEAD(sequence, 5, COW_LOG_BROKEN_CHAIN);
	WITH_HEAD(prev_place, 301 * BS, COW_LOG_BROKEN_CHAIN);
	disk.head.uuid[0] ^= 1;
	logdisk_finish(&disk);
	expect(COW_LOG_FOREIGN);
	disk.head.uuid[0] ^= 1;
	/* The predecessor is the page itself: its sequence is not one less. */
	WITH_HEAD(prev_place, SLOT1 * BS, COW_LOG_BROKEN_CHAIN);
}

static void one_record(u32 kind, u64 source, u64 dest, u32 sectors,
		       enum cow_log_error error)
{
	struct cow_record record = {
		.kind = kind, .source = source, .dest = dest, .sectors = sectors,
	};

	logdisk_raw(&disk, &record);
	logdisk_finish(&disk);
	disk.head.record_count--;
	expect(error);
}

static void bad_records(void **data)
{
	u64 end = disk.io.sectors;

	(void)data;
	one_record(0, 80, 160, 8, COW_LOG_BAD_RECORD);
	one_record(5, 80, 160, 8, COW_LOG_BAD_RECORD);
	one_record(255, 80, 160, 8, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_BACKUP, 80, 160, 0, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_BACKUP, 81, 160, 8, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_BACKUP, 80, 161, 8, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_BACKUP, 80, 160, 9, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_BACKUP, 80, 0, 8, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_BACKUP, end, 160, 8, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_BACKUP, 80, end, 8, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_BACKUP, 80, end - 8, 16, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_BACKUP, end - 8, 160, 16, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_BACKUP, 0, 160, 2056, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_BACKUP, 80, 160, ~7U, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_BACKUP, 80, ~7ULL, 8, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_FREE, 0, 80, 0, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_FREE, 80, 0, 0, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_FREE, 80, 4, 0, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_FREE, 81, 8, 0, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_FREE, 80, end, 0, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_FREE, 80, ~7ULL, 0, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_FREE, 80, end - 80, 0, COW_LOG_OK);
	one_record(COW_RECORD_RESERVE, 80, end, 0, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_RESERVE, 80, 0, 0, COW_LOG_OK);
	one_record(COW_RECORD_VOID, 81, 160, 0, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_VOID, 80, 161, 0, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_VOID, end, 160, 0, COW_LOG_BAD_RECORD);
	one_record(COW_RECORD_VOID, 80, end, 0, COW_LOG_BAD_RECORD);
}

static void source_twice(void **data)
{
	(void)data;
	logdisk_backup(&disk, 10, 100, 2, 100);
	logdisk_backup(&disk, 11, 110, 1, 110);
	logdisk_finish(&disk);
	expect(COW_LOG_SOURCE_TWICE);
}

/* A backup that never was, of a source that has been overwritten since another. */
static void void_and_valid(void **data)
{
	(void)data;
	logdisk_backup(&disk, 11, 110, 1, 110);
	logdisk_backup(&disk, 10, 100, 3, 10);
	logdisk_finish(&disk);
	expect(COW_LOG_SOURCE_TWICE);
	disk.head.record_count = 1;
	logdisk_backup(&disk, 10, 100, 3, 10);
	logdisk_backup(&disk, 11, 110, 1, 110);
	logdisk_finish(&disk);
	expect(COW_LOG_SOURCE_TWICE);
	/* Twice cut is fine. */
	disk.head.record_count = 2;
	logdisk_backup(&disk, 11, 110, 1, 11);
	logdisk_finish(&disk);
	expect(COW_LOG_OK);
}

static void overlaps(void **data)
{
	(void)data;
	/* One place given to two backups. */
	logdisk_backup(&disk, 10, 100, 2, 100);
	logdisk_backup(&disk, 20, 101, 1, 101);
	logdisk_finish(&disk);
	expect(COW_LOG_OVERLAP);
	disk.head.record_count--;
	/* ...or to a backup and something that a header names. */
	WITH_HEAD(seal, 101 * BS, COW_LOG_OVERLAP);
	WITH_HEAD(hidden[0].live, 101 * BS, COW_LOG_OVERLAP);
	WITH_HEAD(seal, LIVE0 * BS, COW_LOG_OVERLAP);
	/* A block that is restored over a place of ours. */
	WITH_HEAD(seal, 10 * BS, COW_LOG_OVERLAP);
	/* The free map names a block twice. */
	logdisk_extent(&disk, COW_RECORD_FREE, 50, 10);
	logdisk_extent(&disk, COW_RECORD_FREE, 59, 10);
	logdisk_finish(&disk);
	expect(COW_LOG_OVERLAP);
}

static void bad_void(void **data)
{
	(void)data;
	logdisk_void(&disk, 10, 100);
	logdisk_void(&disk, 11, 100);
	logdisk_finish(&disk);
	expect(COW_LOG_BAD_VOID);
	/* Or nothing at all. */
	disk.head.record_count--;
	logdisk_finish(&disk);
	expect(COW_LOG_BAD_VOID);
}

/* A resume is going to give the place of a cut backup away. */
static void pending_void_in_use(void **data)
{
	static const u64 used[] = { SLOT1, LIVE0, BACKUP0, 100, 50 };
	u32 i;

	(void)data;
	logdisk_backup(&disk, 50, 100, 1, 100);
	for (i = 0; i < ARRAY_SIZE(used); i++) {
		logdisk_backup(&disk, 10, used[i], 1, 10);
		logdisk_finish(&disk);
		expect(COW_LOG_OVERLAP);
		disk.head.record_count--;
	}
	logdisk_backup(&disk, 10, 98, 3, 10);
	logdisk_finish(&disk);
	expect(COW_LOG_OVERLAP);
	/* Slot 1 is not saved as other blocks are. */
	disk.head.record_count = 1;
	logdisk_finish(&disk);
	logdisk_backup(&disk, SLOT1, 100, 1, 50);
	logdisk_finish(&disk);
	logdisk_fill(&disk, SLOT1, 1, (u8)(50 * 7 + 1));
	expect(COW_LOG_OVERLAP);
	/* Or to void twice. */
	disk.head.record_count = 1;
	logdisk_backup(&disk, 10, 100, 2, 10);
	logdisk_backup(&disk, 12, 102, 1, 12);
	logdisk_finish(&disk);
	expect(COW_LOG_OK);
	logdisk_backup(&disk, 13, 101, 1, 13);
	logdisk_finish(&disk);
	expect(COW_LOG_OVERLAP);
}

static void reserve_not_free(void **data)
{
	(void)data;
	logdisk_extent(&disk, COW_RECORD_RESERVE, 100, 20);
	logdisk_finish(&disk);
	expect(COW_LOG_BAD_RESERVE);
	logdisk_extent(&disk, COW_RECORD_FREE, 90, 15);
	logdisk_extent(&disk, COW_RECORD_FREE, 105, 14);
	logdisk_finish(&disk);
	expect(COW_LOG_BAD_RESERVE);
	logdisk_extent(&disk, COW_RECORD_FREE, 119, 1);
	logdisk_finish(&disk);
	expect(COW_LOG_OK);
}

/* One place a backup, in older pages too: else reading them has no end. */
static void lost_backups(void **data)
{
	(void)data;
	logdisk_backup(&disk, 10, 100, 1, 10);
	logdisk_seal(&disk, 300);
	logdisk_finish(&disk);
	expect(COW_LOG_OK);
	disk.head.sequence = 0;
	disk.head.prev_place = 0;
	logdisk_backup(&disk, 10, 100, 1, 10);
	logdisk_backup(&disk, 11, 100, 1, 11);
	logdisk_seal(&disk, 300);
	logdisk_finish(&disk);
	expect(COW_LOG_OVERLAP);
}

static void bad_data(void **data)
{
	(void)data;
	logdisk_backup(&disk, 10, 100, 1, 100);
	logdisk_finish(&disk);
	logdisk_fill(&disk, 100, 1, 0);
	expect(COW_LOG_BAD_DATA);
	expect_depth(COW_LOG_BAD_DATA, COW_CHECK_TAIL);
	logdisk_seal(&disk, 300);
	logdisk_finish(&disk);
	expect(COW_LOG_BAD_DATA);
	expect_depth(COW_LOG_OK, COW_CHECK_TAIL);
}

/* Slot 0 holds page 0; slot 1 page 1, whose predecessor was never sealed. */
static void cut_group(void)
{
	logdisk_write(&disk, 0);
	logdisk_seal(&disk, 300);
	logdisk_backup(&disk, 10, 100, 1, 10);
	logdisk_write(&disk, SLOT1);
	logdisk_fill(&disk, 300, 1, 0);
}

static void dropped_data(void **data)
{
	(void)data;
	cut_group();
	expect(COW_LOG_OK);
	/* Free space is full of pages of earlier checkpoints. */
	disk.head.uuid[5] ^= 1;
	logdisk_write(&disk, 300);
	disk.head.uuid[5] ^= 1;
	expect(COW_LOG_OK);
	logdisk_fill(&disk, 10, 1, 0);
	expect(COW_LOG_DROPPED_DATA);
}

/* A restore relied on this tail: half of it may be done. */
static void marked_and_broken(void **data)
{
	(void)data;
	cut_group();
	expect(COW_LOG_OK);
	disk.head.state = COW_LOG_RESTORING;
	logdisk_write(&disk, SLOT1);
	expect(COW_LOG_BROKEN_CHAIN);
}

static void io_errors(void **data)
{
	static const u64 sectors[] = { 0, SLOT1 * BS, 300 * BS, BACKUP0 * BS, 100 * BS };
	u32 i;

	(void)data;
	logdisk_seal(&disk, 300);
	logdisk_backup(&disk, 10, 100, 1, 100);
	logdisk_finish(&disk);
	for (i = 0; i < ARRAY_SIZE(sectors); i++) {
		disk.fail_read = sectors[i];
		expect(COW_LOG_IO);
	}
	disk.fail_read = ~0ULL;
	disk.flush_error = -EIO;
	expect(COW_LOG_IO);
}

/* Whatever allocation fails, that is what is said. Returns how many there are. */
static unsigned int fail_each_allocation(void)
{
	enum cow_log_error error;
	unsigned int nth = 0;

	do {
		struct cow_picture pic;

		fail_allocation(++nth);
		error = COW_LOG_NO_MEMORY;
		if (!cow_picture_init(&pic, &disk.io)) {
			error = cow_picture_read(&pic, COW_CHECK_ALL);
			cow_picture_exit(&pic);
		}
		if (error && error != COW_LOG_NO_MEMORY)
			fail_msg("allocation %u: '%s'", nth, cow_log_strerror(error));
	} while (error);
	fail_allocation(0);
	return nth - 1;
}

static void no_memory(void **data)
{
	(void)data;
	logdisk_seal(&disk, 300);
	logdisk_backup(&disk, 10, 100, 3, 100);
	logdisk_backup(&disk, 101, 200, 1, 101);
	logdisk_backup(&disk, 50, 60, 1, 50);
	logdisk_void(&disk, 50, 60);
	logdisk_extent(&disk, COW_RECORD_FREE, 250, 20);
	logdisk_finish(&disk);
	assert_true(fail_each_allocation() > 14);
}

/* What cannot be read is blamed for much, but not for a lack of memory. */
static void no_memory_beside_unreadable(void **data)
{
	(void)data;
	logdisk_backup(&disk, 10, 100, 1, 10);
	logdisk_extent(&disk, COW_RECORD_FREE, 250, 20);
	logdisk_finish(&disk);
	disk.fail_read = 100 * BS;
	assert_true(fail_each_allocation() > 10);
}

static void words_for_all(void **data)
{
	unsigned int i, j;

	(void)data;
	for (i = 0; i < COW_LOG_NR_ERRORS; i++)
		for (j = 0; j < i; j++)
			assert_string_not_equal(cow_log_strerror(i), cow_log_strerror(j));
	assert_string_equal(cow_log_strerror(COW_LOG_NR_ERRORS), "unknown error");
}

/* Anything at all: an answer, never a crash, and nothing is written. */
static void garbage(void **data)
{
	struct cow_picture pic;
	unsigned int i, j;

	(void)data;
	for (i = 0; i < 3000; i++) {
		struct cow_record record = {
			.kind = 1 + rnd(&rng, 4),
			.source = rnd(&rng, BLOCKS) * BS, .dest = rnd(&rng, BLOCKS) * BS,
			.sectors = rnd(&rng, 5) * BS, .crc = (u32)rnd(&rng, 1ULL << 32),
		};

		if (disk.head.record_count > 100)
			disk.head.record_count = 1;
		if (!rnd(&rng, 8))
			record.source = rnd(&rng, ~0ULL);
		if (!rnd(&rng, 8))
			record.dest = rnd(&rng, ~0ULL);
		if (record.dest < disk.io.sectors - 40 && rnd(&rng, 2))
			record.crc = cow_crc(disk.mem + record.dest * 512,
					     record.sectors * 512);
		record.source &= COW_RECORD_SECTOR_MASK;
		logdisk_raw(&disk, &record);
		logdisk_finish(&disk);
		for (j = rnd(&rng, 3); j; j--)
			finish_with(16 + rnd(&rng, 240), (u8)rnd(&rng, 256));
		logdisk_read(&disk, &pic, rnd(&rng, 2) ? COW_CHECK_ALL : COW_CHECK_TAIL);
		cow_picture_exit(&pic);
		assert_int_equal(disk.writes, 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, disk_setup, disk_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(header_and_back), TEST(record_and_back), TEST(known_checksum),
		TEST(every_bit_of_a_header_counts), TEST(good), TEST(no_magic),
		TEST(bad_header), TEST(versions_and_features), TEST(read_only),
		TEST(geometry), TEST(marked_in_slot0), TEST(marked_once_more),
		TEST(hidden_twice),
		TEST(no_tail), TEST(broken_chain), TEST(bad_records),
		TEST(source_twice), TEST(void_and_valid), TEST(overlaps),
		TEST(bad_void), TEST(bad_data),
		TEST(pending_void_in_use), TEST(reserve_not_free),
		TEST(lost_backups), TEST(dropped_data), TEST(marked_and_broken),
		TEST(io_errors), TEST(no_memory),
		TEST(no_memory_beside_unreadable), TEST(words_for_all), TEST(garbage),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
