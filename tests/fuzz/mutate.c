// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mutations that keep a log a log: headers, records and whole pages are changed,
 * then checksums are put right, so that what is behind them is reached too.
 */
#include "fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max,
			       unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1,
				 const uint8_t *data2, size_t size2, uint8_t *out,
				 size_t max, unsigned int seed);

static struct rng rng;

/* ---- what is there ------------------------------------------------------------ */

/* A page of the input, at random; NULL if there is none. */
static struct item *some_page(struct input *in)
{
	struct item *found = NULL;
	u32 i, seen = 0;

	for (i = 0; i < in->nr_items; i++)
		if (item_page(&in->items[i]) && one_in(&rng, ++seen))
			found = &in->items[i];
	return found;
}

/* The newest item that puts a page there, of memory. */
static struct item *page_in(struct input *in, u16 place)
{
	struct item *found = NULL;
	u32 i;

	for (i = 0; i < in->nr_items; i++)
		if (in->items[i].sector == place && item_page(&in->items[i]))
			found = &in->items[i];
	return found;
}

static struct item *page_at(struct input *in, u64 sector)
{
	return page_in(in, input_place(in, sector));
}

/* The page that was copied there, if it was. */
static struct item *page_seen_at(struct input *in, u64 sector)
{
	struct item *found = page_at(in, sector);
	u16 place = input_place(in, sector);
	u32 i;

	for (i = 0; i < in->nr_items && !found; i++)
		if (in->items[i].type == 'C' && in->items[i].sector == place)
			found = page_in(in, in->items[i].from);
	return found;
}

static u64 generation(struct item *item)
{
	return le64_to_cpu(item_page(item)->header.generation);
}

static struct item *newest_page(struct input *in)
{
	struct item *found = NULL;
	u32 i;

	for (i = 0; i < in->nr_items; i++)
		if (item_page(&in->items[i]) &&
		    (!found || generation(&in->items[i]) > generation(found)))
			found = &in->items[i];
	return found;
}

static struct item *new_item(struct input *in, u8 type, u64 sector)
{
	struct item *item;

	if (in->nr_items == MAX_ITEMS)
		return NULL;
	item = &in->items[in->nr_items++];
	memset(item, 0, sizeof(*item));
	item->type = type;
	item->sector = input_place(in, sector);
	return item;
}

static u32 count_of(const struct cow_disk_page *page)
{
	return min(le32_to_cpu(page->header.record_count), (u32)COW_PAGE_RECORDS);
}

static struct cow_disk_record *some_record(struct cow_disk_page *page)
{
	u32 count = count_of(page);

	return count ? &page->records[rnd(&rng, count)] : NULL;
}

static u64 random_block(const struct input *in)
{
	u64 blocks = (in->lay.store ? in->lay.store : in->lay.sectors) / input_block(in);

	return (one_in(&rng, 8) || blocks < 2 ? rnd(&rng, blocks + 2) :
		1 + rnd(&rng, blocks - 1)) * input_block(in);
}

/* A place: one that means something already, or its neighbour, or any. */
static u64 some_place(struct input *in)
{
	struct item *item = some_page(in);
	struct cow_disk_page *page;
	struct cow_disk_record *record;
	u64 place = random_block(in);

	if (!item || one_in(&rng, 3))
		return place;
	page = item_page(item);
	record = some_record(page);
	switch (rnd(&rng, 7)) {
	case 0: place = le64_to_cpu(page->header.slot1); break;
	case 1: place = le64_to_cpu(page->header.seal); break;
	case 2: place = le64_to_cpu(page->header.hidden[rnd(&rng, 3)].live); break;
	case 3: place = le64_to_cpu(page->header.prev_place); break;
	case 4: place = le64_to_cpu(page->header.hidden[rnd(&rng, 3)].source); break;
	case 5: if (record) place = le64_to_cpu(record->dest); break;
	case 6: if (record)
			place = le64_to_cpu(record->source) & COW_RECORD_SECTOR_MASK;
		break;
	}
	if (one_in(&rng, 4))
		place += one_in(&rng, 2) ? input_block(in) : 0ULL - input_block(in);
	return place;
}

/* The same for what is saved: on the origin, where there is one. */
static u64 some_source(struct input *in)
{
	u64 blocks = in->lay.sectors / input_block(in) + 1;
	u64 place = some_place(in);

	if (!in->lay.store || place >= COW_ORIGIN_BASE || one_in(&rng, 16))
		return place & COW_RECORD_SECTOR_MASK;
	/* If the store is inside: by its own place there, too. */
	if (!in->lay.origin && one_in(&rng, 4))
		return COW_ORIGIN_BASE + input_place(in, place);
	return COW_ORIGIN_BASE + rnd(&rng, blocks) * input_block(in);
}

/* ---- headers ------------------------------------------------------------------- */

static void nudge64(__le64 *at)
{
	static const u64 edges[] = { 0, 1, 1ULL << 31, 1ULL << 32, 1ULL << 56,
				     1ULL << 63, ~0ULL, ~7ULL };
	u64 value = le64_to_cpu(*at);

	*at = cpu_to_le64(one_in(&rng, 4) ? edges[rnd(&rng, ARRAY_SIZE(edges))] :
				      value + rnd(&rng, 5) - 2);
}

static void nudge32(__le32 *at, u32 below)
{
	u32 value = le32_to_cpu(*at);

	*at = cpu_to_le32(one_in(&rng, 8) ? (u32)rnd(&rng, 1ULL << 32) : one_in(&rng, 2) ?
			  (u32)rnd(&rng, below) : value + (u32)rnd(&rng, 3) - 1);
}

static void change_hidden(struct input *in, struct cow_disk_header *header)
{
	struct cow_disk_hidden *hidden = &header->hidden[rnd(&rng, 3)];

	if (one_in(&rng, 3))
		hidden->source = cpu_to_le64(some_place(in));
	else
		hidden->live = cpu_to_le64(some_place(in));
}

static void change_header(struct input *in, struct cow_disk_header *header)
{
	switch (rnd(&rng, in->lay.store ? 20 : 18)) {
	case 0: nudge32(&header->state, 5); break;
	case 1: case 2: nudge64(&header->generation); break;
	case 3: nudge64(&header->sequence); break;
	case 4: nudge64(&header->prev_generation); break;
	case 5: nudge32(&header->record_count, COW_PAGE_RECORDS + 1); break;
	case 6: nudge32(&header->hidden_count, COW_MAX_HIDDEN + 2); break;
	case 7: case 8: header->slot1 = cpu_to_le64(some_place(in)); break;
	case 9: case 10: header->seal = cpu_to_le64(one_in(&rng, 4) ? 0 : some_place(in)); break;
	case 11: header->prev_place = cpu_to_le64(one_in(&rng, 4) ? 0 : some_place(in)); break;
	case 12: case 13: change_hidden(in, header); break;
	case 14: header->uuid[rnd(&rng, 16)] ^= 1; break;
	case 15: nudge32(&header->block_sectors, 4096); break;
	case 16: ((u8 *)header)[16 + rnd(&rng, 12)] ^= 1 << rnd(&rng, 8); break;
	case 17: nudge64(&header->device_sectors); break;
	case 18: nudge64(&header->store_sectors); break;
	case 19: header->store_sectors = cpu_to_le64(some_place(in)); break;
	}
}

/* ---- records --------------------------------------------------------------------- */

static u32 random_run(struct input *in)
{
	u32 most = COW_MAX_RUN_SECTORS / input_block(in);

	return (1 + rnd(&rng, one_in(&rng, 8) ? most : min(most, 4U))) * input_block(in);
}

static void random_record(struct input *in, struct cow_disk_record *record)
{
	u64 kind = 1 + rnd(&rng, 4);
	u64 source = some_source(in);
	bool backup = kind == COW_RECORD_BACKUP;
	bool extent = kind == COW_RECORD_FREE || kind == COW_RECORD_RESERVE;

	record->source = cpu_to_le64(source | kind << COW_RECORD_KIND_SHIFT);
	record->dest = cpu_to_le64(extent ? random_run(in) * (1 + rnd(&rng, 9)) :
					    some_place(in));
	record->sectors = cpu_to_le32(backup ? random_run(in) : 0);
	record->data_crc = cpu_to_le32((u32)rnd(&rng, 2));
}

static void change_record(struct input *in, struct cow_disk_record *record)
{
	u64 kind = le64_to_cpu(record->source) & ~COW_RECORD_SECTOR_MASK;

	switch (rnd(&rng, 7)) {
	case 0: random_record(in, record); break;
	case 1: case 2:
		record->source = cpu_to_le64(kind | some_source(in));
		break;
	case 3: case 4: record->dest = cpu_to_le64(some_place(in)); break;
	case 5: record->sectors = cpu_to_le32(random_run(in)); break;
	case 6: nudge32(&record->data_crc, 2); break;
	}
}

static void set_count(struct cow_disk_page *page, u32 count)
{
	page->header.record_count = cpu_to_le32(count);
}

static void insert_record(struct input *in, struct cow_disk_page *page)
{
	u32 count = count_of(page);
	u64 at = one_in(&rng, 2) ? count : rnd(&rng, count + 1);
	struct cow_disk_record *record = &page->records[at];

	if (count == COW_PAGE_RECORDS)
		return;
	memmove(record + 1, record, (count - at) * sizeof(*record));
	if (count && one_in(&rng, 4))
		*record = page->records[rnd(&rng, count + 1)];
	else
		random_record(in, record);
	set_count(page, count + 1);
}

static void remove_record(struct cow_disk_page *page)
{
	struct cow_disk_record *record = some_record(page);
	u32 count = count_of(page);

	if (!record)
		return;
	memmove(record, record + 1,
		(size_t)(&page->records[count] - record - 1) * sizeof(*record));
	set_count(page, count - 1);
}

static void swap_records(struct cow_disk_page *page)
{
	struct cow_disk_record *a = some_record(page), *b = some_record(page), c;

	if (!a)
		return;
	c = *a;
	*a = *b;
	*b = c;
}

/* A void for one of its backups, or for none. */
static void void_record(struct cow_disk_page *page)
{
	struct cow_disk_record *record = some_record(page);
	u32 count = count_of(page);
	u64 kind = (u64)COW_RECORD_VOID << COW_RECORD_KIND_SHIFT;

	if (!record || count == COW_PAGE_RECORDS)
		return;
	page->records[count] = (struct cow_disk_record) {
		.source = cpu_to_le64(kind | (le64_to_cpu(record->source) &
					      COW_RECORD_SECTOR_MASK)),
		.dest = record->dest,
	};
	set_count(page, count + 1);
}

/* ---- pages ------------------------------------------------------------------------- */

/* The filesystem claims a block of ours, or one that has not been saved yet. */
static void move_something(struct input *in, struct cow_disk_page *page)
{
	u32 count = count_of(page), sectors = random_run(in);
	u64 from = some_source(in), to = random_block(in);
	u64 kind = (u64)COW_RECORD_BACKUP << COW_RECORD_KIND_SHIFT;
	struct item *item;

	if (count == COW_PAGE_RECORDS)
		return;
	page->records[count] = (struct cow_disk_record) {
		.source = cpu_to_le64(from | kind), .dest = cpu_to_le64(to),
		.sectors = cpu_to_le32(sectors),
	};
	set_count(page, count + 1);
	item = new_item(in, 'C', to);
	if (!item)
		return;
	item->from = input_place(in, from);
	item->nr = (u16)sectors;
}

/* The other slot gets a version that is younger by one. */
static void next_version(struct input *in)
{
	struct item *newest = newest_page(in), *item;
	struct cow_disk_header *header;
	u64 place;

	if (!newest)
		return;
	header = &item_page(newest)->header;
	place = newest->sector != input_place(in, 0) ? 0 : le64_to_cpu(header->slot1);
	item = page_at(in, place);
	if (!item)
		item = new_item(in, 'R', place);
	if (!item)
		return;
	memcpy(item->data, newest->data, sizeof(item->data));
	item->nr = newest->nr;
	nudge32(&item_page(item)->header.state, 4);
	item_page(item)->header.generation = cpu_to_le64(generation(newest) + 1);
}

/* The newest page is sealed, at its seal or anywhere; a new one is opened. */
static void turn_page(struct input *in)
{
	struct item *newest = newest_page(in), *sealed;
	struct cow_disk_header *header;
	u64 place;

	if (!newest)
		return;
	header = &item_page(newest)->header;
	place = le64_to_cpu(header->seal);
	if (!place || one_in(&rng, 4))
		place = random_block(in);
	sealed = new_item(in, 'R', place);
	if (!sealed)
		return;
	memcpy(sealed->data, newest->data, sizeof(sealed->data));
	sealed->nr = newest->nr;
	header->prev_place = cpu_to_le64(place);
	header->prev_generation = header->generation;
	header->sequence = cpu_to_le64(le64_to_cpu(header->sequence) + 1);
	header->generation = cpu_to_le64(generation(newest) + 1);
	header->seal = cpu_to_le64(one_in(&rng, 4) ? 0 : random_block(in));
	set_count(item_page(newest), (u32)rnd(&rng, 2));
}

static void change_page(struct input *in)
{
	struct item *item = one_in(&rng, 2) ? some_page(in) : newest_page(in);
	struct cow_disk_page *page = item ? item_page(item) : NULL;

	if (!page)
		return;
	switch (rnd(&rng, 9)) {
	case 0: case 1: change_header(in, &page->header); break;
	case 2: case 3: insert_record(in, page); break;
	case 4: remove_record(page); break;
	case 5: swap_records(page); break;
	case 6: void_record(page); break;
	case 7: move_something(in, page); break;
	case 8: if (some_record(page))
			change_record(in, some_record(page));
		break;
	}
	item_fix(item);
}

/* ---- what lies between ---------------------------------------------------------------- */

static void change_data(struct input *in)
{
	struct item *item = new_item(in, one_in(&rng, 2) ? 'F' : 'C', some_place(in));

	if (!item)
		return;
	item->nr = (u16)(one_in(&rng, 4) ? 1 : input_block(in));
	item->from = input_place(in, some_source(in));
	item->byte = (u8)rnd(&rng, 256);
}

static void change_items(struct input *in)
{
	u32 a, b;
	static struct item tmp;

	if (!in->nr_items)
		return;
	a = (u32)rnd(&rng, in->nr_items);
	b = (u32)rnd(&rng, in->nr_items);
	switch (rnd(&rng, 5)) {
	case 0:
		in->items[a] = in->items[--in->nr_items];
		break;
	case 1:
		tmp = in->items[a];
		in->items[a] = in->items[b];
		in->items[b] = tmp;
		break;
	case 2:
		in->items[a].sector = input_place(in, some_source(in));
		break;
	case 3:
		in->items[a].nr = (u16)rnd(&rng, in->items[a].nr + 2U);
		break;
	case 4:
		in->items[a].data[rnd(&rng, 64)] ^= 1 << rnd(&rng, 8);
		break;
	}
}

/* ---- where the store is ------------------------------------------------------------------ */

static struct item *table_of(struct input *in)
{
	u32 i;

	for (i = 0; i < in->nr_items; i++)
		if (item_table(&in->items[i]))
			return &in->items[i];
	return NULL;
}

/* Mostly by pages, as the others are. */
static void nudge_extent(struct input *in, __le64 *at)
{
	u64 value = le64_to_cpu(*at);

	if (one_in(&rng, 8))
		nudge64(at);
	else if (one_in(&rng, 4))
		*at = cpu_to_le64(rnd(&rng, in->lay.sectors / UNIT_SECTORS) * UNIT_SECTORS);
	else
		*at = cpu_to_le64(value + (rnd(&rng, 5) - 2) * UNIT_SECTORS);
}

static void change_extent(struct input *in, struct snap_disk_extents *table, u32 count)
{
	struct snap_disk_extent *a = &table->extents[rnd(&rng, count)];
	struct snap_disk_extent *b = &table->extents[rnd(&rng, count + 1)], c;

	switch (rnd(&rng, 4)) {
	case 0: nudge_extent(in, &a->place); break;
	case 1: nudge_extent(in, &a->sectors); break;
	case 2: *b = *a; break;
	case 3:
		c = *a;
		*a = *b;
		*b = c;
		break;
	}
}

static void change_table(struct input *in)
{
	struct item *item = table_of(in);
	struct snap_disk_extents *table = item ? item_table(item) : NULL;
	u32 count = table ? le32_to_cpu(table->count) : 0;

	if (!count || count > 200)
		return;
	switch (rnd(&rng, 10)) {
	case 0: nudge32(&table->version, 3); break;
	case 1: nudge32(&table->count, 5); break;
	case 2: nudge64(&table->device_sectors); break;
	case 3: nudge64(&table->store_sectors); break;
	case 4: table->count = cpu_to_le32(count + 1); break;
	default: change_extent(in, table, count);
	}
	table_fix(item, !one_in(&rng, 6));
}

/* What is a device stays one, mostly. */
static void change_shape(struct input *in)
{
	u8 kind = SHAPE_APART | SHAPE_INSIDE, other = (u8)rnd(&rng, 256);

	in->shape = one_in(&rng, 8) ? other : (u8)((in->shape & kind) | (other & ~kind));
}

static void change(struct input *in)
{
	if (input_inside(in) && one_in(&rng, 10)) {
		change_table(in);
		return;
	}
	switch (rnd(&rng, 16)) {
	case 0: change_data(in); break;
	case 1: change_items(in); break;
	case 2: next_version(in); break;
	case 3: turn_page(in); break;
	case 4: in->cut = (u8)rnd(&rng, 256); break;
	case 5: change_shape(in); break;
	default: change_page(in);
	}
}

/* ---- repair ----------------------------------------------------------------------------- */

static struct disk scratch;

static u32 data_crc(const struct cow_picture *pic, u64 sector, u32 sectors, bool follow)
{
	static u8 buf[(COW_MAX_RUN_SECTORS + COW_MAX_BLOCK_SECTORS) * SECTOR];
	u32 done, block = pic->geo.block_sectors;

	for (done = 0; done < sectors; done += block) {
		u64 at = (sector + done) / block;
		struct cow_range *range;
		u32 nr;

		cow_ranges_piece(&pic->moved, at, 1, &range);
		if (follow && range)
			at = range->to + (at - range->start);
		nr = min(block, sectors - done);
		if (layout_has(scratch.lay, at * block, nr))
			cow_read(&scratch.io, at * block, buf + done * SECTOR, nr);
	}
	return cow_crc(buf, (size_t)sectors * SECTOR);
}

/* The record gets the checksum of its backup, or of its source: void, then. */
static bool repair_data(struct input *in, const struct cow_picture *pic)
{
	struct item *item = page_seen_at(in, pic->complaint.page_sector);
	struct cow_disk_record *disk;
	struct cow_record record;

	if (!item || pic->complaint.record < 0)
		return false;
	disk = &item_page(item)->records[pic->complaint.record];
	record = cow_record_decode(disk);
	/* Another item may lie over what was read there. */
	if (record.sectors > COW_MAX_RUN_SECTORS)
		return false;
	disk->data_crc = cpu_to_le32(one_in(&rng, 6) ?
		data_crc(pic, record.source, record.sectors, false) :
		data_crc(pic, record.dest, record.sectors, true));
	item_fix(item);
	return true;
}

/* Every predecessor becomes what its successor expects. */
static bool repair_chain(struct input *in)
{
	bool changed = false;
	u32 i;

	for (i = 0; i < in->nr_items; i++) {
		struct cow_disk_page *page = item_page(&in->items[i]), *prev;
		u64 place = page ? le64_to_cpu(page->header.prev_place) : 0;
		struct item *item = place ? page_at(in, place) : NULL;

		if (!item || item == &in->items[i])
			continue;
		prev = item_page(item);
		memcpy(prev->header.uuid, page->header.uuid, 16);
		prev->header.generation = page->header.prev_generation;
		prev->header.sequence =
			cpu_to_le64(le64_to_cpu(page->header.sequence) - 1);
		item_fix(item);
		changed = true;
	}
	return changed;
}

static bool repair_once(struct input *in)
{
	struct cow_picture pic;
	enum cow_log_error error;
	bool again = false;

	input_build(in, &scratch);
	if (cow_picture_init(&pic, &scratch.io))
		return false;
	error = cow_picture_read(&pic, COW_CHECK_ALL);
	if (error == COW_LOG_BAD_DATA)
		again = repair_data(in, &pic);
	else if (error == COW_LOG_BROKEN_CHAIN)
		again = repair_chain(in);
	cow_picture_exit(&pic);
	return again;
}

void input_repair(struct input *in)
{
	u32 i;

	if (!scratch.mem)
		disk_init(&scratch);
	for (i = 0; i < 12 && repair_once(in); i++)
		;
}

/* ---- what libFuzzer calls ------------------------------------------------------------------ */

static struct input ours, other;

/* Where its places are is known when it has been built. */
static void parse(struct input *in, const uint8_t *data, size_t size)
{
	input_parse(in, data, size);
	if (!scratch.mem)
		disk_init(&scratch);
	input_build(in, &scratch);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max,
			       unsigned int seed)
{
	u64 n;

	rng.state = seed;
	if (one_in(&rng, 20))
		return LLVMFuzzerMutate(data, size, max);
	parse(&ours, data, size);
	for (n = 1 + rnd(&rng, 4); n; n--)
		change(&ours);
	if (!one_in(&rng, 6))
		input_repair(&ours);
	return input_write(&ours, data, max);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1,
				 const uint8_t *data2, size_t size2, uint8_t *out,
				 size_t max, unsigned int seed)
{
	u64 n;

	rng.state = seed;
	parse(&ours, data1, size1);
	input_parse(&other, data2, size2);
	for (n = 1 + rnd(&rng, 3); n && other.nr_items && ours.nr_items < MAX_ITEMS; n--)
		ours.items[ours.nr_items++] = other.items[rnd(&rng, other.nr_items)];
	if (!one_in(&rng, 3))
		input_repair(&ours);
	return input_write(&ours, out, max);
}
