// SPDX-License-Identifier: GPL-2.0-only
/*
 * What must hold for a snapshot: an origin and its store, however hostile.
 */
#include "judge.h"

/* ---- where it may not be ------------------------------------------------------- */

static bool in_store(u64 sector)
{
	return layout_sector(&input.lay, sector - COW_ORIGIN_BASE) < COW_ORIGIN_BASE;
}

static bool any_in_store(u64 sector, u64 nr)
{
	while (nr && !in_store(sector + nr - 1))
		nr--;
	return nr;
}

static int meets(void *data, u64 from, u64 to, u32 sectors)
{
	(void)data;
	(void)from;
	return any_in_store(to, sectors);
}

/* A restore may not write to what it reads, nor to what says where the store is. */
bool apart_meets_store(void)
{
	const struct cow_range *range;
	bool found = false;

	if (!input_inside(&input) || before.complaint.error)
		return false;
	for (range = cow_ranges_first(&before.intact); range; range = cow_ranges_next(range))
		found |= any_in_store(cow_block_to_sector(&before.geo, range->start),
				      cow_run_sectors(&before.geo, range->start, range->nr));
	return found || before.log.head.slot1 < 256 ||
	       cow_picture_each_original(&before, meets, NULL);
}

/* No store at all, whatever it looks like. */
void apart_check_refused(void)
{
	static const char * const commands[] = { "check", "restore" };
	static const char * const options[] = { NULL, "--json", "--quiet" };
	unsigned int i;

	disk_copy(&work, &given);
	for (i = 0; i < ARRAY_SIZE(commands) * ARRAY_SIZE(options); i++)
		must(tool_run(&work, commands[i % 2], options[i / 2]) == REFUSED,
		     "%s of what is no store", commands[i % 2]);
	check_same(&work, &given, "a refused command");
}

/* Where it should be, and where somebody could think that it is. */
void apart_try_inside(void)
{
	static struct layout lay;
	u64 sectors[] = { INSIDE_FIRST, input.cut, input.cut * UNIT_SECTORS, ~7ULL,
			  given.sectors - 256, given.sectors - input.cut };
	unsigned int i;

	lay.sectors = given.sectors;
	for (i = 0; i < ARRAY_SIZE(sectors); i++) {
		layout_inside(&lay, given.mem, sectors[i]);
		disk_copy(&work, &given);
		tool_try_inside(&work, sectors[i], &lay);
	}
}

/* ---- what was written ------------------------------------------------------------- */

static bool in_slot1(u64 sector)
{
	return sector - before.log.head.slot1 < COW_PAGE_SECTORS;
}

/* No more than slot 1, the header and the originals. */
static void check_place(u64 sector)
{
	u64 block = cow_sector_to_block(&before.geo, sector);

	must(sector >= COW_ORIGIN_BASE ? is_original(block) :
	     in_slot1(sector) || sector < given.io.atomic_sectors,
	     "sector %llu is none of ours", (unsigned long long)sector);
}

static void check_erased(const struct disk *disk)
{
	static const u8 zeroes[COW_PAGE_SIZE];
	u64 at = input_place(&input, 0);

	must(!memcmp(disk->mem + at * SECTOR, zeroes, SECTOR * disk->io.atomic_sectors),
	     "the header is not erased");
}

static int check_copied(void *data, u64 from, u64 to, u32 sectors)
{
	static u8 was[COW_MAX_RUN_SECTORS * SECTOR], is[sizeof(was)];
	u32 part;

	(void)data;
	for (; sectors; sectors -= part, from += part, to += part) {
		part = min(sectors, COW_MAX_RUN_SECTORS);
		cow_read(&given.io, from, was, part);
		cow_read(&restored.io, to, is, part);
		must(!memcmp(was, is, (size_t)part * SECTOR), "original of %llu is not back",
		     (unsigned long long)to);
	}
	return 0;
}

void apart_check_restored(void)
{
	u64 sector;

	cow_picture_each_original(&before, check_copied, NULL);
	for (sector = disk_differs(&given, &restored, 0); sector < given.sectors;
	     sector = disk_differs(&given, &restored, sector + 1))
		check_place(layout_sector(&input.lay, sector));
	check_erased(&restored);
}

void apart_check_like_restored(const char *when)
{
	u64 sector;

	for (sector = disk_differs(&work, &restored, 0); sector < given.sectors;
	     sector = disk_differs(&work, &restored, sector + 1))
		must(in_slot1(layout_sector(&input.lay, sector)), "%s: sector %llu", when,
		     (unsigned long long)sector);
}

/* Nothing but the header. */
void apart_check_ended(const char *when)
{
	u64 sector;

	for (sector = disk_differs(&given, &restored, 0); sector < given.sectors;
	     sector = disk_differs(&given, &restored, sector + 1))
		must(layout_sector(&input.lay, sector) < given.io.atomic_sectors,
		     "%s: sector %llu", when, (unsigned long long)sector);
	check_erased(&restored);
}

/* ---- resume ------------------------------------------------------------------------- */

/* One is all that is ever asked for. */
static u64 take(struct cow *taker, u64 want, u64 *dest)
{
	(void)want;
	*dest = cow_blocks_of(&taker->geo, before.log.head.store_sectors);
	return *dest < cow_sector_to_block(&taker->geo, taker->io->store_sectors);
}

static void on_event(struct cow *of, enum cow_event event)
{
	(void)of;
	(void)event;
}

static void abandon(struct cow *of, int error)
{
	(void)error;
	of->passing = true;
}

static const struct cow_env_ops env = {
	.event = on_event, .take = take, .abandon = abandon,
};

int apart_resume(struct disk *disk, struct cow_picture *pic)
{
	struct cow_geometry geo;
	struct cow_map map;
	int r;

	must(!cow_init(&cow, disk->lay->sectors, 0, &disk->io, &env), "out of memory");
	cow.apart = true;
	cow.unlogged = true;
	cow_geometry_set(&geo, disk->lay->sectors, pic->geo.block_sectors);
	must(!cow_map_init(&map, geo.nr_blocks), "out of memory");
	cow_begin(&cow, &map, geo.block_sectors);
	cow_map_exit(&map);
	r = cow_apart_resume(&cow, pic);
	if (r)
		cow_exit(&cow);
	return r;
}

static int resume(struct disk *disk)
{
	struct cow_picture pic;
	int r = -EUCLEAN;

	if (!read_log(disk, &pic, COW_CHECK_TAIL))
		r = apart_resume(disk, &pic);
	cow_picture_exit(&pic);
	return r;
}

/* Who has the origin mounted cannot write to the store, wherever that is. */
static bool lets_write(u64 sector)
{
	u64 block;

	if (sector < COW_ORIGIN_BASE)
		return sector >= cow.log.head.store_sectors;
	block = cow_sector_to_block(&cow.geo, sector - COW_ORIGIN_BASE);
	return cow_map_get(&cow.map, block) != COW_PROTECTED;
}

/* The origin where nothing stops it; and what is copied, without a record yet. */
static void scribble(struct disk *disk)
{
	static u8 junk[SECTOR];
	u64 place;

	memset(junk, 0x5c, sizeof(junk));
	for (place = 0; place < disk->sectors; place++)
		if (lets_write(layout_sector(&input.lay, place)))
			disk_put(disk, place, junk, sizeof(junk));
}

/* All of the origin, and nothing of a store. */
static void compare_restored(struct disk *disk, const char *when)
{
	u64 place;

	must(!restore(disk), "%s: restore fails", when);
	for (place = disk_differs(disk, &restored, 0); place < disk->sectors;
	     place = disk_differs(disk, &restored, place + 1))
		must(layout_sector(&input.lay, place) < COW_ORIGIN_BASE, "%s: sector %llu", when,
		     (unsigned long long)place);
}

/* Room for so many sectors, behind all that the log uses. */
static bool place_for(u32 sectors, u64 *place)
{
	u64 block = cow_blocks_of(&cow.geo, cow.log.head.store_sectors);

	*place = cow_block_to_sector(&cow.geo, block);
	return layout_has(&input.lay, *place, sectors) && *place < COW_ORIGIN_BASE;
}

/* What a cut group was about to save is saved by another one, then written to. */
static void save_again(const struct cow_record *cut)
{
	static u8 data[COW_MAX_RUN_SECTORS * SECTOR];
	struct cow_record record = *cut;

	if (!cow_log_room(&cow.log) || !place_for(cut->sectors, &record.dest))
		return;
	cow_read(&work.io, record.source, data, record.sectors);
	cow_write(&work.io, record.dest, data, record.sectors);
	record.crc = cow_crc(data, (size_t)record.sectors * SECTOR);
	cow_log_begin(&cow.log, 0);
	cow_log_add(&cow.log, &record);
	must(!cow_log_write_group(&cow.log, &work.io), "not logged");
	memset(data, 0x5c, sizeof(data));
	cow_write(&work.io, record.source, data, record.sectors);
}

static void save_voids(void)
{
	u32 i;

	/* Before they are recorded nothing else is: the log ends. */
	for (i = 0; i < before.nr_voids && !cow.nr_voids; i++)
		save_again(&before.voids[i]);
}

static void check_withdrawn(void)
{
	must(!cow_apart_withdraw(&cow), "not withdrawn");
	must(verdict(&work, COW_CHECK_TAIL) == COW_LOG_NO_MAGIC, "withdrawn, yet there");
	must(!cow_apart_reinstate(&cow), "not reinstated");
	must(!verdict(&work, COW_CHECK_ALL), "not what it was before");
}

/* On the disk that it is of; the header can be erased, or cannot. */
static void check_end(bool no_header)
{
	struct cow_picture pic;

	disk_copy(&work, &given);
	must(!resume(&work), "a good log is not resumed");
	work.no_header = no_header;
	must(!cow_apart_end(&cow, -EIO), "not ended");
	cow_exit(&cow);
	if (!no_header) {
		must(verdict(&work, COW_CHECK_TAIL) == COW_LOG_NO_MAGIC, "ended, yet there");
		return;
	}
	must(!read_log(&work, &pic, COW_CHECK_TAIL), "ended, and not good for that");
	must(pic.log.head.state == COW_LOG_COMMITTING, "ended, yet nothing says so");
	cow_picture_exit(&pic);
}

/* Whatever a resumed origin lets pass, the way back stays the same. */
void apart_check_resume(void)
{
	u64 writes;

	disk_copy(&work, &given);
	must(!resume(&work), "a good log is not resumed");
	writes = work.writes;
	check_withdrawn();
	save_voids();
	scribble(&work);
	cow_exit(&cow);
	compare_restored(&work, "resume, restore");
	disk_copy(&work, &given);
	work.cut_at = input.cut % writes;
	must(resume(&work), "the power is cut, and resume does not notice");
	disk_revive(&work);
	compare_restored(&work, "resume, cut, restore");
	check_end(false);
	check_end(true);
}
