/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The log as its writer sees it: one tail page with two slots, pages sealed
 * behind it. The rules that make it survive any power cut are explained in
 * Documentation/admin-guide/device-mapper/dm-cow-format.rst.
 *
 * Not locked: one caller at a time. Places and lengths in sectors.
 */
#ifndef DM_COW_LOG_H
#define DM_COW_LOG_H

#include "dm-cow-io.h"

/* Why a log cannot be used; cow_log_strerror() says it in words. */
enum cow_log_error {
	COW_LOG_OK,
	COW_LOG_NO_MAGIC,	/* not a log at all */
	COW_LOG_BAD_HEADER,	/* checksum */
	COW_LOG_BAD_VERSION,
	COW_LOG_BAD_FEATURES,
	COW_LOG_BAD_GEOMETRY,	/* block size or place of our own impossible */
	COW_LOG_WRONG_SIZE,	/* device size differs */
	COW_LOG_BAD_STATE,	/* unknown state word */
	COW_LOG_BAD_RECORDS,	/* checksum of the records */
	COW_LOG_FOREIGN,	/* uuid of another checkpoint */
	COW_LOG_NO_TAIL,	/* neither slot holds a valid version */
	COW_LOG_BROKEN_CHAIN,	/* predecessor missing */
	COW_LOG_BAD_RECORD,	/* kind unknown, out of range, misaligned */
	COW_LOG_SOURCE_TWICE,
	COW_LOG_OVERLAP,	/* two uses of one place */
	COW_LOG_BAD_VOID,	/* nothing to cancel */
	COW_LOG_BAD_DATA,	/* neither backup nor source match the checksum */
	COW_LOG_DROPPED_DATA,	/* cut group, yet its sources have changed */
	COW_LOG_OVERWRITTEN,	/* block 0 behind its header: not by a torn write */
	COW_LOG_IO,
	COW_LOG_NO_MEMORY,
	COW_LOG_BAD_RESERVE,	/* not in the free map */
	COW_LOG_READ_ONLY,	/* good, but not for us to write to */
	COW_LOG_WRONG_KIND,	/* of a device, given a store, or the other way round */
	COW_LOG_NR_ERRORS
};

const char *cow_log_strerror(enum cow_log_error error);

/* Size and granularity of a device under a log. */
struct cow_geometry {
	u64 sectors;
	u64 nr_blocks;		/* the last one may be short */
	u32 block_sectors;
	u32 block_shift;	/* sectors to blocks */
};

void cow_geometry_set(struct cow_geometry *geo, u64 sectors, u32 block_sectors);

static inline u64 cow_block_to_sector(const struct cow_geometry *geo, u64 block)
{
	return block << geo->block_shift;
}

static inline u64 cow_sector_to_block(const struct cow_geometry *geo, u64 sector)
{
	return sector >> geo->block_shift;
}

/* Blocks that @sectors reach into, from the start of a block on. */
static inline u64 cow_blocks_of(const struct cow_geometry *geo, u64 sectors)
{
	return (sectors + geo->block_sectors - 1) >> geo->block_shift;
}

/* Sectors in @nr blocks from @block on: less at the end of the device. */
u32 cow_run_sectors(const struct cow_geometry *geo, u64 block, u64 nr);

struct cow_hidden {
	u64 source;		/* the block that is hidden, sector */
	u64 live;		/* its live copy, sector */
};

/* struct cow_disk_header in the CPU's byte order, less what never changes. */
struct cow_head {
	u32 features_compat;	/* of this very page; given anew with every write */
	u32 state;		/* COW_LOG_* of the format */
	u8 uuid[16];
	u64 generation;
	u64 sequence;
	u64 device_sectors;	/* apart: COW_ORIGIN_BASE and the origin */
	u64 store_sectors;	/* apart: all places are below; else 0 */
	u32 block_sectors;
	u32 record_count;
	u64 slot1;
	u64 seal;
	u64 prev_place;
	u64 prev_generation;
	u64 time;
	u32 hidden_count;
	struct cow_hidden hidden[COW_MAX_HIDDEN];
	bool read_only;		/* a feature unknown here forbids writing */
};

struct cow_record {
	u32 kind;		/* COW_RECORD_* */
	u64 source;
	u64 dest;		/* of a free extent: its length */
	u32 sectors;
	u32 crc;
};

/* The record that cancels @backup. */
static inline struct cow_record cow_void_of(const struct cow_record *backup)
{
	return (struct cow_record) {
		.kind = COW_RECORD_VOID,
		.source = backup->source,
		.dest = backup->dest,
	};
}

struct cow_record cow_record_decode(const struct cow_disk_record *disk);

/* Write @head and both checksums into @page; the records are there already. */
void cow_page_encode(struct cow_disk_page *page, const struct cow_head *head);

/* Check and decode the header alone. @sectors: size of the device. */
enum cow_log_error cow_head_decode(const struct cow_disk_page *page,
				   u64 sectors, struct cow_head *head);

/* The same of whatever @io is: a device, or an origin and its store. */
enum cow_log_error cow_head_decode_io(const struct cow_disk_page *page,
				      const struct cow_io *io, struct cow_head *head);

/* Is the log on a store, apart from the device that it is of? */
static inline bool cow_head_apart(const struct cow_head *head)
{
	return head->store_sectors;
}

/* Places lie below. */
static inline u64 cow_head_places(const struct cow_head *head)
{
	return cow_head_apart(head) ? head->store_sectors : head->device_sectors;
}

/* Do the counted records match their checksum? @head is this page's. */
bool cow_page_records_valid(const struct cow_disk_page *page,
			    const struct cow_head *head);

/* One page to be written by the group that is being committed. */
struct cow_page_write {
	u64 sector;
	const struct cow_disk_page *page;
	bool fua;
};

struct cow_log {
	struct cow_head head;		/* of the newest version staged */
	struct cow_disk_page *tail;	/* and its page */
	u32 summed;			/* so many of its records are in... */
	u32 crc;			/* ...this, which is not inverted yet */
	struct cow_disk_page *sealed;	/* the page sealed by a group in flight... */
	bool sealing;			/* ...if there is one */
	u64 generation;			/* highest ever seen or given */
	unsigned int newest;		/* slot with the newest durable version */
	bool read_only;			/* one of its pages is */
};

int cow_log_init(struct cow_log *log);
void cow_log_exit(struct cow_log *log);

/* No log yet: nothing of what was before. */
void cow_log_reset(struct cow_log *log);

/* The tail is another page from now on: a copy of @page, or, if that is NULL, empty. */
void cow_log_new_tail(struct cow_log *log, const struct cow_disk_page *page);

/* How many records the next group can hold: 0 if the log is out of space. */
u32 cow_log_room(const struct cow_log *log);

/* Will the next group seal the tail? Then its page wants a new seal. */
static inline bool cow_log_full(const struct cow_log *log)
{
	return log->head.record_count == COW_PAGE_RECORDS;
}

/*
 * Begin a group: seals a full tail and opens its successor, for which @seal is
 * kept (0: none to be had). Then add its records, then stage it: @writes gets
 * what to write, in any order; returns how many, 1 or 2. When all of them, the
 * group's data and a flush are done, cow_log_settle() makes it the newest
 * version.
 */
void cow_log_begin(struct cow_log *log, u64 seal);
void cow_log_add(struct cow_log *log, const struct cow_record *record);
unsigned int cow_log_stage(struct cow_log *log, struct cow_page_write writes[2]);
void cow_log_settle(struct cow_log *log);

/* All of the above with I/O at once, records already added; may sleep. */
int cow_log_write_group(struct cow_log *log, struct cow_io *io);

/* Seal the tail in its seal, full or not, which must be there. */
void cow_log_turn(struct cow_log *log);

/*
 * Write the very first version of a new log: slot 1, then block 0, header
 * first. @buf has room for one block. *@named is set when block 0 may carry the
 * header. The log is live when it returns 0.
 */
int cow_log_write_first(struct cow_log *log, const struct cow_geometry *geo,
			struct cow_io *io, void *buf, bool *named);

/* Write a sealed page on its own, when a log is made; not flushed. */
int cow_log_write_sealed(struct cow_log *log, struct cow_io *io, u64 place);

/*
 * Move slot 1 to @place. Two flushes inside. No group may be in flight. The old
 * place is nobody's when it returns 0, and does not look like slot 1 any more.
 */
int cow_log_move_slot1(struct cow_log *log, struct cow_io *io, u64 place);

/* Durably declare that the log is now in @state, in slot 1. */
int cow_log_mark(struct cow_log *log, struct cow_io *io, u32 state);

/*
 * Of a log on a store: erase the header in block 0, and with it the log; flush. No group
 * may be in flight. That takes no memory: a log that is alive is not lost for want of it.
 */
int cow_log_erase(struct cow_log *log, struct cow_io *io);

/*
 * The same for a writer of the log, none of whose writes is in flight, but whose last
 * one may have failed. If the header cannot be erased slot 1 says that the log has
 * ended. An error: neither is sure, the log may be taken for a live one.
 */
int cow_log_end(struct cow_log *log, struct cow_io *io);

#endif
