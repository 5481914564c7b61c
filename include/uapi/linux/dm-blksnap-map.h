/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What a device of the target blksnap-map reads as.
 *
 * Bytes 0 to 4095 are the header, all numbers little-endian. From byte 4096 on
 * there are two bytes for each block, its value as of the snapshot: the number of
 * the last epoch that it was written to in, 0 for none in this generation,
 * SNAP_MAP_FORGOTTEN if it is not known any more. All blocks with a value above the
 * number of a backup are those that the backup lacks.
 */
#ifndef _UAPI_LINUX_DM_BLKSNAP_MAP_H
#define _UAPI_LINUX_DM_BLKSNAP_MAP_H

#include <linux/types.h>

#define SNAP_MAP_MAGIC "BLKSNMAP"
#define SNAP_MAP_VERSION 1
#define SNAP_MAP_START 4096		/* bytes: where the values begin */
#define SNAP_MAP_FORGOTTEN 0xffff

struct snap_map_header {
	__u8 magic[8];			/* 0: SNAP_MAP_MAGIC */
	__le32 version;			/* 8 */
	__le32 number;			/* 12: of the snapshot */
	__u8 generation[16];		/* 16 */
	__le64 sectors;			/* 32: of the origin, of 512 bytes */
	__le64 blocks;			/* 40 */
	__le32 block_sectors;		/* 48: of each block but the last */
	__le32 reserved;		/* 52 */
};

#endif
