/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that is not complete yet: FILE.part, and beside it FILE.state, which says how
 * far that can be relied on.
 */
#ifndef BOW_PARTIAL_H
#define BOW_PARTIAL_H

#include "export.h"

struct partial {
	const char *path;	/* FILE */
	char part[PATH_MAX], state[PATH_MAX];
	int fd;			/* of FILE.part, locked; -1: not open */

	/* Of whom it is... */
	char id[INCREMENT_ID], since[INCREMENT_ID];	/* "": a full image */
	u64 size;
	char stamp[EXPORT_STAMP];
	/* ...and what is durable: all of the source below this, in so many bytes. */
	u64 position;
	struct increment_sums sums;
	bool complete;		/* nothing but the name is missing */
};

/* 0 or an exit status, with the reason told. */
int partial_init(struct partial *p, const char *path);

/*
 * Is FILE there? If it is what @p is to become, and only tidying up is left, @complete
 * is set; anything else is refused.
 */
int partial_check(struct partial *p, bool *complete);

/* What is left over then. */
int partial_tidy(const struct partial *p);

/* Go on, or begin; @p says which snapshot is wanted, and then where. */
int partial_open(struct partial *p);

/* Forget what there is. */
int partial_restart(struct partial *p);

/* What has been written so far is to be relied on. */
int partial_save(struct partial *p);

/* FILE.part becomes FILE. */
int partial_finish(struct partial *p);

void partial_close(struct partial *p);

#endif
