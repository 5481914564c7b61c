// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A store on its origin's own device: its extents, which are written in it, and what is
 * in them. Nothing of that is believed before it has been checked.
 */
#include <errno.h>

#include "command.h"
#include "inside.h"

/* ---- as a device ------------------------------------------------------------- */

static struct inside *to_inside(struct cow_io *io)
{
	return container_of(io, struct inside, io);
}

static const struct inside_extent *find(const struct inside *in, u64 sector)
{
	unsigned int low = 0, high = in->nr;

	/* The last one that begins at or before it. */
	while (high - low > 1) {
		unsigned int middle = low + (high - low) / 2;

		if (in->extents[middle].start <= sector)
			low = middle;
		else
			high = middle;
	}
	return &in->extents[low];
}

/* Where @sector is, and how many of @sectors follow it there. */
static u64 place_of(const struct inside *in, u64 sector, u32 sectors, u32 *here)
{
	const struct inside_extent *extent = find(in, sector);
	u64 into = sector - extent->start;

	*here = min_t(u64, sectors, extent->sectors - into);
	return extent->place + into;
}

static bool is_within(const struct cow_io *io, u64 sector, u32 sectors)
{
	return sector < io->sectors && sectors <= io->sectors - sector;
}

static int inside_read(struct cow_io *io, u64 sector, void *buf, u32 sectors)
{
	struct inside *in = to_inside(io);
	u32 here;
	int r = is_within(io, sector, sectors) ? 0 : -EIO;

	for (; sectors && !r; sectors -= here, sector += here) {
		u64 place = place_of(in, sector, sectors, &here);

		r = cow_read(&in->dev->io, place, buf, here);
		buf = (u8 *)buf + ((size_t)here << 9);
	}
	return r;
}

static int inside_write(struct cow_io *io, u64 sector, const void *buf, u32 sectors)
{
	struct inside *in = to_inside(io);
	u32 here;
	int r = is_within(io, sector, sectors) ? 0 : -EIO;

	for (; sectors && !r; sectors -= here, sector += here) {
		u64 place = place_of(in, sector, sectors, &here);

		r = cow_write(&in->dev->io, place, buf, here);
		buf = (const u8 *)buf + ((size_t)here << 9);
	}
	return r;
}

static int inside_flush(struct cow_io *io)
{
	return cow_flush(&to_inside(io)->dev->io);
}

static const struct cow_io_ops inside_ops = {
	.read = inside_read,
	.write = inside_write,
	.flush = inside_flush,
};

bool inside_has(const struct inside *in, u64 sector, u64 sectors)
{
	unsigned int i;

	for (i = 0; i < in->nr; i++)
		if (in->extents[i].place < sector + sectors &&
		    in->extents[i].place + in->extents[i].sectors > sector)
			return true;
	return false;
}

/* ---- its extents ------------------------------------------------------------- */

u32 inside_crc(const struct snap_disk_extents *table, u32 count)
{
	size_t skip = offsetof(struct snap_disk_extents, device_sectors);

	return crc32c(~0U, (const u8 *)table + skip,
		      offsetof(struct snap_disk_extents, extents) - skip +
		      count * sizeof(table->extents[0]));
}

static bool header_good(const struct snap_disk_extents *table, const struct bow_dev *dev)
{
	u32 count = le32_to_cpu(table->count);

	return !memcmp(table->magic, SNAP_EXTENTS_MAGIC, sizeof(table->magic)) &&
	       le32_to_cpu(table->version) == SNAP_EXTENTS_VERSION &&
	       count && count <= SNAP_EXTENTS_MAX &&
	       inside_crc(table, count) == le32_to_cpu(table->crc) &&
	       le64_to_cpu(table->device_sectors) == dev->io.sectors;
}

/* Pages of their own, on the device. */
static bool add_extent(struct inside *in, u64 place, u64 sectors)
{
	u64 size = in->dev->io.sectors;

	if (!sectors || (place | sectors) & (COW_PAGE_SECTORS - 1) || place > size ||
	    sectors > size - place || inside_has(in, place, sectors))
		return false;
	in->extents[in->nr++] = (struct inside_extent) {
		.start = in->io.sectors, .place = place, .sectors = sectors,
	};
	in->io.sectors += sectors;
	return true;
}

static bool take_extents(struct inside *in, const struct snap_disk_extents *table)
{
	u32 i, count = le32_to_cpu(table->count);

	for (i = 0; i < count; i++)
		if (!add_extent(in, le64_to_cpu(table->extents[i].place),
				le64_to_cpu(table->extents[i].sectors)))
			return false;
	return in->io.sectors == le64_to_cpu(table->store_sectors);
}

static int read_extents(struct inside *in, struct snap_disk_extents *table, u64 sector)
{
	struct bow_dev *dev = in->dev;

	if (sector & (COW_PAGE_SECTORS - 1) || dev->io.sectors < INSIDE_FIRST_PLACE ||
	    sector > dev->io.sectors - INSIDE_FIRST_PLACE)
		return fail(BOW_REFUSED, "%s: no store can begin at sector %llu", dev->path,
			    (unsigned long long)sector);
	if (cow_read(&dev->io, sector + SNAP_EXTENTS_SECTOR, table, SNAP_EXTENTS_BYTES >> 9))
		return BOW_SYSTEM;	/* told where it happened */
	if (!header_good(table, dev) || le64_to_cpu(table->extents[0].place) != sector ||
	    le64_to_cpu(table->extents[0].sectors) < INSIDE_FIRST_PLACE || !take_extents(in, table))
		return fail(BOW_REFUSED, "%s: no store of a snapshot of this device begins at sector %llu",
			    dev->path, (unsigned long long)sector);
	return BOW_OK;
}

int inside_open(struct inside *in, struct bow_dev *dev, u64 sector)
{
	struct snap_disk_extents *table = cow_zalloc(SNAP_EXTENTS_BYTES);
	int status;

	memset(in, 0, sizeof(*in));
	in->io.ops = &inside_ops;
	in->io.atomic_sectors = dev->io.atomic_sectors;
	in->dev = dev;
	in->extents = calloc(SNAP_EXTENTS_MAX, sizeof(*in->extents));
	status = table && in->extents ? read_extents(in, table, sector) :
		 fail(BOW_SYSTEM, "out of memory");
	cow_free(table);
	if (status)
		inside_close(in);
	return status;
}

void inside_close(struct inside *in)
{
	free(in->extents);
	in->extents = NULL;
	in->nr = 0;
}
