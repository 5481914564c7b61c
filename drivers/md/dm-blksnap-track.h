/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Changed-block tracking that outlives a reboot: what is on the tracking device.
 *
 * Of each block there is the epoch of the last write as of the last save, of each
 * region that of the last mark since then. What must always be true of a valid
 * header: the larger of the two is not below the epoch in which a block was written
 * to last. So a write to a region waits until the region's mark is durable, once in
 * an epoch.
 *
 * Plain C. Nothing here runs beside anything else here but snap_track_passes().
 */
#ifndef DM_BLKSNAP_TRACK_H
#define DM_BLKSNAP_TRACK_H

#include "dm-blksnap-cbt.h"
#include "dm-cow-io.h"

#define SNAP_TRACK_PAGE 8		/* sectors: the unit of all I/O */
#define SNAP_TRACK_CHUNK 16		/* pages at a time */
#define SNAP_TRACK_MIN_REGION 2048	/* sectors; more if a block is larger... */
#define SNAP_TRACK_MAX_REGION 131072	/* ...or if there would be too many */
#define SNAP_TRACK_REGIONS 1024		/* wanted... */
#define SNAP_TRACK_MAX_REGIONS 262144	/* ...and allowed */

struct snap_track {
	struct cow_io *io;
	struct snap_cbt *cbt;
	u64 sectors;			/* of the origin */
	u32 shift;			/* of a region's sectors */
	u64 nr;				/* regions */
	u16 *durable;			/* marks that can be relied on; lock-free readers */
	u16 *marks;			/* on the device, or about to be */
	u8 *dirty;			/* pages of marks that are to be written */
	u8 *buf;			/* one chunk */
	u8 generation[16];		/* that the device is of */
	bool read;			/* what was there has been looked at */
	bool live;			/* writes must ask */
	bool lost;			/* an error: as if there were no device */
	bool restarted;			/* the numbers have begun anew for that reason */
};

/* Sectors that the device must have. @cbt tells the size of a block. */
u64 snap_track_size(const struct snap_cbt *cbt, u64 sectors);

/* May sleep. 0 or -ENOMEM. Nothing is read or written yet. */
int snap_track_init(struct snap_track *track, struct snap_cbt *cbt, u64 sectors,
		    struct cow_io *io);
void snap_track_exit(struct snap_track *track);

/* May these sectors be written to? They must be marked in the cbt already. Any context. */
bool snap_track_passes(const struct snap_track *track, u64 sector, u64 nr);

/*
 * If not: want marks for them, any number of times, then record all that are wanted,
 * with one flush. When that returns they may be written to, whatever it returns: with
 * an error the tracking is lost, and nothing waits any more. May sleep.
 */
void snap_track_want(struct snap_track *track, u64 sector, u64 nr);
int snap_track_record(struct snap_track *track);

/* Nothing of before the save costs a region after it. 0 or an error, as above. */
int snap_track_save(struct snap_track *track);

/*
 * Nobody writes to the origin from now on. Either somebody else may, before we are
 * resumed, or nobody will: @last. Numbers of which nothing is kept any more begin anew.
 */
int snap_track_pause(struct snap_track *track, bool last);

/* The first time, this is where numbers come from. Nobody writes to the origin yet. */
int snap_track_resume(struct snap_track *track);

/* The device is not ours any more, until a resume. */
void snap_track_close(struct snap_track *track);

#endif
