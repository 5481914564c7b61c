// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ending a checkpoint: commit and restore.
 */
#include "dm-cow-finish.h"

/* Its first sectors, where a log header may be, come last. Two flushes inside. */
static int write_block0(struct cow_io *io, const struct cow_geometry *geo,
			const void *buf)
{
	u32 sectors = cow_run_sectors(geo, 0, 1);
	u32 first = io->atomic_sectors;
	int r = 0;

	if (sectors > first)
		r = cow_write(io, first, (const u8 *)buf + (first << 9),
			      sectors - first);
	/* As long as the header stands, all of this can be done again. */
	if (!r)
		r = cow_flush(io);
	if (!r)
		r = cow_write(io, 0, buf, first);
	if (!r)
		r = cow_flush(io);
	return r;
}

/* Block 0's entry comes first in the table; it is put back last, elsewhere. */
static int put_back_hidden(const struct cow_log *log,
			   const struct cow_geometry *geo, struct cow_io *io, void *buf)
{
	int r = 0;
	u32 i;

	for (i = 0; i < log->head.hidden_count && !r; i++) {
		const struct cow_hidden *hidden = &log->head.hidden[i];

		if (!hidden->source)
			continue;
		r = cow_read(io, hidden->live, buf, geo->block_sectors);
		if (!r)
			r = cow_write(io, hidden->source, buf, geo->block_sectors);
	}
	/* Before block 0, after which nobody knows where the live copies are. */
	if (!r)
		r = cow_flush(io);
	return r;
}

int cow_put_back(const struct cow_log *log, const struct cow_geometry *geo,
		 struct cow_io *io, void *buf)
{
	int r = put_back_hidden(log, geo, io, buf);

	if (!r)
		r = cow_read(io, log->head.hidden[0].live, buf, geo->block_sectors);
	return r ? r : write_block0(io, geo, buf);
}
EXPORT_SYMBOL_GPL(cow_put_back);

int cow_commit(struct cow_log *log, const struct cow_geometry *geo,
	       struct cow_io *io, void *buf)
{
	int r = 0;

	if (log->read_only)
		return -EROFS;
	/* Its contents are those of the origin; a header is all that is in the way. */
	if (cow_head_apart(&log->head))
		return cow_log_erase(log, io);
	if (!log->head.hidden_count)
		r = -EINVAL;
	/* The tool may have put the header back with that state in it. */
	if (!r && (log->head.state != COW_LOG_COMMITTING || !log->newest))
		r = cow_log_mark(log, io, COW_LOG_COMMITTING);
	return r ? r : cow_put_back(log, geo, io, buf);
}
EXPORT_SYMBOL_GPL(cow_commit);

#ifndef __KERNEL__	/* going back is the offline tool's */

/* Neighbouring originals whose data is adjacent too, copied in one go. */
struct restore {
	struct cow_picture *pic;
	void (*progress)(void *data, u64 done);
	void *data;
	u64 done;
	u64 from, to;
	u32 sectors;
};

static int copy_gathered(struct restore *restore)
{
	struct cow_picture *pic = restore->pic;
	int r;

	if (!restore->sectors)
		return 0;
	/* From where nothing was kept at the checkpoint to where something was. */
	r = cow_copy_to(pic->io, restore->from, restore->to, pic->buf, restore->sectors);
	restore->done += restore->sectors;
	restore->sectors = 0;
	if (restore->progress)
		restore->progress(restore->data, restore->done);
	return r;
}

static int gather(void *data, u64 from, u64 to, u32 sectors)
{
	struct restore *restore = data;
	u32 block = restore->pic->geo.block_sectors;
	int r = 0;

	if (!to) {	/* block 0 comes last, on its own */
		from += block;
		to += block;
		sectors -= min(sectors, block);
	}
	if (!sectors)
		return 0;
	if (from != restore->from + restore->sectors ||
	    to != restore->to + restore->sectors ||
	    restore->sectors + sectors > COW_MAX_RUN_SECTORS)
		r = copy_gathered(restore);
	if (!restore->sectors) {
		restore->from = from;
		restore->to = to;
	}
	restore->sectors += sectors;
	return r;
}

static int restore_block0(struct cow_picture *pic)
{
	struct cow_range *range;
	int r;

	if (cow_head_apart(&pic->log.head))
		return cow_log_erase(&pic->log, pic->io);
	cow_ranges_piece(&pic->moved, 0, 1, &range);
	if (!range)
		return -EINVAL;
	r = cow_read(pic->io, cow_block_to_sector(&pic->geo, range->to), pic->buf,
		     cow_run_sectors(&pic->geo, 0, 1));
	return r ? r : write_block0(pic->io, &pic->geo, pic->buf);
}

int cow_restore(struct cow_picture *pic,
		void (*progress)(void *data, u64 done), void *data)
{
	struct restore restore = {
		.pic = pic, .progress = progress, .data = data,
	};
	int r = 0;

	if (pic->log.read_only)
		return -EROFS;
	/* From here on no one may take the device for a live one. */
	if (pic->log.head.state != COW_LOG_RESTORING || !pic->log.newest)
		r = cow_log_mark(&pic->log, pic->io, COW_LOG_RESTORING);
	if (!r)
		r = cow_picture_each_original(pic, gather, &restore);
	if (!r)
		r = copy_gathered(&restore);
	/* All copies before the header that says where they come from is gone. */
	if (!r)
		r = cow_flush(pic->io);
	return r ? r : restore_block0(pic);
}

#endif
