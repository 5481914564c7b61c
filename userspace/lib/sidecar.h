/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known of a full image: a small file beside it, FILE.blksnap.
 */
#ifndef BOW_SIDECAR_H
#define BOW_SIDECAR_H

#include "increment.h"

#define SIDECAR_TIME 48

struct sidecar {
	char id[INCREMENT_ID];		/* of the snapshot that it is */
	char applying[INCREMENT_ID];	/* on the way to that one; "": it is whole */
	u64 applying_time;		/* of the increment */
	u64 size;
	char origin[INCREMENT_NAME];
	char written[SIDECAR_TIME];	/* when the image was written to last */
};

/* Of the image @path. 0 or an exit status, with the reason told. */
int sidecar_read(const char *path, struct sidecar *side);
int sidecar_write(const char *path, const struct sidecar *side);

/* When @fd was written to, as a sidecar has it. The same. */
int sidecar_time(int fd, const char *path, char text[SIDECAR_TIME]);

/* Is @now the time that the sidecar has, or its seconds, which many copies keep? */
bool sidecar_same_time(const struct sidecar *side, const char *now);

#endif
