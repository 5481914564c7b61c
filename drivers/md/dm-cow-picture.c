// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading a log back: which block's original contents are where.
 *
 * Pages are walked newest to oldest, and so are the records in a page. At any
 * point "moved" leads from a place to where its contents are today, so an older
 * record, or an older page, is found through it. Every contents has one final
 * place; final places and the blocks to be restored never overlap, which is
 * what lets a restore copy in any order and be repeated.
 */
#include "dm-cow-picture.h"

/* One set of ranges after the other; NULL behind the last one. */
static struct cow_ranges *set_of(struct cow_picture *pic, unsigned int i)
{
	struct cow_ranges * const sets[] = {
		&pic->moved, &pic->born, &pic->ours, &pic->free, &pic->cancelled,
		&pic->intact,
	};

	return i < ARRAY_SIZE(sets) ? sets[i] : NULL;
}

int cow_picture_init(struct cow_picture *pic, struct cow_io *io)
{
	unsigned int i;
	int r;

	memset(pic, 0, sizeof(*pic));
	pic->io = io;
	pic->complaint.record = -1;
	r = cow_log_init(&pic->log);
	for (i = 0; set_of(pic, i) && !r; i++)
		r = cow_ranges_init(set_of(pic, i));
	pic->page = cow_zalloc(sizeof(*pic->page));
	pic->buf = cow_zalloc(COW_MAX_RUN_SECTORS << 9);
	if (!r && (!pic->page || !pic->buf))
		r = -ENOMEM;
	if (r)
		cow_picture_exit(pic);
	return r;
}
EXPORT_SYMBOL_GPL(cow_picture_init);

void cow_picture_exit(struct cow_picture *pic)
{
	unsigned int i;

	cow_log_exit(&pic->log);
	for (i = 0; set_of(pic, i); i++)
		cow_ranges_exit(set_of(pic, i));
	cow_free(pic->page);
	cow_free(pic->buf);
	pic->page = NULL;
	pic->buf = NULL;
}
EXPORT_SYMBOL_GPL(cow_picture_exit);

static enum cow_log_error complain(struct cow_picture *pic,
				   enum cow_log_error error)
{
	pic->complaint.error = error;
	return error;
}

static enum cow_log_error range_error(int r, enum cow_log_error overlap)
{
	if (!r)
		return COW_LOG_OK;
	return r == -ENOMEM ? COW_LOG_NO_MEMORY : overlap;
}

static u64 to_block(const struct cow_picture *pic, u64 sector)
{
	return cow_sector_to_block(&pic->geo, sector);
}

static u64 to_sector(const struct cow_picture *pic, u64 block)
{
	return cow_block_to_sector(&pic->geo, block);
}

/* The first piece of a run of blocks that is in one place: its length. */
static u64 final_piece(const struct cow_picture *pic, u64 block, u64 nr,
		       u64 *at)
{
	struct cow_range *range;
	u64 piece = cow_ranges_piece(&pic->moved, block, nr, &range);

	*at = range ? range->to + (block - range->start) : block;
	return piece;
}

/* ---- slots and pages ---------------------------------------------------- */

struct slot {
	struct cow_disk_page *page;
	struct cow_head head;
	u64 sector;
	bool header_valid;
	bool valid;
	bool foreign;		/* a page, but of another log */
};

static bool same_log(const struct cow_head *a, const struct cow_head *b)
{
	return !memcmp(a->uuid, b->uuid, sizeof(a->uuid)) &&
	       a->block_sectors == b->block_sectors;
}

static enum cow_log_error read_page(struct cow_picture *pic, u64 sector,
				    struct cow_disk_page *page,
				    struct cow_head *head)
{
	pic->complaint.page_sector = sector;
	if (pic->io->sectors < COW_PAGE_SECTORS)
		return COW_LOG_NO_MAGIC;
	if (cow_read(pic->io, sector, page, COW_PAGE_SECTORS))
		return COW_LOG_IO;
	return cow_head_decode_io(page, pic->io, head);
}

/* Block 0's header must be right even where its records are torn. */
static enum cow_log_error read_slot0(struct cow_picture *pic, struct slot *slot)
{
	enum cow_log_error error = read_page(pic, 0, slot->page, &slot->head);

	if (error)
		return error;
	slot->header_valid = true;
	slot->valid = cow_page_records_valid(slot->page, &slot->head);
	cow_geometry_set(&pic->geo, slot->head.device_sectors,
			 slot->head.block_sectors);
	return COW_LOG_OK;
}

/* Slot 1 may hold anything; only an I/O error is an error here. */
static enum cow_log_error read_slot1(struct cow_picture *pic, struct slot *slot,
				     const struct slot *slot0)
{
	enum cow_log_error error;

	slot->sector = slot0->head.slot1;
	error = read_page(pic, slot->sector, slot->page, &slot->head);
	if (error == COW_LOG_IO)
		return error;
	slot->header_valid = !error && same_log(&slot->head, &slot0->head);
	slot->foreign = !error && !slot->header_valid;
	slot->valid = slot->header_valid &&
		      cow_page_records_valid(slot->page, &slot->head);
	return COW_LOG_OK;
}

/* Only block 0 says where slot 1 is; @from says everything else. */
static void adopt_tail(struct cow_picture *pic, const struct slot slots[2],
		       unsigned int newest)
{
	struct cow_log *log = &pic->log;
	unsigned int i;

	log->head = slots[newest].head;
	log->head.slot1 = slots[0].head.slot1;
	log->newest = newest;
	cow_log_new_tail(log, slots[newest].page);
	for (i = 0; i < 2; i++)
		if (slots[i].header_valid) {
			log->generation = max(log->generation,
					      slots[i].head.generation);
			log->read_only |= slots[i].head.read_only;
		}
}

/* The predecessor of @head, through the moves seen so far, into pic->page. */
static enum cow_log_error read_predecessor(struct cow_picture *pic,
					   const struct cow_head *head,
					   struct cow_head *prev, u64 *place)
{
	enum cow_log_error error;
	u64 block;

	final_piece(pic, to_block(pic, head->prev_place), 1, &block);
	*place = to_sector(pic, block);
	error = read_page(pic, *place, pic->page, prev);
	if (error == COW_LOG_IO)
		return error;
	if (!error && !same_log(head, prev))
		return COW_LOG_FOREIGN;
	if (error || prev->sequence != head->sequence - 1 ||
	    prev->generation != head->prev_generation ||
	    prev->store_sectors > head->store_sectors ||
	    !cow_page_records_valid(pic->page, prev))
		return COW_LOG_BROKEN_CHAIN;
	return COW_LOG_OK;
}

/* ---- data --------------------------------------------------------------- */

static void report_progress(struct cow_picture *pic, u32 sectors)
{
	pic->backup_sectors += sectors;
	if (pic->progress)
		pic->progress(pic, pic->backup_sectors);
}

static u32 piece_sectors(const struct cow_picture *pic, u64 piece, u32 left)
{
	return min_t(u64, piece << pic->geo.block_shift, left);
}

/* Read what was backed up at @sector from wherever it is now; check it. */
static enum cow_log_error data_matches(struct cow_picture *pic, u64 sector,
				       u32 sectors, u32 crc, bool follow,
				       bool *matches)
{
	u64 block = to_block(pic, sector);
	u8 *buf = pic->buf;
	u32 left = sectors;

	while (left) {
		u64 nr = cow_blocks_of(&pic->geo, left);
		u64 at = block;
		u64 piece = follow ? final_piece(pic, block, nr, &at) : nr;
		u32 part = piece_sectors(pic, piece, left);

		if (cow_read(pic->io, to_sector(pic, at), buf, part))
			return COW_LOG_IO;
		block += piece;
		buf += (size_t)part << 9;
		left -= part;
	}
	*matches = cow_crc(pic->buf, (size_t)sectors << 9) == crc;
	return COW_LOG_OK;
}

/* ---- records ------------------------------------------------------------ */

static bool aligned(const struct cow_picture *pic, u64 sector)
{
	return !(sector & (pic->geo.block_sectors - 1));
}

static bool inside(const struct cow_picture *pic, u64 sector, u64 sectors)
{
	return sectors && sector < pic->geo.sectors &&
	       sectors <= pic->geo.sectors - sector;
}

/* A run of whole blocks, but for the end of the device. */
static bool whole_run(const struct cow_picture *pic, u64 sector, u64 sectors)
{
	return aligned(pic, sector) && inside(pic, sector, sectors) &&
	       (aligned(pic, sectors) || sector + sectors == pic->geo.sectors);
}

/* With a store, places are there and sources are not; else both are anywhere. */
static bool right_sides(const struct cow_picture *pic, const struct cow_record *record)
{
	u64 store = pic->io->store_sectors;
	u64 sectors = to_sector(pic, cow_blocks_of(&pic->geo, record->sectors));

	return !store || (record->source >= COW_ORIGIN_BASE && record->dest < store &&
			  sectors <= store - record->dest);
}

static bool record_valid(const struct cow_picture *pic,
			 const struct cow_record *record)
{
	switch (record->kind) {
	case COW_RECORD_BACKUP:
		return record->sectors <= COW_MAX_RUN_SECTORS && record->dest &&
		       whole_run(pic, record->source, record->sectors) &&
		       aligned(pic, record->dest) &&
		       inside(pic, record->dest,
			      to_sector(pic, cow_blocks_of(&pic->geo,
							   record->sectors))) &&
		       right_sides(pic, record);
	case COW_RECORD_RESERVE:
		if (!record->dest && !pic->io->store_sectors)
			return true;
		fallthrough;
	case COW_RECORD_FREE:
		if (pic->io->store_sectors)
			return false;
		return record->source && whole_run(pic, record->source, record->dest) &&
		       aligned(pic, record->dest);
	case COW_RECORD_VOID:
		return aligned(pic, record->source) && aligned(pic, record->dest) &&
		       inside(pic, record->source, 1) && inside(pic, record->dest, 1) &&
		       right_sides(pic, record);
	}
	return false;
}

/* The page that holds it says how much of the store there is. */
static bool below_end(const struct cow_picture *pic, const struct cow_head *head,
		      const struct cow_record *record)
{
	return !cow_head_apart(head) ||
	       record->dest + to_sector(pic, cow_blocks_of(&pic->geo, record->sectors)) <=
	       head->store_sectors;
}

/* Add what is not there yet. */
static enum cow_log_error add_shared(struct cow_ranges *set, u64 block, u64 nr)
{
	while (nr) {
		struct cow_range *known;
		u64 piece = cow_ranges_piece(set, block, nr, &known);
		int r = 0;

		if (!known)
			r = cow_ranges_add(set, block, piece, 0);
		if (r)
			return range_error(r, COW_LOG_OVERLAP);
		block += piece;
		nr -= piece;
	}
	return COW_LOG_OK;
}

/* Lead every block of the source to where its contents are now. */
static enum cow_log_error record_moves(struct cow_picture *pic,
				       const struct cow_record *record)
{
	u64 source = to_block(pic, record->source);
	u64 dest = to_block(pic, record->dest);
	u64 left = cow_blocks_of(&pic->geo, record->sectors);

	while (left) {
		u64 at, piece = final_piece(pic, dest, left, &at);
		int r = cow_ranges_add(&pic->moved, source, piece, at);

		if (r)
			return range_error(r, COW_LOG_SOURCE_TWICE);
		source += piece;
		dest += piece;
		left -= piece;
	}
	return COW_LOG_OK;
}

/* In "cancelled": no sector has this number. */
#define VOID_SERVED (~0ULL)

/* Was this backup cancelled by a younger void? Each void serves once. */
static bool take_void(struct cow_picture *pic, const struct cow_record *record)
{
	u64 dest = to_block(pic, record->dest);
	struct cow_range *range = cow_ranges_at(&pic->cancelled, dest);

	for (; range && range->start == dest; range = cow_ranges_next(range))
		if (range->to == record->source) {
			range->to = VOID_SERVED;
			return true;
		}
	return false;
}

static enum cow_log_error keep_void(struct cow_picture *pic,
				    const struct cow_record *record)
{
	struct cow_range *range;
	u64 dest = to_block(pic, record->dest);

	pic->nr_void_records++;
	range = cow_ranges_at(&pic->cancelled, dest);
	if (range && range->start == dest && range->to == VOID_SERVED) {
		range->to = record->source;
		return COW_LOG_OK;
	}
	return range_error(cow_ranges_add(&pic->cancelled, dest, 1, record->source),
			   COW_LOG_BAD_VOID);
}

static bool is_hidden(const struct cow_picture *pic, u64 sector)
{
	u32 i;

	for (i = 0; i < pic->log.head.hidden_count; i++)
		if (pic->log.head.hidden[i].source == sector)
			return true;
	return false;
}

/* The last group of the tail may have been cut: its backups prove nothing. */
static enum cow_log_error judge(struct cow_picture *pic,
				const struct cow_record *record, bool in_tail,
				bool *acted_upon)
{
	enum cow_log_error error, unreadable;
	bool source_intact = false;

	*acted_upon = false;
	unreadable = data_matches(pic, record->dest, record->sectors, record->crc,
				  true, acted_upon);
	if (*acted_upon)
		return COW_LOG_OK;
	/*
	 * The disk may be bad there; then the void, which is to come, is not on
	 * the disk yet. In an older page there is nothing left to come.
	 */
	if (unreadable && (!in_tail || is_hidden(pic, record->source)))
		return unreadable;
	error = data_matches(pic, record->source, record->sectors, record->crc,
			     false, &source_intact);
	if (error)
		return error;
	if (!source_intact)
		return unreadable ? unreadable : COW_LOG_BAD_DATA;
	pic->unreadable |= !!unreadable;
	return COW_LOG_OK;
}

static void show(struct cow_picture *pic, const struct cow_head *head,
		 const struct cow_record *record, int index, const char *verdict)
{
	if (pic->visit)
		pic->visit(pic, head, pic->complaint.page_sector, record, index,
			   verdict);
}

static bool places_meet(const struct cow_record *a, const struct cow_record *b)
{
	return a->dest < b->dest + b->sectors && b->dest < a->dest + a->sectors;
}

/* Has a younger backup to one of its places been cancelled? */
static bool place_was_cancelled(const struct cow_picture *pic,
				const struct cow_record *record)
{
	u64 block = to_block(pic, record->dest);
	u64 end = block + cow_blocks_of(&pic->geo, record->sectors);
	const struct cow_range *range = cow_ranges_at(&pic->cancelled, block);

	for (; range && range->start < end; range = cow_ranges_next(range))
		if (range->to == VOID_SERVED)
			return true;
	return false;
}

/* A place that awaits a void is not given to another backup. */
static enum cow_log_error keep_pending(struct cow_picture *pic,
				       const struct cow_record *record)
{
	u32 i;

	if (place_was_cancelled(pic, record))
		return COW_LOG_OVERLAP;
	for (i = 0; i < pic->nr_voids; i++)
		if (places_meet(&pic->voids[i], record))
			return COW_LOG_OVERLAP;
	pic->voids[pic->nr_voids++] = *record;
	return COW_LOG_OK;
}

/* Its source is as it was: nothing to be brought back, and nothing to bring. */
static enum cow_log_error keep_intact(struct cow_picture *pic,
				      const struct cow_record *record, bool in_tail)
{
	enum cow_log_error error = COW_LOG_OK;

	if (in_tail)
		error = keep_pending(pic, record);
	else
		pic->nr_lost++;
	return error ? error : add_shared(&pic->intact, to_block(pic, record->source),
					  cow_blocks_of(&pic->geo, record->sectors));
}

static enum cow_log_error keep_place(struct cow_picture *pic,
				     const struct cow_record *record)
{
	return range_error(cow_ranges_add(&pic->born, to_block(pic, record->dest),
					  cow_blocks_of(&pic->geo, record->sectors), 0),
			   COW_LOG_OVERLAP);
}

static enum cow_log_error read_backup(struct cow_picture *pic,
				      const struct cow_head *head,
				      const struct cow_record *record, int index,
				      enum cow_picture_depth depth)
{
	bool in_tail = head->sequence == pic->log.head.sequence;
	enum cow_log_error error = COW_LOG_OK;
	bool acted_upon = true;

	if (take_void(pic, record)) {
		show(pic, head, record, index, "cancelled");
		return COW_LOG_OK;
	}
	if (in_tail || depth == COW_CHECK_ALL)
		error = judge(pic, record, in_tail, &acted_upon);
	if (error)
		return error;
	show(pic, head, record, index, acted_upon ? "valid" : "void");
	/* In an older page it was given its place, whatever is there now. */
	if (acted_upon || !in_tail)
		error = keep_place(pic, record);
	if (!error && !acted_upon)
		return keep_intact(pic, record, in_tail);
	if (error)
		return error;
	pic->nr_backups++;
	report_progress(pic, record->sectors);
	return record_moves(pic, record);
}

static void keep_reserve(struct cow_picture *pic, const struct cow_record *record)
{
	if (pic->reserve_known)
		return;
	pic->reserve_known = true;
	pic->reserve_start = to_block(pic, record->source);
	pic->reserve_nr = to_block(pic, record->dest);
}

static enum cow_log_error read_record(struct cow_picture *pic,
				      const struct cow_head *head,
				      const struct cow_record *record, int index,
				      enum cow_picture_depth depth)
{
	if (!record_valid(pic, record) || !below_end(pic, head, record))
		return COW_LOG_BAD_RECORD;
	switch (record->kind) {
	case COW_RECORD_BACKUP:
		return read_backup(pic, head, record, index, depth);
	case COW_RECORD_VOID:
		show(pic, head, record, index, "valid");
		return keep_void(pic, record);
	case COW_RECORD_RESERVE:
		show(pic, head, record, index, "valid");
		keep_reserve(pic, record);
		return COW_LOG_OK;
	default:
		show(pic, head, record, index, "valid");
		return range_error(cow_ranges_add(&pic->free,
						  to_block(pic, record->source),
						  to_block(pic, record->dest), 0),
				   COW_LOG_OVERLAP);
	}
}

/* All records of one page, the youngest first. */
static enum cow_log_error read_records(struct cow_picture *pic,
				       const struct cow_disk_page *page,
				       const struct cow_head *head,
				       enum cow_picture_depth depth)
{
	int i;

	pic->nr_pages++;
	pic->complaint.sequence = head->sequence;
	for (i = (int)head->record_count - 1; i >= 0; i--) {
		struct cow_record record = cow_record_decode(&page->records[i]);
		enum cow_log_error error;

		error = read_record(pic, head, &record, i, depth);
		if (error) {
			pic->complaint.record = i;
			pic->complaint.source = record.source;
			return error;
		}
	}
	return COW_LOG_OK;
}

/* ---- the walk ----------------------------------------------------------- */

/*
 * Does the chain of the newest version reach the page that the other slot
 * holds? If not, its group was cut before anyone relied on it.
 */
static enum cow_log_error chain_reaches(struct cow_picture *pic,
					const struct slot *tail,
					const struct slot *other, bool *reaches)
{
	enum cow_log_error error;
	struct cow_head prev;
	u64 place;

	*reaches = true;
	if (!other->valid || other->head.sequence >= tail->head.sequence)
		return COW_LOG_OK;
	/* Marked, so relied on: what was found then may be overwritten by now. */
	if (tail->head.state != COW_LOG_CHECKPOINT)
		return COW_LOG_OK;
	error = read_predecessor(pic, &tail->head, &prev, &place);
	if (error == COW_LOG_BROKEN_CHAIN || error == COW_LOG_FOREIGN) {
		*reaches = false;
		return COW_LOG_OK;
	}
	return error;
}

/* Nobody acted upon a dropped tail, so all that it names must be as it was. */
static enum cow_log_error check_dropped(struct cow_picture *pic,
					const struct slot *tail)
{
	u32 i;

	for (i = 0; i < tail->head.record_count; i++) {
		struct cow_record record = cow_record_decode(&tail->page->records[i]);
		enum cow_log_error error;
		bool intact;

		if (!record_valid(pic, &record))
			return COW_LOG_BAD_RECORD;
		if (record.kind != COW_RECORD_BACKUP)
			continue;
		error = data_matches(pic, record.source, record.sectors, record.crc,
				     false, &intact);
		if (error)
			return error;
		if (!intact)
			return COW_LOG_DROPPED_DATA;
	}
	return COW_LOG_OK;
}

/* A record that any page of this log may hold at some place; none at all, too. */
static bool may_be_ours(const struct cow_picture *pic,
			const struct cow_disk_record *disk)
{
	static const struct cow_disk_record none;
	struct cow_record record = cow_record_decode(disk);

	return record_valid(pic, &record) || !memcmp(disk, &none, sizeof(none));
}

/* Does slot 1 hold the records that slot 0's header counts? */
static bool same_records(const struct slot slots[2])
{
	const struct cow_head *a = &slots[0].head, *b = &slots[1].head;

	return a->sequence == b->sequence && a->record_count == b->record_count &&
	       slots[0].page->header.records_crc == slots[1].page->header.records_crc;
}

/*
 * Slot 1 is as it was when block 0 came to name it, and says the same. Then
 * block 0 may have been cut: what is behind its records may not be ours yet. So
 * the next version is to go there, and slot 1 counts as the newest.
 */
static bool slot0_unfinished(const struct slot slots[2])
{
	const struct cow_head *a = &slots[0].head, *b = &slots[1].head;

	return slots[1].valid && !(b->features_compat & COW_FEATURE_SLOT1) &&
	       same_records(slots) && a->state == b->state && a->seal == b->seal &&
	       !memcmp(a->hidden, b->hidden, sizeof(a->hidden));
}

/*
 * Slot 0 does not hold the records that its header counts. Either a write to it
 * was cut, and nobody acted upon that: then every logical block is of one of our
 * pages, younger or older. Or somebody else has written there, and a group may
 * be missing. Only what slot 1 was given after that page is safe without it.
 */
static bool torn_by_us(const struct cow_picture *pic, const struct slot slots[2])
{
	const struct cow_head *a = &slots[0].head, *b = &slots[1].head;
	const struct cow_disk_page *page = slots[0].page;
	u32 i;

	if (a->generation < b->generation)
		return true;
	/* A header that was written on its own: the records are those of slot 1. */
	if (same_records(slots))
		return true;
	/* No group yet: block 0 may still hold what was there before the log. */
	if (!(b->features_compat & COW_FEATURE_SLOT1))
		return true;
	for (i = 0; i < COW_PAGE_RECORDS; i++) {
		u32 start = offsetof(struct cow_disk_page, records[i]);
		u32 end = start + sizeof(page->records[i]) - 1;

		/* Across two logical blocks it may be of two versions. */
		if (start >> 9 == end >> 9 && !may_be_ours(pic, &page->records[i]))
			return false;
	}
	return true;
}

/*
 * What it takes to end the log one way or the other: block 0 at least is
 * hidden, and slot 1, which is written first, is clear of what is read next. On a
 * store nothing is hidden, and slot 1, which another header names, is of the part
 * that a resume gives nothing of away.
 */
static enum cow_log_error check_ending(struct cow_picture *pic)
{
	const struct cow_head *head = &pic->log.head;
	u32 i;

	if (cow_head_apart(head) ? head->slot1 + head->block_sectors > head->store_sectors :
	    !head->hidden_count)
		return COW_LOG_BAD_GEOMETRY;
	for (i = 0; i < head->hidden_count; i++)
		if (head->slot1 == head->hidden[i].live ||
		    head->slot1 == head->hidden[i].source)
			return COW_LOG_OVERLAP;
	pic->has_tail = true;
	return COW_LOG_OK;
}

static enum cow_log_error choose_tail(struct cow_picture *pic,
				      const struct slot slots[2])
{
	unsigned int newest = !slots[0].valid || slot0_unfinished(slots) ||
		(slots[1].valid &&
		 slots[1].head.generation > slots[0].head.generation);
	enum cow_log_error error;
	bool reaches;

	if (!slots[newest].valid)
		return slots[1].foreign ? COW_LOG_FOREIGN : COW_LOG_NO_TAIL;
	if (!slots[0].valid && !torn_by_us(pic, slots))
		return COW_LOG_OVERWRITTEN;
	/* A predecessor may have been moved by records of this very page. */
	error = chain_reaches(pic, &slots[newest], &slots[!newest], &reaches);
	if (error)
		return error;
	if (!reaches) {
		error = check_dropped(pic, &slots[newest]);
		if (error)
			return error;
		pic->dropped_tail = true;
		newest = !newest;
	}
	adopt_tail(pic, slots, newest);
	return check_ending(pic);
}

static enum cow_log_error find_tail(struct cow_picture *pic)
{
	struct slot slots[2] = { { .page = cow_zalloc(COW_PAGE_SIZE) },
				 { .page = cow_zalloc(COW_PAGE_SIZE) } };
	enum cow_log_error error = COW_LOG_NO_MEMORY;

	if (!slots[0].page || !slots[1].page)
		goto out;
	error = read_slot0(pic, &slots[0]);
	if (error)
		goto out;
	error = read_slot1(pic, &slots[1], &slots[0]);
	if (error)
		goto out;
	error = choose_tail(pic, slots);
out:
	cow_free(slots[0].page);
	cow_free(slots[1].page);
	return error;
}

/* A place of one thing only, and moved by no record: neither done nor cut. */
static enum cow_log_error claim(struct cow_picture *pic, u64 sector)
{
	struct cow_range *intact;

	cow_ranges_piece(&pic->intact, to_block(pic, sector), 1, &intact);
	if (intact)
		return COW_LOG_OVERLAP;
	return range_error(cow_ranges_add(&pic->ours, to_block(pic, sector), 1, 0),
			   COW_LOG_OVERLAP);
}

static enum cow_log_error walk(struct cow_picture *pic,
			       enum cow_picture_depth depth)
{
	struct cow_head head = pic->log.head, prev;
	enum cow_log_error error;
	u64 place;

	pic->complaint.page_sector = pic->log.newest ? head.slot1 : 0;
	error = read_records(pic, pic->log.tail, &head, depth);
	while (!error && head.sequence) {
		error = read_predecessor(pic, &head, &prev, &place);
		if (error)
			break;
		error = range_error(cow_ranges_add(&pic->born,
						   to_block(pic, head.prev_place),
						   1, 0), COW_LOG_OVERLAP);
		if (!error)
			error = add_shared(&pic->ours, to_block(pic, place), 1);
		pic->log.read_only |= prev.read_only;
		if (!error)
			error = read_records(pic, pic->page, &prev, depth);
		head = prev;
		cond_resched();
	}
	return error;
}

/*
 * Pages are claimed during the walk; this is the rest. Several records may lead
 * to one place: a backup and the backup it was moved from. That no two were
 * given the same place is checked in "born".
 */
static enum cow_log_error claim_places(struct cow_picture *pic)
{
	const struct cow_head *head = &pic->log.head;
	enum cow_log_error error = COW_LOG_OK;
	struct cow_range *range;
	u32 i;

	for (range = cow_ranges_first(&pic->moved); range && !error;
	     range = cow_ranges_next(range)) {
		error = add_shared(&pic->ours, range->to, range->nr);
		cond_resched();
	}
	if (!error)
		error = claim(pic, head->slot1);
	if (!error && head->seal)
		error = claim(pic, head->seal);
	for (i = 0; i < head->hidden_count && !error; i++)
		error = claim(pic, head->hidden[i].live);
	return error;
}

/* Nothing of ours may lie where something is to be restored. */
static int check_apart(void *data, u64 __always_unused from, u64 to, u32 sectors)
{
	struct cow_picture *pic = data;
	struct cow_range *range;
	u64 nr = cow_blocks_of(&pic->geo, sectors);

	if (cow_ranges_piece(&pic->ours, to_block(pic, to), nr, &range) < nr || range)
		return -EEXIST;
	return 0;
}

/* A hidden block can be brought back only from a backup, which it never was. */
static enum cow_log_error check_hidden(struct cow_picture *pic)
{
	u32 i;

	for (i = 0; i < pic->log.head.hidden_count; i++) {
		u64 block = to_block(pic, pic->log.head.hidden[i].source);
		struct cow_range *moved, *born;

		cow_ranges_piece(&pic->moved, block, 1, &moved);
		cow_ranges_piece(&pic->born, block, 1, &born);
		if (!moved || born)
			return COW_LOG_BAD_GEOMETRY;
	}
	return COW_LOG_OK;
}

/* Does the run hold anything of ours, or an original? */
static bool is_needed(const struct cow_picture *pic, u64 block, u64 nr)
{
	struct cow_range *ours, *moved, *born;
	u64 piece;

	for (; nr; block += piece, nr -= piece) {
		piece = cow_ranges_piece(&pic->ours, block, nr, &ours);
		piece = cow_ranges_piece(&pic->moved, block, piece, &moved);
		piece = cow_ranges_piece(&pic->born, block, piece, &born);
		if (ours || (moved && !born))
			return true;
	}
	return false;
}

/* Once its void is durable, the place of a cut backup is anybody's. */
static enum cow_log_error check_voids(struct cow_picture *pic)
{
	struct cow_range *range, *moved;
	u32 i;

	/* A source that is as it was has no other backup. */
	for (range = cow_ranges_first(&pic->intact); range;
	     range = cow_ranges_next(range))
		if (cow_ranges_piece(&pic->moved, range->start, range->nr,
				     &moved) < range->nr || moved)
			return COW_LOG_SOURCE_TWICE;
	for (i = 0; i < pic->nr_voids; i++)
		if (is_needed(pic, to_block(pic, pic->voids[i].dest),
			      cow_blocks_of(&pic->geo, pic->voids[i].sectors)))
			return COW_LOG_OVERLAP;
	for (range = cow_ranges_first(&pic->cancelled); range;
	     range = cow_ranges_next(range))
		if (range->to != VOID_SERVED)
			return COW_LOG_BAD_VOID;
	return COW_LOG_OK;
}

/* What a resume gives away must have been free. */
static enum cow_log_error check_reserve(struct cow_picture *pic)
{
	u64 block = pic->reserve_start, nr = pic->reserve_nr, piece;
	struct cow_range *range;

	for (; nr; block += piece, nr -= piece) {
		piece = cow_ranges_piece(&pic->free, block, nr, &range);
		if (!range)
			return COW_LOG_BAD_RESERVE;
	}
	return COW_LOG_OK;
}

/* All records are known: do they go together? */
static enum cow_log_error check_whole(struct cow_picture *pic)
{
	enum cow_log_error error = claim_places(pic);

	if (!error)
		error = check_hidden(pic);
	if (!error && cow_picture_each_original(pic, check_apart, pic))
		error = COW_LOG_OVERLAP;
	if (!error)
		error = check_voids(pic);
	if (!error)
		error = check_reserve(pic);
	return error;
}

enum cow_log_error cow_picture_read(struct cow_picture *pic,
				    enum cow_picture_depth depth)
{
	enum cow_log_error error;

	/* The drive may answer from a cache that a power cut would empty. */
	if (cow_flush(pic->io))
		return complain(pic, COW_LOG_IO);
	error = find_tail(pic);
	/* To finish a commit takes the tail alone, whatever became of the rest. */
	if (!error && depth == COW_CHECK_TAIL &&
	    pic->log.head.state == COW_LOG_COMMITTING)
		return complain(pic, COW_LOG_OK);
	if (!error)
		error = walk(pic, depth);
	if (!error)
		error = check_whole(pic);
	/* It may have been a good one, restored already: what fails is the disk. */
	if (error && error != COW_LOG_NO_MEMORY && pic->unreadable)
		error = COW_LOG_IO;
	return complain(pic, error);
}
EXPORT_SYMBOL_GPL(cow_picture_read);

int cow_picture_each_original(struct cow_picture *pic,
			      int (*copy)(void *data, u64 from, u64 to, u32 sectors),
			      void *data)
{
	struct cow_range *range, *born;
	int r = 0;

	for (range = cow_ranges_first(&pic->moved); range && !r;
	     range = cow_ranges_next(range)) {
		u64 done = 0;

		while (done < range->nr && !r) {
			u64 block = range->start + done;
			u64 piece = cow_ranges_piece(&pic->born, block,
						     range->nr - done, &born);

			/* What was free at the checkpoint needs no restoring. */
			if (!born)
				r = copy(data, to_sector(pic, range->to + done),
					 to_sector(pic, block),
					 cow_run_sectors(&pic->geo, block, piece));
			done += piece;
		}
		cond_resched();
	}
	return r;
}
EXPORT_SYMBOL_GPL(cow_picture_each_original);
