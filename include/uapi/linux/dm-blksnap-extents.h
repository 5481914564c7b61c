/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * Where a store lies that is a file on its origin's own filesystem, and has a persistent
 * snapshot: for a rollback, when that filesystem is not mounted.
 *
 * It is in the store itself, written at the take before there is a log, and never again:
 * from sector 8 on, behind the first page of the log, and before sector 256, the first
 * that anything else is written to. So who knows the first sector of the store knows all
 * of them. All numbers are little-endian, all sectors of 512 bytes.
 */
#ifndef _UAPI_LINUX_DM_BLKSNAP_EXTENTS_H
#define _UAPI_LINUX_DM_BLKSNAP_EXTENTS_H

#include <linux/types.h>

#define SNAP_EXTENTS_MAGIC "BLKSNEXT"
#define SNAP_EXTENTS_VERSION 1
#define SNAP_EXTENTS_SECTOR 8		/* of the store */
#define SNAP_EXTENTS_BYTES (248 << 9)
#define SNAP_EXTENTS_MAX 7933

struct snap_disk_extent {
	__le64 place;			/* on the origin's device */
	__le64 sectors;
};

struct snap_disk_extents {
	__u8 magic[8];			/* 0: SNAP_EXTENTS_MAGIC */
	__le32 version;			/* 8 */
	__le32 crc;			/* 12: crc32c of what follows, extents included */
	__le64 device_sectors;		/* 16: of the origin */
	__le64 store_sectors;		/* 24: of all extents */
	__le64 inode;			/* 32: of the file, to tell people */
	__le32 count;			/* 40 */
	__le32 reserved;		/* 44 */
	struct snap_disk_extent extents[SNAP_EXTENTS_MAX];	/* in the store's order */
};

#endif
