/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A block device or an image file as the plain part of the core wants it.
 */
#ifndef BOW_DEV_H
#define BOW_DEV_H

#include <sys/types.h>

#include "dm-cow-io.h"

struct bow_dev {
	struct cow_io io;
	const char *path;
	int fd;
	bool block;
	dev_t number;		/* of a block device */
	void *bounce;		/* aligned for direct I/O */
	struct copier *copier;		/* of copies to here, or NULL */
	bool no_copier;			/* there is none to be had */
	const struct bow_dev *copies_from;
	struct kept *kept;		/* what was read, or NULL */
	void *window_buffer;		/* aligned */
	void *window;			/* so many sectors from there on, or none */
	u64 window_sector;
	u32 window_sectors;
	u64 last, last_end;		/* of the last read */
	u64 bad, bad_end;		/* no window: the last one that could not be read */
	const void *page0;	/* read in place of block 0's first page, or NULL */
	u64 stop_after;		/* testing: exit after so many writes; 0: never */
	u64 writes;
};

/*
 * Open for us alone. Block devices are opened exclusively and without the page
 * cache, files are locked. 0 or an exit status, with the reason told.
 */
int bow_dev_open(struct bow_dev *dev, const char *path, bool writable);
void bow_dev_close(struct bow_dev *dev);

/*
 * From now on keep up to @bytes of what is read of it in memory; KEEP_DEFAULT is half of
 * what is free. The device must not be written to by others.
 */
#define KEEP_DEFAULT UINT64_MAX
void bow_dev_keep(struct bow_dev *dev, u64 bytes);

/*
 * Read what is there; 0 or -errno, and nothing is told. @buf is aligned to
 * 4096 bytes at least.
 */
int bow_dev_read_quietly(struct bow_dev *dev, u64 sector, void *buf, u32 sectors);

/*
 * As struct cow_io_ops has it, from one device to another, or to itself; @to's flush and
 * whatever else is done with it wait for it.
 */
int bow_dev_copy(struct bow_dev *from, u64 from_sector, struct bow_dev *to, u64 to_sector,
		 u32 sectors);

#endif
