/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The log as its reader sees it: one walk from the newest page to the oldest
 * that says where the original data of every changed block is now. Nothing
 * found on disk is believed before it is checked.
 */
#ifndef DM_COW_PICTURE_H
#define DM_COW_PICTURE_H

#include "dm-cow-log.h"
#include "dm-cow-ranges.h"

/* Where a check failed; page_sector 0 and record -1 where neither applies. */
struct cow_complaint {
	enum cow_log_error error;
	u64 page_sector;
	u64 sequence;
	int record;
	u64 source;		/* of the record, sector */
};

struct cow_picture {
	struct cow_io *io;
	struct cow_geometry geo;
	struct cow_log log;		/* as its next writer needs it */
	struct cow_complaint complaint;

	/* All in blocks. */
	struct cow_ranges moved;	/* source -> where its contents are now */
	struct cow_ranges born;		/* places given to backups and pages, ever */
	struct cow_ranges ours;		/* places that hold something of ours now */
	struct cow_ranges free;		/* free at the checkpoint, as far as known */

	u64 reserve_start;		/* kept for a resume */
	u64 reserve_nr;
	bool reserve_known;		/* an older record says nothing any more */

	/* Records of the tail that were never acted upon and have no void yet. */
	struct cow_record voids[COW_PAGE_RECORDS];
	u32 nr_voids;

	bool has_tail;			/* the newest page is good: enough to commit */
	bool dropped_tail;		/* the newest version was of a cut group */
	u64 nr_pages;
	bool unreadable;		/* a backup taken for void, its source is whole */
	u64 nr_backups;			/* records, valid ones */
	u64 backup_sectors;
	u64 nr_void_records;
	u64 nr_lost;			/* unreadable ones of older pages; not needed */

	/* For the reader's own use. */
	struct cow_disk_page *page;
	void *buf;			/* of COW_MAX_RUN_SECTORS */
	struct cow_ranges cancelled;	/* pending voids, by dest */
	struct cow_ranges intact;	/* sources of backups that are void */

	/* Called now and then with the sectors of data checked; may be NULL. */
	void (*progress)(struct cow_picture *pic, u64 checked);
	void *progress_data;
	/* Called for every record met, newest first; may be NULL. */
	void (*visit)(struct cow_picture *pic, const struct cow_head *head,
		      u64 page_sector, const struct cow_record *record, int index,
		      const char *verdict);
	void *visit_data;
};

enum cow_picture_depth {
	COW_CHECK_TAIL,		/* data of the tail's records: enough to go on */
	COW_CHECK_ALL,		/* data of every record */
};

int cow_picture_init(struct cow_picture *pic, struct cow_io *io);
void cow_picture_exit(struct cow_picture *pic);

/*
 * Flush, read, check, build. Writes nothing. May sleep. The complaint says
 * what is wrong when it does not return COW_LOG_OK; COW_LOG_NO_MAGIC means that
 * the device carries no log.
 */
enum cow_log_error cow_picture_read(struct cow_picture *pic,
				    enum cow_picture_depth depth);

/*
 * One original extent after the other, by rising source: @copy gets where the
 * data is and where it belongs, in sectors. Stops at the first error.
 */
int cow_picture_each_original(struct cow_picture *pic,
			      int (*copy)(void *data, u64 from, u64 to, u32 sectors),
			      void *data);

#endif
