// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copies ahead of small writes that come one after the other, as those of a journal
 * do: the next ones find their blocks copied, and need not wait for a group each.
 *
 * A stream gets half as much ahead as has been copied for it, so what nobody comes to
 * write is at most a third of what is copied. Nothing is copied ahead when space is
 * short, of what is ours, or after a copy of that kind could not be read: what is bad
 * there may be something that nobody wants to write to.
 */
#include "dm-cow.h"

#define SMALL_SECTORS 64		/* writes of more are long enough */
#define AHEAD_SECTORS 512		/* and no more than this is copied along */

static struct cow_stream *find_stream(struct cow *cow, u64 block)
{
	unsigned int i;

	for (i = 0; i < COW_STREAMS; i++)
		if (cow->streams[i].blocks && cow->streams[i].next == block)
			return &cow->streams[i];
	return NULL;
}

static struct cow_stream *new_stream(struct cow *cow)
{
	struct cow_stream *stream = &cow->streams[cow->next_stream];

	cow->next_stream = (cow->next_stream + 1) % COW_STREAMS;
	stream->blocks = 0;
	return stream;
}

static bool space_is_short(const struct cow *cow)
{
	u64 free;

	if (cow->apart)
		return cow->sparing;
	free = cow_map_nr_free(&cow->map);
	return free < cow->nr_initial_free / 8 || free < 2 * READ_ONCE(cow->low_water);
}

/* Where the next hidden block is: its contents are not at its place. Not block 0. */
static u64 before_hidden(const struct cow *cow, u64 block, u64 end)
{
	const struct cow_head *head = &cow->log.head;
	u32 i;

	for (i = 0; i < head->hidden_count; i++)
		end = cow_earlier_place(cow, head->hidden[i].source, block, end);
	return end;
}

u64 cow_ahead(struct cow *cow, u64 block, u64 end)
{
	const struct cow_stream *stream = find_stream(cow, block);
	u64 to;

	if (!stream || cow->ahead_failed || space_is_short(cow) ||
	    end - block > SMALL_SECTORS >> cow->geo.block_shift)
		return end;
	to = end + min_t(u64, stream->blocks / 2, AHEAD_SECTORS >> cow->geo.block_shift);
	to = min(to, cow->geo.nr_blocks);
	if (cow->apart)
		return to;
	to = before_hidden(cow, end, to);
	return cow_count_was_free(cow, block, to - block) ? end : to;
}

void cow_ahead_copied(struct cow *cow, u64 block, u64 nr)
{
	struct cow_stream *stream = find_stream(cow, block);

	if (!stream)
		stream = new_stream(cow);
	stream->next = block + nr;
	stream->blocks += nr;
}

void cow_ahead_reset(struct cow *cow)
{
	memset(cow->streams, 0, sizeof(cow->streams));
	cow->ahead_failed = false;
	cow->sparing = false;
}
EXPORT_SYMBOL_GPL(cow_ahead_reset);
