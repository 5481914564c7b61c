/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Plain synchronous I/O on the device below, for all that is not the hot path:
 * entering, moving, committing, resuming, restoring. The kernel, the tool and
 * the tests each bring their own.
 *
 * With a store there are two devices below: the store's sectors are counted from 0,
 * the origin's from COW_ORIGIN_BASE. Nothing is read or written across the two, and
 * a flush is of both.
 */
#ifndef DM_COW_IO_H
#define DM_COW_IO_H

#include "dm-cow-env.h"

struct cow_io;

struct cow_io_ops {
	/* Sectors and buffers in 512-byte units. 0 or -errno; may sleep. */
	int (*read)(struct cow_io *io, u64 sector, void *buf, u32 sectors);
	int (*write)(struct cow_io *io, u64 sector, const void *buf, u32 sectors);
	/* All writes completed so far survive a power cut once it returns 0. */
	int (*flush)(struct cow_io *io);
	/*
	 * Or NULL. As a read and a write, but it may end only with the next call of any of
	 * the others, which tells its error. Places of copies in flight do not overlap.
	 * -EOPNOTSUPP: nothing was done.
	 */
	int (*copy)(struct cow_io *io, u64 from, u64 to, u32 sectors);
};

struct cow_io {
	const struct cow_io_ops *ops;
	u64 sectors;		/* size of the device; COW_ORIGIN_BASE more with a store... */
	u64 store_sectors;	/* ...which is of this size; 0: there is none */
	u32 atomic_sectors;	/* logical block: never torn; 1 to 8. The store's */
};

static inline int cow_read(struct cow_io *io, u64 sector, void *buf, u32 sectors)
{
	return io->ops->read(io, sector, buf, sectors);
}

static inline int cow_write(struct cow_io *io, u64 sector, const void *buf,
			    u32 sectors)
{
	return io->ops->write(io, sector, buf, sectors);
}

static inline int cow_flush(struct cow_io *io)
{
	return io->ops->flush(io);
}

/* @buf may be used for it. */
static inline int cow_copy_to(struct cow_io *io, u64 from, u64 to, void *buf, u32 sectors)
{
	int r = io->ops->copy ? io->ops->copy(io, from, to, sectors) : -EOPNOTSUPP;

	if (r != -EOPNOTSUPP)
		return r;
	r = cow_read(io, from, buf, sectors);
	return r ? r : cow_write(io, to, buf, sectors);
}

#endif
