/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies between places of devices, many in flight: by io_uring, where the kernel
 * lets us have it.
 */
#ifndef BOW_COPIER_H
#define BOW_COPIER_H

#include "dm-cow-env.h"

#define DIRECT_ALIGN 65536	/* of buffers: no logical block or DMA rule asks for more */

struct copier;

/* NULL: there is no io_uring here, or no memory; copy one after the other then. */
struct copier *copier_new(void);
void copier_free(struct copier *copier);	/* NULL will do; waits */

/* What went wrong: 0, or -errno and where. */
struct copier_error {
	int err;
	int fd;
	u64 sector;
	bool write;
};

/*
 * Begin to copy, now or before copier_wait() returns. Places of copies in flight must
 * not overlap. Returns 0, or -errno of any copy so far.
 */
int copier_copy(struct copier *copier, int from_fd, u64 from, int to_fd, u64 to,
		u32 sectors);

/* The same with @data, aligned as such I/O needs it, which stays what it is till then. */
int copier_write(struct copier *copier, void *data, int to_fd, u64 to, u32 sectors);

/* All copies have ended. Tells the first error since the last call, and forgets it. */
struct copier_error copier_wait(struct copier *copier);

#endif
