/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device copied into a file, all of it or what has changed; can be cut and gone on
 * with.
 */
#ifndef BOW_EXPORT_H
#define BOW_EXPORT_H

#include "increment.h"
#include "progress.h"

#define EXPORT_STAMP 80

struct export_range {
	u64 start, length;	/* bytes */
};

struct export {
	const char *path;	/* to be made; "-": standard output, an increment only */
	const char *source_name;
	int source;
	struct increment_info info;	/* since 0: a full image */
	const struct export_range *ranges;	/* in order; all of it for a full image */
	unsigned int nr_ranges;
	bool quiet;
	u64 save_bytes;		/* read, before they are made durable; 0: as seems right */

	/*
	 * Something that changes when the source is written to. 0 or an exit status,
	 * with the reason told.
	 */
	int (*stamp)(char text[EXPORT_STAMP], void *data);
	void *data;

	/* out */
	u64 resumed;		/* bytes that were there already, of those to be read */
	struct increment_sums sums;	/* bytes is the size of the file */
	bool was_complete;	/* nothing had to be done */
};

/* Bytes to be read. */
u64 export_bytes(const struct export *ex);

/* 0 or an exit status, with the reason told, and how to go on. */
int export_run(struct export *ex);

/* Could it be done, as far as FILE is concerned? The same. */
int export_check(struct export *ex);

#endif
