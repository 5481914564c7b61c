/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A store that lies in pieces on its origin's own device, which nobody has mounted.
 */
#ifndef BOW_INSIDE_H
#define BOW_INSIDE_H

#include <linux/dm-blksnap-extents.h>

#include "dev.h"

/* Below is what says where the store is: no place of the log. */
#define INSIDE_FIRST_PLACE (SNAP_EXTENTS_SECTOR + (SNAP_EXTENTS_BYTES >> 9))

struct inside_extent {
	u64 start;			/* in the store */
	u64 place;			/* on the device */
	u64 sectors;
};

struct inside {
	struct cow_io io;		/* the store */
	struct bow_dev *dev;
	unsigned int nr;
	struct inside_extent *extents;
};

/* The checksum of @table, of which @count extents are there. */
u32 inside_crc(const struct snap_disk_extents *table, u32 count);

/* The one that begins at @sector of @dev. 0 or an exit status, with the reason told. */
int inside_open(struct inside *in, struct bow_dev *dev, u64 sector);
void inside_close(struct inside *in);

/* Has it any of these sectors of the device? */
bool inside_has(const struct inside *in, u64 sector, u64 sectors);

/*
 * The first sector of a file on an ext2, ext3 or ext4 that is not mounted; @path is from
 * its root on. What is left in its journal is not looked at.
 */
int inside_find(const char *device, const char *path, u64 *sector);

#endif
