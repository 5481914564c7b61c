// SPDX-License-Identifier: GPL-2.0-only
/*
 * Logs to begin with, one of each kind: `fuzz-seed DIR` writes them into DIR.
 */
#include <stdarg.h>

#include "fuzz.h"

static struct input in;
static struct cow_head head;
static struct cow_disk_page page;
static const char *dir;

void broken(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

/* Nothing is mutated here. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max)
{
	(void)data;
	(void)max;
	return size;
}

static u32 bs;
static u64 last;	/* block that is whole */
static struct disk disk;	/* of the input, to know where a store is */

/* The first block of what is saved. */
static u64 base(void)
{
	return input_apart(&in) ? COW_ORIGIN_BASE / bs : 0;
}

static void record(u32 kind, u64 source, u64 dest, u64 nr)
{
	struct cow_log log = { .head = head, .tail = &page };
	struct cow_record r = {
		.kind = kind, .source = (base() + source) * bs, .dest = dest * bs,
		.sectors = (u32)min(nr * bs, in.lay.sectors - source * bs),
	};

	if (kind != COW_RECORD_BACKUP)
		r.sectors = 0;
	cow_log_add(&log, &r);
	head.record_count = log.head.record_count;
}

static void backup(u64 source, u64 dest, u64 nr)
{
	record(COW_RECORD_BACKUP, source, dest, nr);
}

static struct item *put_page(u64 block)
{
	struct item *item = &in.items[in.nr_items++];

	head.generation++;
	cow_page_encode(&page, &head);
	item->type = 'R';
	item->sector = input_place(&in, block * bs);
	item->nr = COW_PAGE_SIZE;
	memcpy(item->data, &page, sizeof(page));
	item_fix(item);
	return item;
}

static void put_slots(void)
{
	put_page(head.slot1 / bs);
	put_page(0);
}

static void copy(u64 from, u64 to, u64 nr)
{
	struct item *item = &in.items[in.nr_items++];

	item->type = 'C';
	item->from = input_place(&in, from * bs);
	item->sector = input_place(&in, to * bs);
	item->nr = (u16)(nr * bs);
}

static void fill(u64 block, u64 nr, u8 byte)
{
	struct item *item = &in.items[in.nr_items++];

	item->type = 'F';
	item->sector = input_place(&in, block * bs);
	item->nr = (u16)(nr * bs);
	item->byte = byte;
}

static void seal(u64 block)
{
	put_page(block);
	head.sequence++;
	head.prev_place = block * bs;
	head.prev_generation = head.generation;
	head.record_count = 0;
	memset(&page, 0, sizeof(page));
}

static void start(u8 shape)
{
	memset(&in, 0, sizeof(in));
	memset(&head, 0, sizeof(head));
	memset(&page, 0, sizeof(page));
	in.shape = shape;
	in.cut = 3;
	bs = input_block(&in);
	memset(head.uuid, 0x5a, sizeof(head.uuid));
	head.state = COW_LOG_CHECKPOINT;
	head.generation = 10;
	head.block_sectors = bs;
}

static void begin(u8 shape)
{
	start(shape);
	input_build(&in, &disk);
	last = input_sectors(&in) / bs - 1;
	head.device_sectors = input_sectors(&in);
	head.slot1 = last * bs;
	head.hidden_count = 1;
	head.hidden[0].live = (last - 1) * bs;
	backup(0, last - 2, 1);
}

static void end(const char *name)
{
	static u8 data[INPUT_BYTES];
	char path[4096];
	FILE *file;
	size_t size;

	input_repair(&in);
	size = input_write(&in, data, sizeof(data));
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "wb");
	must(file && fwrite(data, size, 1, file) == 1 && !fclose(file),
	     "cannot write %s", path);
}

static void simple(void)
{
	static const u8 shapes[] = { 0, 1, 3, 4, 0x80 };
	char name[32];
	u32 i;

	for (i = 0; i < ARRAY_SIZE(shapes); i++) {
		begin(shapes[i]);
		head.hidden_count = 2;
		head.hidden[1].source = bs;
		head.hidden[1].live = (last - 3) * bs;
		head.seal = (last - 5) * bs;
		backup(1, last - 4, 1);
		record(COW_RECORD_RESERVE, 30, 6, 0);
		record(COW_RECORD_FREE, 20, last - 20, 0);
		backup(5, 40, 2);
		backup(40, 44, 1);
		put_slots();
		copy(40, 44, 1);
		fill(5, 2, 1);
		snprintf(name, sizeof(name), "simple-%u", shapes[i]);
		end(name);
	}
	begin(5);
	backup(2, 9, 2);
	put_slots();
	end("simple-5");
	begin(6);
	put_slots();
	end("simple-6");
	begin(1);
	backup(last + 1, 40, 1);
	put_slots();
	end("short-block");
}

static void chain(void)
{
	begin(2);
	record(COW_RECORD_FREE, 100, 200, 0);
	backup(10, 100, 3);
	seal(200);
	backup(20, 110, 2);
	seal(201);
	backup(200, 210, 1);
	backup(101, 120, 1);
	put_slots();
	copy(200, 210, 1);
	fill(200, 1, 7);
	end("chain");
}

static void voids(void)
{
	begin(2);
	backup(10, 100, 2);
	record(COW_RECORD_VOID, 10, 100, 0);
	backup(10, 110, 2);
	put_slots();
	end("void");
	begin(2);
	backup(10, 100, 2);
	put_slots();
	copy(10, 100, 2);	/* the checksum is the source's */
	end("pending");
}

static void pending(void)
{
	begin(2);
	backup(10, 100, 2);
	put_slots();
	input_repair(&in);
	/* Both match now; then the backup is lost, the source is not. */
	copy(100, 10, 2);
	fill(100, 2, 0);
	end("lost-backup");
}

static void dropped(void)
{
	begin(2);
	backup(11, 100, 1);
	put_page(0);
	seal(200);
	put_page(last);
	fill(200, 1, 0);
	end("dropped");
}

static void full(void)
{
	u64 i;

	begin(2);
	head.seal = 300 * bs;
	for (i = 1; i < COW_PAGE_RECORDS; i++)
		backup(i, 150 + i, 1);
	put_page(0);
	put_page(last);
	end("full");
}

static void ended(u32 state, const char *name)
{
	begin(0);
	head.hidden_count = 2;
	head.hidden[1].source = bs;
	head.hidden[1].live = (last - 3) * bs;
	backup(1, 60, 1);
	put_page(0);
	head.state = state;
	put_page(last);
	end(name);
}

/* ---- snapshots --------------------------------------------------------------------- */

static void extent(struct snap_disk_extents *table, u64 place, u64 sectors)
{
	u32 count = le32_to_cpu(table->count);

	table->extents[count].place = cpu_to_le64(place);
	table->extents[count].sectors = cpu_to_le64(sectors);
	table->count = cpu_to_le32(count + 1);
}

/* Three pieces, not in the order in which they lie there. */
static void put_table(void)
{
	struct item *item = &in.items[in.nr_items++];
	struct snap_disk_extents *table = (struct snap_disk_extents *)item->data;
	u64 part = input_sectors(&in) / 16 / UNIT_SECTORS * UNIT_SECTORS;

	item->type = 'R';
	item->sector = INSIDE_FIRST + SNAP_EXTENTS_SECTOR;
	item->nr = COW_PAGE_SIZE;
	memcpy(table->magic, SNAP_EXTENTS_MAGIC, sizeof(table->magic));
	table->version = cpu_to_le32(SNAP_EXTENTS_VERSION);
	table->device_sectors = cpu_to_le64(input_sectors(&in));
	extent(table, INSIDE_FIRST, 256);
	extent(table, 12 * part, 2 * part);
	extent(table, 8 * part, part);
	table_fix(item, true);
}

static u64 first;	/* block of the store that is not used yet, behind slot 1 */
static u64 files;	/* block of the origin: neither that nor the next three are the store */

static void begin_store(u8 shape)
{
	start(SHAPE_APART | shape);
	if (input_inside(&in))
		put_table();
	input_build(&in, &disk);
	must(in.lay.store, "no store");
	first = (256 + bs - 1) / bs;
	files = input_inside(&in) ? (INSIDE_FIRST + 256 + bs - 1) / bs : 0;
	last = in.lay.store / bs - 1;
	head.device_sectors = COW_ORIGIN_BASE + in.lay.sectors;
	head.store_sectors = in.lay.store;
	head.slot1 = first++ * bs;
}

/* Old contents go to the store, then the origin is written to. */
static void save(u64 source, u64 dest, u64 nr)
{
	backup(source, dest, nr);
	copy(base() + source, dest, nr);
	fill(base() + source, nr, (u8)source);
}

static void end_store(u8 shape, const char *what)
{
	char name[48];

	snprintf(name, sizeof(name), "store-%02x-%s", shape, what);
	end(name);
}

static void store_simple(u8 shape)
{
	begin_store(shape);
	if (last > first) {
		head.seal = first++ * bs;
		save(files, first++, 1);
	}
	put_slots();
	end_store(shape, "simple");
}

static void store_chain(u8 shape)
{
	begin_store(shape);
	save(files, first, 2);
	save(files + 2, first + 2, 1);
	seal(first + 3);
	head.seal = (first + 6) * bs;
	save(files + 3, first + 4, 1);
	put_slots();
	end_store(shape, "chain");
}

/* Three blocks whose group was cut; of one of them it is known already. */
static void store_voids(u8 shape)
{
	begin_store(shape);
	save(files, first, 2);
	backup(files + 3, first + 2, 1);
	record(COW_RECORD_VOID, files + 3, first + 2, 0);
	backup(files + 3, first + 3, 1);
	copy(base() + files + 3, first + 3, 1);
	put_slots();
	input_repair(&in);
	copy(first + 3, base() + files + 3, 1);
	fill(first + 3, 1, 0);
	end_store(shape, "voids");
}

static void store_dropped(u8 shape)
{
	begin_store(shape);
	save(files, first, 1);
	put_page(0);
	seal(first + 1);
	put_page(head.slot1 / bs);
	fill(first + 1, 1, 0);
	end_store(shape, "dropped");
}

static void store_ended(u8 shape, u32 state, const char *what)
{
	begin_store(shape);
	save(files, first, 1);
	put_page(0);
	head.state = state;
	put_page(head.slot1 / bs);
	end_store(shape, what);
}

/* The checksums of a page of single records: of what is at their dest, or source. */
static void tell_truth(struct item *item, bool arrived)
{
	static u8 data[COW_MAX_BLOCK_SECTORS * SECTOR];
	struct cow_disk_page *told = item_page(item);
	u32 i;

	for (i = 0; i < head.record_count; i++) {
		struct cow_record r = cow_record_decode(&told->records[i]);

		cow_read(&disk.io, arrived ? r.dest : r.source, data, bs);
		told->records[i].data_crc = cpu_to_le32(cow_crc(data, (size_t)bs * SECTOR));
	}
	item_fix(item);
}

/* In all pages from that one on: the store ends there, and slot 1 is... */
static void end_store_at(u64 sequence, u64 block, u64 slot1)
{
	u32 i;

	for (i = 0; i < in.nr_items; i++) {
		struct cow_disk_page *one = item_page(&in.items[i]);

		if (!one || le64_to_cpu(one->header.sequence) < sequence)
			continue;
		one->header.store_sectors = cpu_to_le64(block * bs);
		one->header.slot1 = cpu_to_le64(slot1 * bs);
		item_fix(&in.items[i]);
	}
}

/* Old contents, or slot 1, above where the newest page says that the store is free. */
static void store_shrinks(u8 shape)
{
	begin_store(shape);
	save(files, first + 4, 1);
	seal(first);
	put_slots();
	input_repair(&in);
	end_store_at(1, first + 1, first - 1);
	end_store(shape, "shrinks");
	begin_store(shape);
	head.slot1 = (first + 2) * bs;
	put_page(first + 2);
	end_store_at(0, first, first - 1);
	head.generation -= 2;
	put_page(0);
	end_store(shape, "slot1");
}

/* Of a block of the store; of one that is said to be kept on the origin. */
static void store_sides(u8 shape)
{
	begin_store(shape);
	record(COW_RECORD_BACKUP, first + 1 - base(), first, 1);
	tell_truth(put_page(0), true);
	end_store(shape, "on-itself");
	begin_store(shape);
	record(COW_RECORD_BACKUP, files, base() + files + 2, 1);
	tell_truth(put_page(0), true);
	end_store(shape, "on-origin");
}

/* An extent that is partly behind the end of the device. */
static void store_beyond(void)
{
	begin_store(SHAPE_INSIDE);
	item_table(&in.items[0])->extents[1].place = cpu_to_le64(input_sectors(&in) - 8);
	table_fix(&in.items[0], true);
	put_slots();
	end_store(SHAPE_INSIDE, "beyond");
}

/* A page full of what never arrived: it takes another one to say so. */
static void store_full(u8 shape)
{
	u64 i;

	begin_store(shape);
	for (i = 0; i < COW_PAGE_RECORDS; i++)
		backup(i, first + i, 1);
	head.store_sectors = (first + i) * bs;
	tell_truth(put_page(0), false);
	end_store(shape, "full");
}

static void stores(u8 kind)
{
	static const u8 shapes[] = { 0, 1, 3, 4 | SHAPE_ODD, SHAPE_4KN, 5 };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(shapes); i++)
		store_simple(shapes[i] | kind);
	store_chain(kind);
	store_chain(4 | kind);
	store_voids(kind);
	store_dropped(kind);
	store_ended(kind, COW_LOG_COMMITTING, "ended");
	store_ended(kind, COW_LOG_RESTORING, "restoring");
	begin_store(kind);
	end_store(kind, "nothing");
}

int main(int argc, char **argv)
{
	must(argc == 2, "usage: fuzz-seed DIR");
	dir = argv[1];
	disk_init(&disk);
	simple();
	chain();
	voids();
	pending();
	dropped();
	full();
	ended(COW_LOG_COMMITTING, "committing");
	ended(COW_LOG_RESTORING, "restoring");
	begin(0);
	end("nothing");
	stores(0);
	stores(SHAPE_INSIDE);
	store_simple(6);
	store_full(7);
	store_shrinks(0);
	store_sides(0);
	store_beyond();
	return 0;
}
