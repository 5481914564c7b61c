// SPDX-License-Identifier: GPL-2.0-only
/*
 * The writer's side of the log: pages, slots, seals.
 */
#include "dm-cow-log.h"

static const char * const error_text[COW_LOG_NR_ERRORS] = {
	[COW_LOG_OK] = "ok",
	[COW_LOG_NO_MAGIC] = "no log header in block 0",
	[COW_LOG_BAD_HEADER] = "header checksum is wrong",
	[COW_LOG_BAD_VERSION] = "format version is unknown",
	[COW_LOG_BAD_FEATURES] = "needs a feature that is unknown here",
	[COW_LOG_BAD_GEOMETRY] = "impossible number in the header",
	[COW_LOG_WRONG_SIZE] = "belongs to a device of another size",
	[COW_LOG_BAD_STATE] = "impossible state word",
	[COW_LOG_BAD_RECORDS] = "checksum of the records is wrong",
	[COW_LOG_FOREIGN] = "page belongs to another checkpoint",
	[COW_LOG_NO_TAIL] = "neither slot holds a valid page",
	[COW_LOG_BROKEN_CHAIN] = "predecessor page is missing",
	[COW_LOG_BAD_RECORD] = "record is malformed or out of range",
	[COW_LOG_SOURCE_TWICE] = "two records name the same source",
	[COW_LOG_OVERLAP] = "one place is used twice",
	[COW_LOG_BAD_VOID] = "void record cancels nothing",
	[COW_LOG_BAD_DATA] = "neither backup nor source match the checksum",
	[COW_LOG_DROPPED_DATA] = "cut group, yet its sources have changed",
	[COW_LOG_OVERWRITTEN] = "block 0 was overwritten behind its header",
	[COW_LOG_IO] = "I/O error",
	[COW_LOG_NO_MEMORY] = "out of memory",
	[COW_LOG_BAD_RESERVE] = "reserve was not free at the checkpoint",
	[COW_LOG_READ_ONLY] = "has a feature unknown here that forbids writing",
	[COW_LOG_WRONG_KIND] = "a checkpoint's log is no snapshot's store, nor the other way round",
};

const char *cow_log_strerror(enum cow_log_error error)
{
	return error < COW_LOG_NR_ERRORS ? error_text[error] : "unknown error";
}
EXPORT_SYMBOL_GPL(cow_log_strerror);

void cow_geometry_set(struct cow_geometry *geo, u64 sectors, u32 block_sectors)
{
	geo->sectors = sectors;
	geo->block_sectors = block_sectors;
	geo->block_shift = ilog2(block_sectors);
	geo->nr_blocks = (sectors + block_sectors - 1) >> geo->block_shift;
}
EXPORT_SYMBOL_GPL(cow_geometry_set);

u32 cow_run_sectors(const struct cow_geometry *geo, u64 block, u64 nr)
{
	u64 start = cow_block_to_sector(geo, block);

	return min_t(u64, nr << geo->block_shift, geo->sectors - start);
}
EXPORT_SYMBOL_GPL(cow_run_sectors);

struct cow_record cow_record_decode(const struct cow_disk_record *disk)
{
	u64 source = le64_to_cpu(disk->source);

	return (struct cow_record) {
		.kind = source >> COW_RECORD_KIND_SHIFT,
		.source = source & COW_RECORD_SECTOR_MASK,
		.dest = le64_to_cpu(disk->dest),
		.sectors = le32_to_cpu(disk->sectors),
		.crc = le32_to_cpu(disk->data_crc),
	};
}

static struct cow_disk_record record_encode(const struct cow_record *record)
{
	return (struct cow_disk_record) {
		.source = cpu_to_le64(record->source |
				      (u64)record->kind << COW_RECORD_KIND_SHIFT),
		.dest = cpu_to_le64(record->dest),
		.sectors = cpu_to_le32(record->sectors),
		.data_crc = cpu_to_le32(record->crc),
	};
}

static u32 records_crc(const struct cow_disk_page *page, u32 count)
{
	return cow_crc(page->records, count * sizeof(page->records[0]));
}

/* The header's checksum, taken as if its own field were zero. */
static u32 header_crc(const struct cow_disk_header *disk)
{
	size_t at = offsetof(struct cow_disk_header, header_crc);
	size_t rest = at + sizeof(disk->header_crc);
	__le32 zero = 0;
	u32 crc;

	crc = crc32c(~0U, disk, at);
	crc = crc32c(crc, &zero, sizeof(zero));
	return ~crc32c(crc, (const u8 *)disk + rest, sizeof(*disk) - rest);
}

static void encode(struct cow_disk_page *page, const struct cow_head *head, u32 crc)
{
	struct cow_disk_header *disk = &page->header;
	u32 i;

	memset(disk, 0, sizeof(*disk));
	memcpy(disk->magic, COW_LOG_MAGIC, COW_LOG_MAGIC_SIZE);
	disk->version = cpu_to_le32(COW_LOG_VERSION);
	disk->features_compat = cpu_to_le32(head->features_compat);
	disk->features_ro_compat = cpu_to_le32(COW_FEATURES_RO_COMPAT);
	disk->features_incompat = cpu_to_le32(cow_head_apart(head) ? COW_FEATURE_APART : 0);
	disk->state = cpu_to_le32(head->state);
	memcpy(disk->uuid, head->uuid, sizeof(disk->uuid));
	disk->generation = cpu_to_le64(head->generation);
	disk->sequence = cpu_to_le64(head->sequence);
	disk->device_sectors = cpu_to_le64(head->device_sectors);
	disk->store_sectors = cpu_to_le64(head->store_sectors);
	disk->block_sectors = cpu_to_le32(head->block_sectors);
	disk->record_count = cpu_to_le32(head->record_count);
	disk->records_crc = cpu_to_le32(crc);
	disk->hidden_count = cpu_to_le32(head->hidden_count);
	disk->slot1 = cpu_to_le64(head->slot1);
	disk->seal = cpu_to_le64(head->seal);
	disk->prev_place = cpu_to_le64(head->prev_place);
	disk->prev_generation = cpu_to_le64(head->prev_generation);
	disk->time = cpu_to_le64(head->time);
	for (i = 0; i < head->hidden_count; i++) {
		disk->hidden[i].source = cpu_to_le64(head->hidden[i].source);
		disk->hidden[i].live = cpu_to_le64(head->hidden[i].live);
	}
	disk->header_crc = cpu_to_le32(header_crc(disk));
}

void cow_page_encode(struct cow_disk_page *page, const struct cow_head *head)
{
	encode(page, head, records_crc(page, head->record_count));
}

/* Can a COW block of ours be at @sector? Never block 0, never a short one. */
static bool valid_place(const struct cow_head *head, u64 sector)
{
	u64 end = cow_head_places(head);

	return sector && !(sector & (head->block_sectors - 1)) &&
	       sector < end && end - sector >= head->block_sectors;
}

/* Is a live copy where something else of the hidden blocks is? */
static bool live_shared(const struct cow_head *head, u32 index)
{
	u64 live = head->hidden[index].live;
	u32 i;

	for (i = 0; i < head->hidden_count; i++)
		if (live == head->hidden[i].source ||
		    (i != index && live == head->hidden[i].live))
			return true;
	return false;
}

static bool valid_hidden(const struct cow_head *head)
{
	u32 i;

	if (head->hidden_count > COW_MAX_HIDDEN)
		return false;
	for (i = 0; i < head->hidden_count; i++) {
		u64 source = head->hidden[i].source;

		/* Block 0 first, the others behind it in order. */
		if (!i && source)
			return false;
		if (i && (!valid_place(head, source) ||
			  source <= head->hidden[i - 1].source))
			return false;
		if (!valid_place(head, head->hidden[i].live) ||
		    live_shared(head, i))
			return false;
	}
	return true;
}

/* One write a nanosecond gets there in a century; the next must still be higher. */
#define MAX_GENERATION (~0ULL >> 2)

/* Of a log apart: block 0 is nobody else's, so nothing is hidden, or shared. */
static bool valid_apart(const struct cow_head *head)
{
	return head->device_sectors > COW_ORIGIN_BASE &&
	       head->store_sectors <= COW_ORIGIN_BASE && !head->hidden_count;
}

static enum cow_log_error check_head(const struct cow_head *head,
				     const struct cow_io *io)
{
	if (head->block_sectors < COW_MIN_BLOCK_SECTORS ||
	    head->block_sectors > COW_MAX_BLOCK_SECTORS ||
	    !is_power_of_2(head->block_sectors) ||
	    head->device_sectors > COW_RECORD_SECTOR_MASK ||
	    (cow_head_apart(head) && !valid_apart(head)))
		return COW_LOG_BAD_GEOMETRY;
	if (head->device_sectors != io->sectors || head->store_sectors > io->store_sectors)
		return COW_LOG_WRONG_SIZE;
	if (head->state < COW_LOG_CHECKPOINT || head->state > COW_LOG_RESTORING)
		return COW_LOG_BAD_STATE;
	if (head->generation > MAX_GENERATION ||
	    head->record_count > COW_PAGE_RECORDS || !valid_hidden(head) ||
	    !valid_place(head, head->slot1) ||
	    (head->seal && !valid_place(head, head->seal)) ||
	    !head->prev_place != !head->sequence ||
	    (head->prev_place && !valid_place(head, head->prev_place)))
		return COW_LOG_BAD_GEOMETRY;
	return COW_LOG_OK;
}

static void decode(const struct cow_disk_header *disk, struct cow_head *head)
{
	u32 i;

	memset(head, 0, sizeof(*head));
	head->features_compat = le32_to_cpu(disk->features_compat);
	head->state = le32_to_cpu(disk->state);
	memcpy(head->uuid, disk->uuid, sizeof(head->uuid));
	head->generation = le64_to_cpu(disk->generation);
	head->sequence = le64_to_cpu(disk->sequence);
	head->device_sectors = le64_to_cpu(disk->device_sectors);
	if (le32_to_cpu(disk->features_incompat) & COW_FEATURE_APART)
		head->store_sectors = le64_to_cpu(disk->store_sectors);
	head->block_sectors = le32_to_cpu(disk->block_sectors);
	head->record_count = le32_to_cpu(disk->record_count);
	head->hidden_count = le32_to_cpu(disk->hidden_count);
	head->slot1 = le64_to_cpu(disk->slot1);
	head->seal = le64_to_cpu(disk->seal);
	head->prev_place = le64_to_cpu(disk->prev_place);
	head->prev_generation = le64_to_cpu(disk->prev_generation);
	head->time = le64_to_cpu(disk->time);
	head->read_only = le32_to_cpu(disk->features_ro_compat) &
			  ~COW_FEATURES_RO_COMPAT;
	for (i = 0; i < min_t(u32, head->hidden_count, COW_MAX_HIDDEN); i++) {
		head->hidden[i].source = le64_to_cpu(disk->hidden[i].source);
		head->hidden[i].live = le64_to_cpu(disk->hidden[i].live);
	}
}

enum cow_log_error cow_head_decode_io(const struct cow_disk_page *page,
				      const struct cow_io *io, struct cow_head *head)
{
	const struct cow_disk_header *disk = &page->header;
	bool apart = le32_to_cpu(disk->features_incompat) & COW_FEATURE_APART;

	if (memcmp(disk->magic, COW_LOG_MAGIC, COW_LOG_MAGIC_SIZE))
		return COW_LOG_NO_MAGIC;
	if (le32_to_cpu(disk->header_crc) != header_crc(disk))
		return COW_LOG_BAD_HEADER;
	if (le32_to_cpu(disk->version) != COW_LOG_VERSION)
		return COW_LOG_BAD_VERSION;
	if (le32_to_cpu(disk->features_incompat) & ~COW_FEATURES_INCOMPAT)
		return COW_LOG_BAD_FEATURES;
	if (apart != !!io->store_sectors)
		return COW_LOG_WRONG_KIND;
	decode(disk, head);
	if (apart && !cow_head_apart(head))
		return COW_LOG_BAD_GEOMETRY;
	return check_head(head, io);
}

enum cow_log_error cow_head_decode(const struct cow_disk_page *page,
				   u64 sectors, struct cow_head *head)
{
	struct cow_io io = { .sectors = sectors };

	return cow_head_decode_io(page, &io, head);
}
EXPORT_SYMBOL_GPL(cow_head_decode);

bool cow_page_records_valid(const struct cow_disk_page *page,
			    const struct cow_head *head)
{
	return le32_to_cpu(page->header.records_crc) ==
	       records_crc(page, head->record_count);
}

int cow_log_init(struct cow_log *log)
{
	memset(log, 0, sizeof(*log));
	log->tail = cow_zalloc(sizeof(*log->tail));
	log->sealed = cow_zalloc(sizeof(*log->sealed));
	if (log->tail && log->sealed)
		return 0;
	cow_log_exit(log);
	return -ENOMEM;
}
EXPORT_SYMBOL_GPL(cow_log_init);

void cow_log_exit(struct cow_log *log)
{
	cow_free(log->tail);
	cow_free(log->sealed);
	log->tail = NULL;
	log->sealed = NULL;
}
EXPORT_SYMBOL_GPL(cow_log_exit);

u32 cow_log_room(const struct cow_log *log)
{
	if (!cow_log_full(log))
		return COW_PAGE_RECORDS - log->head.record_count;
	return log->head.seal ? COW_PAGE_RECORDS : 0;
}
EXPORT_SYMBOL_GPL(cow_log_room);

/* Apart, the header says below where all places are. */
static void note_place(struct cow_log *log, u64 place, u32 sectors)
{
	struct cow_head *head = &log->head;
	u32 block = head->block_sectors;
	u64 end = place + (u64)DIV_ROUND_UP(sectors, block) * block;

	if (cow_head_apart(head))
		head->store_sectors = max(head->store_sectors, end);
}

/* Of records that are only ever added: those of before need not be looked at again. */
static u32 tail_crc(struct cow_log *log)
{
	const struct cow_disk_record *records = log->tail->records;
	u32 count = log->head.record_count;

	log->crc = crc32c(log->summed ? log->crc : ~0U, records + log->summed,
			  (count - log->summed) * sizeof(*records));
	log->summed = count;
	return ~log->crc;
}

void cow_log_new_tail(struct cow_log *log, const struct cow_disk_page *page)
{
	if (page)
		memcpy(log->tail, page, sizeof(*log->tail));
	else
		memset(log->tail, 0, sizeof(*log->tail));
	log->summed = 0;
}
EXPORT_SYMBOL_GPL(cow_log_new_tail);

void cow_log_reset(struct cow_log *log)
{
	memset(&log->head, 0, sizeof(log->head));
	cow_log_new_tail(log, NULL);
	log->sealing = false;
	log->generation = 0;
	log->read_only = false;
}
EXPORT_SYMBOL_GPL(cow_log_reset);

/* A version no older than any page ever written. */
static void stamp_as(struct cow_log *log, u32 features_compat)
{
	if (log->head.seal)
		note_place(log, log->head.seal, log->head.block_sectors);
	log->head.features_compat = features_compat;
	log->head.generation = ++log->generation;
	encode(log->tail, &log->head, tail_crc(log));
}

/* For a place that block 0 does not name as slot 1. */
static void stamp(struct cow_log *log)
{
	stamp_as(log, 0);
}

/* A version for a slot: that of slot 1 can be told from every other page. */
static void stamp_slot(struct cow_log *log, unsigned int slot)
{
	stamp_as(log, slot ? COW_FEATURE_SLOT1 : 0);
}

/* The tail becomes the predecessor at @place, an empty page the tail. */
static void turn_page(struct cow_log *log, u64 place)
{
	stamp(log);
	memcpy(log->sealed, log->tail, sizeof(*log->sealed));
	log->sealing = true;
	log->head.sequence++;
	log->head.prev_place = place;
	log->head.prev_generation = log->head.generation;
	log->head.record_count = 0;
	cow_log_new_tail(log, NULL);
}

void cow_log_begin(struct cow_log *log, u64 seal)
{
	if (cow_log_full(log)) {
		turn_page(log, log->head.seal);
		log->head.seal = seal;
	} else if (!log->head.seal) {
		log->head.seal = seal;
	}
}
EXPORT_SYMBOL_GPL(cow_log_begin);

void cow_log_add(struct cow_log *log, const struct cow_record *record)
{
	if (record->kind == COW_RECORD_BACKUP)
		note_place(log, record->dest, record->sectors);
	log->tail->records[log->head.record_count++] = record_encode(record);
}
EXPORT_SYMBOL_GPL(cow_log_add);

static u64 slot_sector(const struct cow_log *log, unsigned int slot)
{
	return slot ? log->head.slot1 : 0;
}

unsigned int cow_log_stage(struct cow_log *log, struct cow_page_write writes[2])
{
	unsigned int nr = 0;

	stamp_slot(log, !log->newest);
	writes[nr++] = (struct cow_page_write) {
		.sector = slot_sector(log, !log->newest),
		.page = log->tail,
	};
	if (log->sealing)
		writes[nr++] = (struct cow_page_write) {
			.sector = log->head.prev_place,
			.page = log->sealed,
		};
	return nr;
}
EXPORT_SYMBOL_GPL(cow_log_stage);

void cow_log_settle(struct cow_log *log)
{
	log->newest = !log->newest;
	log->sealing = false;
}
EXPORT_SYMBOL_GPL(cow_log_settle);

static int write_page(struct cow_io *io, u64 sector,
		      const struct cow_disk_page *page)
{
	return cow_write(io, sector, page, COW_PAGE_SECTORS);
}

int cow_log_write_group(struct cow_log *log, struct cow_io *io)
{
	struct cow_page_write writes[2];
	unsigned int i, nr = cow_log_stage(log, writes);
	int r = 0;

	for (i = 0; i < nr && !r; i++)
		r = write_page(io, writes[i].sector, writes[i].page);
	/* Both pages before anything that relies on them. */
	if (!r)
		r = cow_flush(io);
	if (!r)
		cow_log_settle(log);
	return r;
}
EXPORT_SYMBOL_GPL(cow_log_write_group);

void cow_log_turn(struct cow_log *log)
{
	turn_page(log, log->head.seal);
	log->head.seal = 0;
}
EXPORT_SYMBOL_GPL(cow_log_turn);

int cow_log_write_first(struct cow_log *log, const struct cow_geometry *geo,
			struct cow_io *io, void *buf, bool *named)
{
	u32 sectors = cow_run_sectors(geo, 0, 1), first = io->atomic_sectors;
	int r;

	/* Nothing names it yet, and if this is cut nothing ever will. */
	stamp(log);
	r = write_page(io, log->head.slot1, log->tail);
	/* All that the header will name, before the header. */
	if (!r)
		r = cow_flush(io);
	if (r)
		return r;
	log->newest = 1;
	stamp_slot(log, 0);
	memset(buf, 0, (size_t)sectors << 9);
	memcpy(buf, log->tail, sizeof(*log->tail));
	*named = true;
	r = cow_write(io, 0, buf, first);
	/* Until the header is there, block 0 is the filesystem's, untouched. */
	if (!r)
		r = cow_flush(io);
	if (!r && sectors > first)
		r = cow_write(io, first, (u8 *)buf + (first << 9), sectors - first);
	/* Before the first group may write to slot 1. */
	if (!r)
		r = cow_flush(io);
	if (!r)
		log->newest = 0;
	return r;
}
EXPORT_SYMBOL_GPL(cow_log_write_first);

int cow_log_write_sealed(struct cow_log *log, struct cow_io *io, u64 place)
{
	int r;

	turn_page(log, place);
	r = write_page(io, place, log->sealed);
	log->sealing = false;
	return r;
}
EXPORT_SYMBOL_GPL(cow_log_write_sealed);

/*
 * Write the newest version, stamped, to @slot. Where that slot holds it already
 * only the header may change, and a header is written whole or not at all.
 */
static int write_slot(struct cow_log *log, struct cow_io *io, unsigned int slot)
{
	u32 sectors = slot == log->newest ? io->atomic_sectors : COW_PAGE_SECTORS;

	return cow_write(io, slot_sector(log, slot), log->tail, sectors);
}

static int rewrite_slot(struct cow_log *log, struct cow_io *io,
			unsigned int slot)
{
	int r;

	stamp_slot(log, slot);
	r = write_slot(log, io, slot);
	if (!r)
		r = cow_flush(io);
	if (!r)
		log->newest = slot;
	return r;
}

/*
 * What is left behind in a former slot 1 may outlive the log, and so may a new
 * place that block 0 never came to name: neither may pass for slot 1.
 */
static int disown_slot1(struct cow_log *log, struct cow_io *io)
{
	stamp(log);
	return write_slot(log, io, 1);
}

int cow_log_move_slot1(struct cow_log *log, struct cow_io *io, u64 place)
{
	u64 old = log->head.slot1;
	int r = disown_slot1(log, io);

	if (r)
		return r;
	log->head.slot1 = place;
	stamp(log);
	r = write_page(io, place, log->tail);
	/* The new slot is whole before block 0 names it... */
	if (!r)
		r = cow_flush(io);
	if (r) {
		log->head.slot1 = old;
		return r;
	}
	/* ...and block 0 names it before the old one is given away. */
	return rewrite_slot(log, io, 0);
}
EXPORT_SYMBOL_GPL(cow_log_move_slot1);

int cow_log_mark(struct cow_log *log, struct cow_io *io, u32 state)
{
	u32 old = log->head.state;
	int r;

	log->head.state = state;
	r = rewrite_slot(log, io, 1);
	if (r)
		log->head.state = old;
	return r;
}
EXPORT_SYMBOL_GPL(cow_log_mark);

int cow_log_erase(struct cow_log *log, struct cow_io *io)
{
	int r;

	memset(log->sealed, 0, sizeof(*log->sealed));
	r = cow_write(io, 0, log->sealed, io->atomic_sectors);
	if (!r)
		r = cow_flush(io);
	return r;
}
EXPORT_SYMBOL_GPL(cow_log_erase);

/*
 * Slot 1 holds the newest version, and slot 0 perhaps an older one: if this is cut there
 * must still be all records that count, so the header alone is written, of what is there.
 */
static int mark_ended(struct cow_log *log, struct cow_io *io)
{
	struct cow_disk_page *page = log->sealed;
	struct cow_io grown = *io;
	struct cow_head head;
	int r = cow_read(io, log->head.slot1, page, COW_PAGE_SECTORS);

	if (r)
		return r;
	/* The store may have, since the log began. */
	grown.store_sectors = max(io->store_sectors, log->head.store_sectors);
	if (cow_head_decode_io(page, &grown, &head) || !cow_page_records_valid(page, &head))
		return -EIO;
	head.state = COW_LOG_COMMITTING;
	head.features_compat = COW_FEATURE_SLOT1;
	head.generation = ++log->generation;
	cow_page_encode(page, &head);
	r = cow_write(io, log->head.slot1, page, io->atomic_sectors);
	return r ? r : cow_flush(io);
}

int cow_log_end(struct cow_log *log, struct cow_io *io)
{
	int r;

	memset(log->sealed, 0, sizeof(*log->sealed));
	r = cow_write(io, 0, log->sealed, io->atomic_sectors);
	if (!r)
		r = cow_flush(io);
	if (!r)
		return 0;
	if (log->newest)
		return mark_ended(log, io);
	/* Whole: what is in slot 1 may be older than the records that are counted. */
	log->head.state = COW_LOG_COMMITTING;
	stamp_slot(log, 1);
	r = write_page(io, log->head.slot1, log->tail);
	return r ? r : cow_flush(io);
}
EXPORT_SYMBOL_GPL(cow_log_end);
