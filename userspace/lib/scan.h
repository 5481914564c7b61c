/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Logs found by what their pages look like, where block 0 does not lead to
 * them. What may be concluded from a page, and what not, is explained in
 * Documentation/admin-guide/device-mapper/dm-cow-format.rst.
 */
#ifndef BOW_SCAN_H
#define BOW_SCAN_H

#include "dev.h"
#include "dm-cow-log.h"

#define SCAN_MAX_LOGS 1024

/* From the best to the worst. */
enum scan_verdict {
	SCAN_GOOD,		/* live, newest and whole */
	SCAN_INCOMPLETE,	/* live; something may be missing */
	SCAN_DAMAGED,
	SCAN_WRONG_SIZE,	/* of another device, or of this one before */
	SCAN_NO_SLOT1,		/* it may have ended long ago */
	SCAN_ENDED,		/* or was being ended */
};

/* All pages with one uuid. */
struct scan_log {
	u8 uuid[16];
	u64 time;
	u64 device_sectors;
	u32 block_sectors;
	u64 pages;
	u64 generation;		/* the highest */
	u32 state;		/* of slot 1 if there is one */
	unsigned int nr_slot1;	/* pages that pass for slot 1 */
	u64 slot1;
	struct cow_disk_page *page;	/* slot 1 as it was found, or NULL */
	struct cow_head head;		/* its header */

	/* What whoever judges it has to say. */
	enum scan_verdict verdict;
	enum cow_log_error error;	/* damaged: why */
	u64 restore_sectors;
	bool maybe_old;		/* a newer version may have been in block 0 */
	bool outdated;		/* the checkpoint is not the youngest one here */
	bool hidden_written;	/* hidden blocks are not blank any more */
};

struct scan {
	struct scan_log *logs;
	size_t nr;
	bool too_many;		/* more than SCAN_MAX_LOGS */
	u64 read_sectors;	/* holes in a file are not read */
	u64 bad_sectors;	/* could not be read */
	u64 bad_pages;		/* look like pages, and are damaged */
	u64 bad_page;		/* the first of them */
	void *buf;		/* while it runs */
};

/*
 * Read all of the device from @start on. 0, whatever is found, or BOW_SYSTEM.
 * Call scan_exit() in either case.
 */
int scan_run(struct scan *scan, struct bow_dev *dev, u64 start, bool quiet);

/* Tell what a list of logs does not show. */
void scan_warn(const struct scan *scan, const char *path);
void scan_exit(struct scan *scan);

#endif
