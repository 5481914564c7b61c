/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * On-disk format of the copy-on-write log shared by dm-bow and dm-blksnap.
 *
 * All integers are little-endian. Places and lengths are in 512-byte sectors
 * unless a name says otherwise; every place is the start of a COW block.
 *
 * A log page is 4 KiB:
 *
 *	   0	header		512 bytes, with a checksum of its own
 *	 512	records		up to 149 of 24 bytes
 *	4088	unused		8 bytes, zero
 *
 * The newest page, the tail, has two slots: slot 0 is block 0 of the log
 * device, slot 1 the block that the header in block 0 names. Older pages are
 * sealed: each has a block of its own, named by its successor.
 *
 * The log of a snapshot is apart from the device that it is of: on a store. There
 * are two devices then and one way to count sectors: those of the store from 0 on,
 * those of the device, the origin, from COW_ORIGIN_BASE on.
 */
#ifndef _UAPI_LINUX_DM_COW_FORMAT_H
#define _UAPI_LINUX_DM_COW_FORMAT_H

#include <linux/types.h>

#define COW_LOG_MAGIC		"dm-cow\r\n"	/* 8 bytes, no terminator */
#define COW_LOG_MAGIC_SIZE	8
#define COW_LOG_VERSION		1

#define COW_PAGE_SIZE		4096	/* bytes */
#define COW_PAGE_SECTORS	8
#define COW_HEADER_SIZE		512	/* bytes; what a disk writes whole */
#ifndef COW_PAGE_RECORDS	/* tests make pages smaller */
#define COW_PAGE_RECORDS	149
#endif
#define COW_MAX_HIDDEN		8

#define COW_MIN_BLOCK_SECTORS	8	/* 4 KiB */
#define COW_MAX_BLOCK_SECTORS	2048	/* 1 MiB */
#ifndef COW_MAX_RUN_SECTORS	/* tests make runs shorter */
#define COW_MAX_RUN_SECTORS	2048	/* 1 MiB: no record covers more */
#endif

/* Features this version knows. */
#define COW_FEATURE_SLOT1	(1U << 0)	/* compat: see below */
#define COW_FEATURES_COMPAT	COW_FEATURE_SLOT1
#define COW_FEATURES_RO_COMPAT	0U
#define COW_FEATURE_APART	(1U << 0)	/* incompat: the log is on a store */
#define COW_FEATURES_INCOMPAT	COW_FEATURE_APART

/* The first sector of the origin, where there is a store. */
#define COW_ORIGIN_BASE		(1ULL << 52)

/*
 * COW_FEATURE_SLOT1 is set in a page that was written to slot 1 while block 0
 * durably named its place, and in no other: not in the first version, nor in
 * the copies that a move of slot 1 makes. So among all pages of a log, lost
 * ones too, it singles out slot 1 where block 0 can not be asked any more.
 */

/* The state word of the newest version of the tail. */
#define COW_LOG_CHECKPOINT	1U	/* live: may be resumed, committed, restored */
#define COW_LOG_COMMITTING	2U	/* given up: only commit may finish it */
#define COW_LOG_RESTORING	3U	/* rolling back: only restore may finish it */

/* Where the live contents of a hidden block are. */
struct cow_disk_hidden {
	__le64 source;		/* first sector of the hidden block */
	__le64 live;		/* first sector of its live copy */
};

struct cow_disk_header {
	__u8   magic[COW_LOG_MAGIC_SIZE];	/*   0 */
	__le32 version;				/*   8 */
	__le32 header_crc;			/*  12: crc32c of bytes 0-511, this field zero */
	__le32 features_compat;			/*  16: unknown bits may be ignored */
	__le32 features_ro_compat;		/*  20: unknown bits forbid writing */
	__le32 features_incompat;		/*  24: unknown bits forbid reading */
	__le32 state;				/*  28: COW_LOG_* */
	__u8   uuid[16];			/*  32: of this checkpoint, random */
	__le64 generation;			/*  48: rises with every page written */
	__le64 sequence;			/*  56: number of this page, from 0 */
	__le64 device_sectors;			/*  64 */
	__le32 block_sectors;			/*  72: power of two, 8 to 2048 */
	__le32 record_count;			/*  76 */
	__le32 records_crc;			/*  80: crc32c of the counted records */
	__le32 hidden_count;			/*  84 */
	__le64 slot1;				/*  88: believed in block 0 only */
	__le64 seal;				/*  96: block kept for sealing this page, or 0 */
	__le64 prev_place;			/* 104: predecessor as sealed, or 0 */
	__le64 prev_generation;			/* 112: and its generation */
	__le64 time;				/* 120: of the checkpoint, seconds since 1970 */
	struct cow_disk_hidden hidden[COW_MAX_HIDDEN];	/* 128 */
	__le64 store_sectors;			/* 256: apart: all places are below; else 0 */
	__u8   reserved[248];			/* 264: zero */
};

/* What a record says; in the top byte of its source field. */
#define COW_RECORD_BACKUP	1U	/* old contents of source were copied to dest */
#define COW_RECORD_FREE		2U	/* dest sectors from source on were free */
#define COW_RECORD_VOID		3U	/* cancels the nearest older backup source->dest */
#define COW_RECORD_RESERVE	4U	/* dest sectors from source on are kept for a resume */

#define COW_RECORD_KIND_SHIFT	56
#define COW_RECORD_SECTOR_MASK	((1ULL << COW_RECORD_KIND_SHIFT) - 1)

struct cow_disk_record {
	__le64 source;		/*  0: kind in bits 56-63, sector below */
	__le64 dest;		/*  8: sector; of a free or reserved extent its length */
	__le32 sectors;		/* 16: length of a backup; else 0 */
	__le32 data_crc;	/* 20: crc32c of the backed up data; else 0 */
};

struct cow_disk_page {
	struct cow_disk_header header;
	struct cow_disk_record records[COW_PAGE_RECORDS];
	__u8 unused[COW_PAGE_SIZE - COW_HEADER_SIZE - COW_PAGE_RECORDS * 24];
};

#endif
