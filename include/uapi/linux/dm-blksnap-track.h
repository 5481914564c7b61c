/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What is on a tracking device, where changed-block tracking outlives a reboot. See
 * Documentation/admin-guide/device-mapper/dm-blksnap-tracking.rst.
 */
#ifndef _UAPI_LINUX_DM_BLKSNAP_TRACK_H
#define _UAPI_LINUX_DM_BLKSNAP_TRACK_H

#include <linux/types.h>

#define SNAP_TRACK_MAGIC "BLKSNTRK"
#define SNAP_TRACK_VERSION 1
#define SNAP_TRACK_AWAY 1		/* worth nothing: somebody else may write now */
#define SNAP_TRACK_VALID 2

struct snap_track_header {
	__u8 magic[8];			/* 0: SNAP_TRACK_MAGIC */
	__le32 version;			/* 8 */
	__le32 state;			/* 12 */
	__le64 features_compat;		/* 16 */
	__le64 features_incompat;	/* 24 */
	__u8 generation[16];		/* 32 */
	__le64 sectors;			/* 48: of the origin */
	__le32 block_sectors;		/* 56 */
	__le32 region_sectors;		/* 60 */
	__le32 epoch;			/* 64: the present one */
	__u8 reserved[440];		/* 68 */
	__le32 crc;			/* 508: of bytes 0 to 507 */
};

#define SNAP_TRACK_NUMBERS 254

/* Of regions, or of blocks: the epoch of the last write, 0 for none. */
struct snap_track_sector {
	__le16 numbers[SNAP_TRACK_NUMBERS];
	__le32 crc;			/* of generation, place (__le64), numbers */
};

#endif
