// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where a store and its origin are in memory: apart, or the one inside of the other. What
 * is said of the latter here knows nothing of the tool's own reader.
 */
#include "fuzz.h"

/* ---- a table of extents ----------------------------------------------------------- */

static u32 table_crc(const struct snap_disk_extents *table, u32 count)
{
	size_t from = offsetof(struct snap_disk_extents, device_sectors);

	return crc32c(~0U, (const u8 *)table + from,
		      offsetof(struct snap_disk_extents, extents[count]) - from);
}

/* Units of memory that belong to it already. */
static bool taken[MAX_PIECES];

static bool take(struct layout *lay, u64 place, u64 sectors)
{
	u64 unit;

	if (place % UNIT_SECTORS || sectors % UNIT_SECTORS || !sectors ||
	    place >= lay->sectors || sectors > lay->sectors - place)
		return false;
	for (unit = place / UNIT_SECTORS; unit < (place + sectors) / UNIT_SECTORS; unit++) {
		if (taken[unit])
			return false;
		taken[unit] = true;
	}
	lay->pieces[lay->nr++] = (struct piece) {
		.start = lay->store, .place = place, .sectors = sectors,
	};
	lay->store += sectors;
	return true;
}

static bool take_all(struct layout *lay, const struct snap_disk_extents *table, u64 first)
{
	u32 i, count = le32_to_cpu(table->count);

	memset(taken, 0, sizeof(taken));
	for (i = 0; i < count; i++)
		if (!take(lay, le64_to_cpu(table->extents[i].place),
			  le64_to_cpu(table->extents[i].sectors)))
			return false;
	return lay->pieces[0].place == first && lay->pieces[0].sectors >= 256 &&
	       le64_to_cpu(table->store_sectors) == lay->store;
}

static bool good_table(const struct layout *lay, const struct snap_disk_extents *table)
{
	u32 count = le32_to_cpu(table->count);

	return !memcmp(table->magic, SNAP_EXTENTS_MAGIC, sizeof(table->magic)) &&
	       le32_to_cpu(table->version) == 1 && count > 0 && count <= SNAP_EXTENTS_MAX &&
	       le32_to_cpu(table->crc) == table_crc(table, count) &&
	       le64_to_cpu(table->device_sectors) == lay->sectors;
}

bool layout_inside(struct layout *lay, const u8 *mem, u64 first)
{
	const struct snap_disk_extents *table = (const void *)(mem + (first + 8) * SECTOR);

	lay->store = 0;
	lay->nr = 0;
	if (first % UNIT_SECTORS || first > lay->sectors || lay->sectors - first < 256)
		return false;
	if (good_table(lay, table) && take_all(lay, table, first))
		return true;
	lay->store = 0;
	lay->nr = 0;
	return false;
}

/* ---- the log's sectors, and memory's --------------------------------------------------- */

bool layout_has(const struct layout *lay, u64 sector, u64 nr)
{
	u64 end = lay->sectors;

	if (lay->store && sector < COW_ORIGIN_BASE)
		end = lay->store;
	else if (lay->store)
		sector -= COW_ORIGIN_BASE;
	return sector < end && nr <= end - sector;
}

u64 layout_place(const struct layout *lay, u64 sector, u64 nr, u64 *here)
{
	const struct piece *piece = lay->pieces;

	*here = nr;
	if (!lay->store)
		return sector;
	if (sector >= COW_ORIGIN_BASE)
		return lay->origin + sector - COW_ORIGIN_BASE;
	while (sector - piece->start >= piece->sectors)
		piece++;
	*here = min(nr, piece->start + piece->sectors - sector);
	return piece->place + sector - piece->start;
}

u64 layout_sector(const struct layout *lay, u64 place)
{
	u32 i;

	for (i = 0; i < lay->nr; i++)
		if (place - lay->pieces[i].place < lay->pieces[i].sectors)
			return lay->pieces[i].start + place - lay->pieces[i].place;
	return lay->store ? COW_ORIGIN_BASE + place - lay->origin : place;
}
