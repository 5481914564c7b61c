/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The two ways a checkpoint ends: commit and restore. Both can be cut at any
 * write and run again; both write the header in block 0 over at the very end.
 */
#ifndef DM_COW_FINISH_H
#define DM_COW_FINISH_H

#include "dm-cow-picture.h"

/*
 * Give the checkpoint up: the live contents of the hidden blocks go back to
 * their places. No group may be in flight, no I/O to a hidden block, and
 * nobody may write to slot 1 or a live copy until this returns. The log is gone
 * when it returns 0. Also finishes a commit that was cut. @buf has room for one
 * block: under on_full commit there may be no memory to be had. May sleep.
 */
int cow_commit(struct cow_log *log, const struct cow_geometry *geo,
	       struct cow_io *io, void *buf);

/*
 * The part of it that no longer needs the log: hidden blocks from their live
 * copies, block 0 last, its header at the very end.
 */
int cow_put_back(const struct cow_log *log, const struct cow_geometry *geo,
		 struct cow_io *io, void *buf);

/*
 * Roll back: every original block goes back to its place. @pic was read with
 * COW_CHECK_ALL. @progress, which may be NULL, gets the sectors done so far.
 * Also finishes a restore that was cut. May sleep.
 */
int cow_restore(struct cow_picture *pic,
		void (*progress)(void *data, u64 done), void *data);

#endif
