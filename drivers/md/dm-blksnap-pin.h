/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file whose blocks stay where they are, and where that is.
 *
 * It is held as a swap file is: the filesystem itself tells its extents, and as
 * long as the pin lasts nobody can write to the file, cut it, punch holes into
 * it, share its blocks, move, rename or delete it.
 */
#ifndef DM_BLKSNAP_PIN_H
#define DM_BLKSNAP_PIN_H

#include <linux/fs.h>

/* Sectors; the extents of a file are packed, what is not whole pages is left out. */
struct snap_extent {
	u64 start;			/* in the file, packed */
	u64 place;			/* on the filesystem's device */
};

struct snap_pin {
	struct file *file;
	struct snap_extent *extents;	/* ascending by their start */
	unsigned int nr;
	u64 sectors;			/* of all of them */
	u32 crc;			/* crc32c of {place, sectors}, __le64 each, of all */
};

/* Open the file at @path for it. ERR_PTR() on failure. */
struct file *snap_pin_open(const char *path);

/*
 * Pin @file, and own it from then on: also if that fails. Waits for I/O to its
 * filesystem, which must not be suspended. -ETXTBSY: somebody has it open for
 * writing, or it is swapped to; -EOPNOTSUPP: not a kind of filesystem that is
 * trusted with this; -EINVAL: holes, shared blocks, more than one device...
 */
int snap_pin_get(struct snap_pin *pin, struct file *file);

/* May wait for the filesystem. */
void snap_pin_put(struct snap_pin *pin);

static inline u64 snap_extent_sectors(const struct snap_pin *pin, unsigned int i)
{
	return (i + 1 < pin->nr ? pin->extents[i + 1].start : pin->sectors) -
	       pin->extents[i].start;
}

/* Where @sector of the file is, and how many follow it there in @left. */
u64 snap_pin_find(const struct snap_pin *pin, u64 sector, u64 *left);

#endif
