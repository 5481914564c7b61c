/* SPDX-License-Identifier: GPL-2.0-only */
/* A device in memory with a log on it, made record by record. */
#ifndef LOGDISK_H
#define LOGDISK_H

#include "dm-cow-picture.h"

#define BS 8U		/* sectors in a block */
#define BLOCKS 400U
#define SLOT1 390U	/* blocks */
#define LIVE0 391U
#define BACKUP0 392U

struct logdisk {
	struct cow_io io;
	u8 *mem;
	u64 fail_read;		/* sector that cannot be read, or ~0 */
	int flush_error;	/* what a flush returns */
	u64 writes;
	struct cow_head head;
	struct cow_disk_page page;
};

void logdisk_init(struct logdisk *disk);
void logdisk_exit(struct logdisk *disk);
u8 *logdisk_block(struct logdisk *disk, u64 block);
void logdisk_fill(struct logdisk *disk, u64 block, u64 nr, u8 what);
/* Records of the page in hand; all in blocks, the checksum is @data's. */
void logdisk_raw(struct logdisk *disk, const struct cow_record *record);
void logdisk_backup(struct logdisk *disk, u64 source, u64 dest, u64 nr, u64 data);
void logdisk_void(struct logdisk *disk, u64 source, u64 dest);
void logdisk_extent(struct logdisk *disk, u32 kind, u64 start, u64 nr);
/* Write the page in hand, one generation younger, to @block. */
void logdisk_write(struct logdisk *disk, u64 block);
/* Seal the page in hand at @block and begin its successor. */
void logdisk_seal(struct logdisk *disk, u64 block);
/* To both slots. */
void logdisk_finish(struct logdisk *disk);
enum cow_log_error logdisk_read(struct logdisk *disk, struct cow_picture *pic,
				enum cow_picture_depth depth);

/* The disk of a test, made and forgotten by these two. */
extern struct logdisk disk;
int disk_setup(void **data);
int disk_teardown(void **data);

/* The nth allocation from now on fails; 0: none. */
void fail_allocation(unsigned int nth);
/* All of them do, or none. */
void fail_allocations(bool all);

#endif
