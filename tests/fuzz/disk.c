// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device in memory that knows which of its contents differ from a pattern,
 * so that thousands of them can be made and compared in a second.
 */
#include "fuzz.h"

static u8 pattern[MAX_SECTORS * SECTOR];

static struct disk *to_disk(struct cow_io *io)
{
	return container_of(io, struct disk, io);
}

static int mem_read(struct cow_io *io, u64 sector, void *buf, u32 sectors)
{
	struct disk *disk = to_disk(io);
	u64 done, here;

	must(sectors && layout_has(disk->lay, sector, sectors), "read of %u sectors at %llu",
	     sectors, (unsigned long long)sector);
	disk->reads++;
	disk->read_sectors += sectors;
	for (done = 0; done < sectors; done += here) {
		u64 place = layout_place(disk->lay, sector + done, sectors - done, &here);

		memcpy((u8 *)buf + done * SECTOR, disk->mem + place * SECTOR, here * SECTOR);
	}
	return 0;
}

static void put(struct disk *disk, u64 sector, const u8 *buf, u32 sectors)
{
	u64 done, here;

	for (done = 0; done < sectors; done += here) {
		u64 place = layout_place(disk->lay, sector + done, sectors - done, &here);

		disk_put(disk, place, buf + done * SECTOR, here * SECTOR);
	}
}

static int mem_write(struct cow_io *io, u64 sector, const void *buf, u32 sectors)
{
	struct disk *disk = to_disk(io);
	u32 whole = sectors;

	must(sectors && layout_has(disk->lay, sector, sectors), "write of %u sectors at %llu",
	     sectors, (unsigned long long)sector);
	must(!disk->read_only, "a write to sector %llu", (unsigned long long)sector);
	must(!(sector % io->atomic_sectors), "misaligned write to sector %llu",
	     (unsigned long long)sector);
	if (disk->writes > disk->cut_at || (disk->no_header && !sector))
		return -EIO;
	if (disk->writes++ == disk->cut_at)
		whole = sectors / io->atomic_sectors / 2 * io->atomic_sectors;
	put(disk, sector, buf, whole);
	return whole == sectors ? 0 : -EIO;
}

static int mem_flush(struct cow_io *io)
{
	struct disk *disk = to_disk(io);

	return disk->writes > disk->cut_at ? -EIO : 0;
}

static const struct cow_io_ops mem_ops = { mem_read, mem_write, mem_flush, NULL };

static void make_pattern(void)
{
	u64 x = 88172645463325252ULL, *at = (u64 *)pattern;
	size_t i;

	for (i = 0; i < sizeof(pattern) / sizeof(x); i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		at[i] = x;
	}
}

void disk_init(struct disk *disk)
{
	if (!pattern[0])
		make_pattern();
	memset(disk, 0, sizeof(*disk));
	disk->io.ops = &mem_ops;
	disk->mem = malloc(sizeof(pattern));
	disk->dirty = calloc(MAX_SECTORS / UNIT_SECTORS, 1);
	disk->list = calloc(MAX_SECTORS / UNIT_SECTORS, sizeof(*disk->list));
	memcpy(disk->mem, pattern, sizeof(pattern));
}

static u8 *unit_of(const struct disk *disk, u32 unit)
{
	return disk->mem + unit * UNIT_SECTORS * SECTOR;
}

void disk_revive(struct disk *disk)
{
	disk->writes = 0;
	disk->reads = 0;
	disk->read_sectors = 0;
	disk->cut_at = ~0ULL;
	disk->read_only = false;
	disk->no_header = false;
}

void disk_reset(struct disk *disk, u64 sectors, u32 atomic_sectors)
{
	u32 i;

	for (i = 0; i < disk->nr_dirty; i++) {
		u32 unit = disk->list[i];

		memcpy(unit_of(disk, unit), pattern + unit * UNIT_SECTORS * SECTOR,
		       UNIT_SECTORS * SECTOR);
		disk->dirty[unit] = 0;
	}
	disk->nr_dirty = 0;
	disk->sectors = sectors;
	disk->io.atomic_sectors = atomic_sectors;
	disk_revive(disk);
}

void disk_lay_out(struct disk *disk, const struct layout *lay)
{
	disk->lay = lay;
	disk->io.sectors = lay->sectors + (lay->store ? COW_ORIGIN_BASE : 0);
	disk->io.store_sectors = lay->store;
}

static void mark(struct disk *disk, u32 unit)
{
	if (!disk->dirty[unit])
		disk->list[disk->nr_dirty++] = unit;
	disk->dirty[unit] = 1;
}

void disk_put(struct disk *disk, u64 sector, const void *data, size_t len)
{
	size_t at = sector * SECTOR, end = at + len, unit = UNIT_SECTORS * SECTOR;
	size_t i;

	if (!len)
		return;
	for (i = at / unit; i <= (end - 1) / unit; i++)
		mark(disk, (u32)i);
	memmove(disk->mem + at, data, len);
}

void disk_copy(struct disk *to, const struct disk *from)
{
	u32 i;

	disk_reset(to, from->sectors, from->io.atomic_sectors);
	disk_lay_out(to, from->lay);
	for (i = 0; i < from->nr_dirty; i++) {
		mark(to, from->list[i]);
		memcpy(unit_of(to, from->list[i]), unit_of(from, from->list[i]),
		       UNIT_SECTORS * SECTOR);
	}
}

bool disk_same(const struct disk *a, const struct disk *b, u64 sector, u64 nr)
{
	return !memcmp(a->mem + sector * SECTOR, b->mem + sector * SECTOR, nr * SECTOR);
}

u64 disk_differs(const struct disk *a, const struct disk *b, u64 sector)
{
	for (; sector < a->sectors; sector++) {
		u64 unit = sector / UNIT_SECTORS;

		if ((a->dirty[unit] || b->dirty[unit]) && !disk_same(a, b, sector, 1))
			break;
	}
	return sector;
}
