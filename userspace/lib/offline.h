/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A log on a device that nobody uses: read, judged, finished.
 */
#ifndef BOW_OFFLINE_H
#define BOW_OFFLINE_H

#include "dev.h"
#include "dm-cow-picture.h"
#include "inside.h"
#include "progress.h"
#include "scan.h"
#include "util.h"

struct offline {
	struct bow_dev dev;
	struct cow_picture pic;

	/* Of a log apart: dev is the origin, the log is on the store. */
	struct bow_dev store;
	struct inside inside;		/* it is a file on the origin itself */
	struct cow_io *store_io;	/* of the one or the other */
	struct cow_io both;
	u64 stop_after;			/* testing: exit after so many writes to both */
	u64 writes;

	struct progress progress;
	enum cow_log_error error;	/* of the whole log */
	bool has_log;
	bool has_tail;		/* newest page is good: enough to commit */
	u64 restore_sectors;	/* what a rollback would copy */
	double verify_ms;

	/* To be called for every record that is read: see dm-cow-picture.h. */
	void (*visit)(struct cow_picture *pic, const struct cow_head *head,
		      u64 page_sector, const struct cow_record *record, int index,
		      const char *verdict);
	void *visit_data;

	/* Of a log whose header in block 0 is lost: see rescue.h. */
	struct scan scan;
	bool scanned;
	struct scan_log *found;		/* the log that was read is this one */
	struct cow_disk_page *page0;	/* and block 0 is read as this */
};

/* 0 or an exit status, with the reason told. */
int offline_open(struct offline *off, const char *path, bool writable);
/* The same of a snapshot: a log that is on @store, of the origin @path. */
int offline_open_apart(struct offline *off, const char *path, const char *store,
		       bool writable);
/* The same if the store lies on the origin itself, and begins at that sector. */
int offline_open_inside(struct offline *off, const char *path, u64 sector, bool writable);
void offline_close(struct offline *off);

/* What is read to be judged is kept, see bow_dev_keep(): a restore need not read it again. */
void offline_keep(struct offline *off, u64 bytes);

/*
 * Read and judge, writing nothing. 0, whatever the verdict on the log, or
 * BOW_SYSTEM.
 */
int offline_read(struct offline *off, enum cow_picture_depth depth, bool quiet);

/* The same once more, from the beginning. */
int offline_read_again(struct offline *off, enum cow_picture_depth depth,
		       bool quiet);

/* Was a commit begun? Then nothing but the newest page counts any more. */
bool offline_committing(const struct offline *off);

/* A log that a restore or a resume could use, or a commit that was cut. */
bool offline_good(const struct offline *off);

/* Say what is wrong with the log; returns BOW_DAMAGED. */
int offline_complain(const struct offline *off);

/* 0, or BOW_REFUSED, told, if a log good otherwise is not for us to end. */
int offline_refuse_read_only(const struct offline *off);

/* Both return 0 or an exit status, with the reason told. */
int offline_commit(struct offline *off);
int offline_restore(struct offline *off, bool quiet);

const char *log_state_name(u32 state);

/* What there is to know about the log, for people and for programs. */
void offline_print(const struct offline *off);
struct json_object *offline_json(const struct offline *off);
/* The complaint, or NULL if there is none. */
struct json_object *offline_json_error(const struct offline *off);

#endif
