// SPDX-License-Identifier: GPL-2.0-only
/* The log of a snapshot, on a store: what is refused, and the way back. */
#include "unit.h"
#include "dm-cow-finish.h"

void fail_allocation(unsigned int nth);	/* logdisk.c */

#define BS 8U			/* sectors in a block */
#define ORIGIN 61U		/* blocks; the last one is short */
#define SHORT 3U		/* sectors that it lacks */
#define STORE 100U		/* blocks */
#define SLOT1 32U
#define SEAL 33U

static struct store_disk {
	struct cow_io io;
	u8 store[STORE * BS * 512];
	u8 origin[ORIGIN * BS * 512];
	u64 fail_write;		/* sector of the store that cannot be written to, or ~0 */
	bool dead;		/* none can */
	unsigned int writes, flushes;
	u32 last_sectors;	/* of the last write */
	struct cow_head head;
	struct cow_disk_page page;
} disk;

static struct cow_picture pic;
static u8 taken[sizeof(disk.origin)];	/* the origin as it was at the take */

/* ---- two devices ---------------------------------------------------------- */

static u8 *at(u64 sector, u32 sectors)
{
	if (sector >= COW_ORIGIN_BASE) {
		assert_true(sector + sectors <= disk.io.sectors);
		return disk.origin + (sector - COW_ORIGIN_BASE) * 512;
	}
	assert_true(sector + sectors <= disk.io.store_sectors);
	return disk.store + sector * 512;
}

static int mem_read(struct cow_io *io, u64 sector, void *buf, u32 sectors)
{
	(void)io;
	memcpy(buf, at(sector, sectors), sectors * 512);
	return 0;
}

static int mem_write(struct cow_io *io, u64 sector, const void *buf, u32 sectors)
{
	(void)io;
	disk.writes++;
	disk.last_sectors = sectors;
	if (disk.dead || (disk.fail_write >= sector && disk.fail_write < sector + sectors))
		return -EIO;
	memcpy(at(sector, sectors), buf, sectors * 512);
	return 0;
}

static int mem_flush(struct cow_io *io)
{
	(void)io;
	disk.flushes++;
	return 0;
}

static const struct cow_io_ops mem_ops = {
	.read = mem_read, .write = mem_write, .flush = mem_flush,
};

static u8 *store_block(u64 block)
{
	return disk.store + block * BS * 512;
}

static u8 *origin_block(u64 block)
{
	return disk.origin + block * BS * 512;
}

static int setup(void **data)
{
	u64 i;

	(void)data;
	memset(&disk, 0, sizeof(disk));
	disk.io.ops = &mem_ops;
	disk.io.sectors = COW_ORIGIN_BASE + ORIGIN * BS - SHORT;
	disk.io.store_sectors = STORE * BS;
	disk.io.atomic_sectors = 1;
	disk.fail_write = ~0ULL;
	for (i = 0; i < ORIGIN; i++)
		memset(origin_block(i), (int)(1 + 3 * i), BS * 512);
	memset(disk.store, 0xd5, sizeof(disk.store));
	memcpy(taken, disk.origin, sizeof(taken));
	memset(disk.head.uuid, 0x5a, sizeof(disk.head.uuid));
	disk.head.state = COW_LOG_CHECKPOINT;
	disk.head.device_sectors = disk.io.sectors;
	disk.head.store_sectors = STORE * BS;
	disk.head.block_sectors = BS;
	disk.head.slot1 = SLOT1 * BS;
	disk.head.seal = SEAL * BS;
	disk.head.generation = 10;
	return 0;
}

static int teardown(void **data)
{
	(void)data;
	cow_picture_exit(&pic);
	return 0;
}

/* ---- a log, made by hand ---------------------------------------------------- */

static void add(u32 kind, u64 source, u64 dest, u32 sectors, u32 crc)
{
	struct cow_log log = { .head = disk.head, .tail = &disk.page };
	struct cow_record record = {
		.kind = kind, .source = source, .dest = dest, .sectors = sectors, .crc = crc,
	};

	cow_log_add(&log, &record);
	disk.head.record_count = log.head.record_count;
}

/* The last block of the origin is short. */
static u32 run_sectors(u64 block, u64 nr)
{
	return (u32)min(nr * BS, (u64)ORIGIN * BS - SHORT - block * BS);
}

/* Old contents of the origin go to the store, or do not arrive, and are logged. */
static void backup(u64 source, u64 dest, u64 nr, bool arrives)
{
	u32 sectors = run_sectors(source, nr);

	if (arrives)
		memcpy(store_block(dest), origin_block(source), sectors * 512);
	add(COW_RECORD_BACKUP, COW_ORIGIN_BASE + source * BS, dest * BS, sectors,
	    cow_crc(origin_block(source), sectors * 512));
}

static void overwrite(u64 block, u64 nr)
{
	memset(origin_block(block), 0xee, run_sectors(block, nr) * 512);
}

static void write_page(u64 block)
{
	disk.head.generation++;
	disk.head.features_compat = block == SLOT1 ? COW_FEATURE_SLOT1 : 0;
	cow_page_encode(&disk.page, &disk.head);
	memcpy(store_block(block), &disk.page, sizeof(disk.page));
}

static void finish(void)
{
	write_page(SLOT1);
	write_page(0);
}

static void seal_page(u64 block)
{
	write_page(block);
	disk.head.sequence++;
	disk.head.prev_place = block * BS;
	disk.head.prev_generation = disk.head.generation;
	disk.head.record_count = 0;
	memset(&disk.page, 0, sizeof(disk.page));
}

static enum cow_log_error read_log(void)
{
	cow_picture_exit(&pic);
	assert_int_equal(cow_picture_init(&pic, &disk.io), 0);
	return cow_picture_read(&pic, COW_CHECK_ALL);
}

static void expect(enum cow_log_error error)
{
	enum cow_log_error got = read_log();

	if (got != error)
		fail_msg("'%s' instead of '%s'", cow_log_strerror(got),
			 cow_log_strerror(error));
	assert_int_equal(disk.writes, 0);
}

static void restored(void)
{
	assert_int_equal(cow_restore(&pic, NULL, NULL), 0);
	assert_memory_equal(disk.origin, taken, sizeof(taken));
	assert_int_equal(read_log(), COW_LOG_NO_MAGIC);
}

/* ---- tests ---------------------------------------------------------------- */

static void there_and_back(void **data)
{
	(void)data;
	backup(0, 40, 1, true);
	backup(10, 41, 3, true);
	backup(ORIGIN - 1, 44, 1, true);
	finish();
	overwrite(0, 1);
	overwrite(10, 3);
	overwrite(ORIGIN - 1, 1);
	expect(COW_LOG_OK);
	assert_int_equal(pic.nr_backups, 3);
	assert_int_equal(pic.log.head.store_sectors, STORE * BS);
	restored();
}

static void nothing_changed_yet(void **data)
{
	(void)data;
	finish();
	expect(COW_LOG_OK);
	restored();
}

/* The store has grown since the older page was sealed. */
static void over_pages_and_growth(void **data)
{
	(void)data;
	disk.head.store_sectors = 50 * BS;
	backup(5, 49, 1, true);
	seal_page(SEAL);
	disk.head.store_sectors = 60 * BS;
	disk.head.seal = 50 * BS;
	backup(6, 59, 1, true);
	finish();
	overwrite(5, 2);
	expect(COW_LOG_OK);
	assert_int_equal(pic.nr_pages, 2);
	restored();
}

/* What a resume gives away begins where the newest page says: nothing is above that. */
static void store_shrinks(void **data)
{
	(void)data;
	backup(5, 59, 1, true);
	seal_page(SEAL);
	disk.head.store_sectors = 50 * BS;
	disk.head.seal = 0;
	finish();
	overwrite(5, 1);
	expect(COW_LOG_BROKEN_CHAIN);
}

static void store_ends_before_slot1(void **data)
{
	(void)data;
	disk.head.slot1 = 60 * BS;
	write_page(0);
	disk.head.slot1 = SLOT1 * BS;
	disk.head.store_sectors = 50 * BS;
	write_page(60);
	expect(COW_LOG_BAD_GEOMETRY);
}

/* Its group was cut, so the origin was not written to. */
static void cut_backup_is_void(void **data)
{
	(void)data;
	backup(5, 40, 2, false);
	backup(20, 42, 1, true);
	finish();
	overwrite(20, 1);
	expect(COW_LOG_OK);
	assert_int_equal(pic.nr_voids, 1);
	restored();
}

static void damaged_backup(void **data)
{
	(void)data;
	backup(5, 40, 2, true);
	finish();
	overwrite(5, 1);
	store_block(41)[7] ^= 1;
	expect(COW_LOG_BAD_DATA);
}

static void voided(void **data)
{
	(void)data;
	backup(5, 40, 1, false);
	add(COW_RECORD_VOID, COW_ORIGIN_BASE + 5 * BS, 40 * BS, 0, 0);
	backup(5, 41, 1, true);
	finish();
	overwrite(5, 1);
	expect(COW_LOG_OK);
	restored();
}

/* One record beside a good one, which must not be taken. */
static void bad_record(u32 kind, u64 source, u64 dest, u32 sectors)
{
	disk.head.record_count = 0;
	backup(5, 40, 1, true);
	add(kind, source, dest, sectors, 0);
	finish();
	expect(COW_LOG_BAD_RECORD);
}

static void sides_are_kept_apart(void **data)
{
	u64 source = COW_ORIGIN_BASE + 10 * BS, end = STORE * BS;

	(void)data;
	bad_record(COW_RECORD_BACKUP, 10 * BS, 50 * BS, BS);
	bad_record(COW_RECORD_BACKUP, COW_ORIGIN_BASE - BS, 50 * BS, BS);
	bad_record(COW_RECORD_BACKUP, source, 0, BS);
	bad_record(COW_RECORD_BACKUP, source, end, BS);
	bad_record(COW_RECORD_BACKUP, source, end - BS, 2 * BS);
	bad_record(COW_RECORD_BACKUP, source, COW_ORIGIN_BASE, BS);
	bad_record(COW_RECORD_BACKUP, source, COW_ORIGIN_BASE + 20 * BS, BS);
	bad_record(COW_RECORD_BACKUP, source, ~7ULL, BS);
	bad_record(COW_RECORD_BACKUP, disk.io.sectors + SHORT, 50 * BS, BS);
	bad_record(COW_RECORD_VOID, 10 * BS, 50 * BS, 0);
	bad_record(COW_RECORD_VOID, source, source, 0);
	bad_record(COW_RECORD_VOID, source, end, 0);
	bad_record(COW_RECORD_FREE, source, BS, 0);
	bad_record(COW_RECORD_FREE, 50 * BS, BS, 0);
	bad_record(COW_RECORD_RESERVE, source, BS, 0);
	bad_record(COW_RECORD_RESERVE, 0, 0, 0);
}

/* The end that the header names counts, not that of the device. */
static void end_of_the_store(void **data)
{
	(void)data;
	disk.head.store_sectors = 50 * BS;
	backup(5, 49, 1, true);
	finish();
	expect(COW_LOG_OK);
	disk.head.record_count = 0;
	backup(5, 49, 2, true);
	finish();
	expect(COW_LOG_BAD_RECORD);
}

static void one_place_twice(void **data)
{
	(void)data;
	memcpy(origin_block(10), origin_block(6), BS * 512);
	backup(5, 40, 2, true);
	backup(10, 41, 1, true);
	finish();
	expect(COW_LOG_OVERLAP);
	disk.head.record_count = 0;
	backup(30, SLOT1, 1, true);
	backup(31, SEAL, 1, true);
	finish();
	expect(COW_LOG_OVERLAP);
}

#define WITH_HEAD(field, value, error) do {		\
	__auto_type old_ = disk.head.field;		\
	disk.head.field = (value);			\
	finish();					\
	disk.head.field = old_;				\
	expect(error);					\
} while (0)

static void headers(void **data)
{
	(void)data;
	WITH_HEAD(store_sectors, STORE * BS, COW_LOG_OK);
	WITH_HEAD(store_sectors, STORE * BS + 1, COW_LOG_WRONG_SIZE);
	WITH_HEAD(store_sectors, COW_ORIGIN_BASE, COW_LOG_WRONG_SIZE);
	WITH_HEAD(store_sectors, COW_ORIGIN_BASE + 1, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(store_sectors, ~0ULL, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(store_sectors, 0, COW_LOG_WRONG_KIND);
	WITH_HEAD(store_sectors, SLOT1 * BS, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(store_sectors, (SEAL + 1) * BS - 1, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(device_sectors, COW_ORIGIN_BASE, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(device_sectors, disk.io.sectors + 1, COW_LOG_WRONG_SIZE);
	WITH_HEAD(device_sectors, ORIGIN * BS - SHORT, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(slot1, COW_ORIGIN_BASE + BS, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(slot1, STORE * BS, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(seal, COW_ORIGIN_BASE + BS, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(seal, STORE * BS, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(seal, SLOT1 * BS, COW_LOG_OVERLAP);
	disk.head.hidden[0].live = 50 * BS;
	WITH_HEAD(hidden_count, 1, COW_LOG_BAD_GEOMETRY);
	disk.head.sequence = 1;
	WITH_HEAD(prev_place, COW_ORIGIN_BASE + BS, COW_LOG_BAD_GEOMETRY);
	WITH_HEAD(prev_place, STORE * BS, COW_LOG_BAD_GEOMETRY);
}

/* The feature without its field, behind a good checksum. */
static void feature_alone(void **data)
{
	struct cow_disk_header *header = (void *)store_block(0);
	struct cow_head head;

	(void)data;
	finish();
	header->store_sectors = 0;
	header->header_crc = 0;
	header->header_crc = cpu_to_le32(cow_crc(header, sizeof(*header)));
	assert_int_equal(cow_head_decode_io((void *)header, &disk.io, &head),
			 COW_LOG_BAD_GEOMETRY);
}

/* Neither is taken for the other, whatever the sizes. */
static void of_the_other_kind(void **data)
{
	struct cow_head head;

	(void)data;
	finish();
	assert_int_equal(cow_head_decode(&disk.page, disk.io.sectors, &head),
			 COW_LOG_WRONG_KIND);
	disk.head.store_sectors = 0;
	finish();
	expect(COW_LOG_WRONG_KIND);
	disk.io.store_sectors = 0;
	assert_int_equal(cow_head_decode_io(&disk.page, &disk.io, &head), COW_LOG_OK);
}

/* Both slots must not be all that is asked: the origin is looked at too. */
static void cut_group_with_changed_source(void **data)
{
	(void)data;
	backup(5, 40, 1, true);
	write_page(0);
	seal_page(SEAL);
	disk.head.seal = 50 * BS;
	backup(6, 41, 1, true);
	write_page(SLOT1);
	memset(store_block(SEAL), 0, BS * 512);		/* the seal is lost */
	overwrite(5, 1);
	expect(COW_LOG_OK);
	assert_true(pic.dropped_tail);
	overwrite(6, 1);
	expect(COW_LOG_DROPPED_DATA);
}

static void commit_is_an_erased_header(void **data)
{
	u8 before[sizeof(disk.origin)];

	(void)data;
	backup(5, 40, 1, true);
	finish();
	overwrite(5, 1);
	memcpy(before, disk.origin, sizeof(before));
	expect(COW_LOG_OK);
	assert_int_equal(cow_commit(&pic.log, &pic.geo, &disk.io, pic.buf), 0);
	assert_int_equal(disk.writes, 1);
	assert_memory_equal(disk.origin, before, sizeof(before));
	assert_int_equal(read_log(), COW_LOG_NO_MAGIC);
}

/* ---- the end, told by its writer -------------------------------------------- */

/* While it is being suspended a log is taken out and put back: that must go as it is. */
static void erased_without_memory(void **data)
{
	(void)data;
	backup(5, 40, 1, true);
	finish();
	expect(COW_LOG_OK);
	fail_allocation(1);
	assert_int_equal(cow_log_erase(&pic.log, &disk.io), 0);
	fail_allocation(0);
	assert_int_equal(disk.writes, 1);
	assert_int_equal(read_log(), COW_LOG_NO_MAGIC);
}

static void end_erases(void **data)
{
	(void)data;
	backup(5, 40, 1, true);
	finish();
	expect(COW_LOG_OK);
	assert_int_equal(cow_log_end(&pic.log, &disk.io), 0);
	assert_int_equal(disk.writes, 1);
	assert_int_equal(read_log(), COW_LOG_NO_MAGIC);
}

/* The header cannot be erased: slot 1 says so, in a version that outdoes all others. */
static void end_is_marked_in_slot1(void **data)
{
	unsigned int newest;

	(void)data;
	for (newest = 0; newest < 2; newest++) {
		disk.head.record_count = 0;
		disk.writes = 0;
		backup(5, 40, 1, true);
		write_page(newest ? 0 : SLOT1);
		write_page(newest ? SLOT1 : 0);
		disk.fail_write = ~0ULL;
		expect(COW_LOG_OK);
		assert_int_equal(pic.log.newest, newest);
		/* A group more that has not reached the disk. */
		cow_log_begin(&pic.log, 0);
		cow_log_add(&pic.log, &(struct cow_record) {
			.kind = COW_RECORD_BACKUP, .source = COW_ORIGIN_BASE + 7 * BS,
			.dest = 60 * BS, .sectors = BS,
		});
		disk.fail_write = 0;
		assert_int_equal(cow_log_end(&pic.log, &disk.io), 0);
		/* Where the newest version is, no record may be torn. */
		assert_int_equal(disk.last_sectors, newest ? 1 : COW_PAGE_SECTORS);
		cow_picture_exit(&pic);
		assert_int_equal(cow_picture_init(&pic, &disk.io), 0);
		assert_int_equal(cow_picture_read(&pic, COW_CHECK_TAIL), COW_LOG_OK);
		assert_int_equal(pic.log.head.state, COW_LOG_COMMITTING);
	}
}

static void end_may_fail(void **data)
{
	(void)data;
	finish();
	expect(COW_LOG_OK);
	disk.dead = true;
	assert_int_equal(cow_log_end(&pic.log, &disk.io), -EIO);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(there_and_back), TEST(nothing_changed_yet), TEST(over_pages_and_growth),
		TEST(store_shrinks), TEST(store_ends_before_slot1),
		TEST(cut_backup_is_void), TEST(damaged_backup), TEST(voided),
		TEST(sides_are_kept_apart), TEST(end_of_the_store), TEST(one_place_twice),
		TEST(headers), TEST(feature_alone), TEST(of_the_other_kind),
		TEST(cut_group_with_changed_source), TEST(commit_is_an_erased_header),
		TEST(erased_without_memory), TEST(end_erases), TEST(end_is_marked_in_slot1),
		TEST(end_may_fail),
	};

	return cmocka_run_group_tests_name("apart", tests, NULL, NULL);
}
