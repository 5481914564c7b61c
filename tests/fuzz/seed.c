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

static void record(u32 kind, u64 source, u64 dest, u64 nr)
{
	struct cow_log log = { .head = head, .tail = &page };
	struct cow_record r = {
		.kind = kind, .source = source * bs, .dest = dest * bs,
		.sectors = (u32)min(nr * bs, input_sectors(&in) - source * bs),
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
	item->sector = (u16)(block * bs);
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
	item->from = (u16)(from * bs);
	item->sector = (u16)(to * bs);
	item->nr = (u16)(nr * bs);
}

static void fill(u64 block, u64 nr, u8 byte)
{
	struct item *item = &in.items[in.nr_items++];

	item->type = 'F';
	item->sector = (u16)(block * bs);
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

static void begin(u8 shape)
{
	memset(&in, 0, sizeof(in));
	memset(&head, 0, sizeof(head));
	memset(&page, 0, sizeof(page));
	in.shape = shape;
	in.cut = 3;
	bs = input_block(&in);
	last = input_sectors(&in) / bs - 1;
	memset(head.uuid, 0x5a, sizeof(head.uuid));
	head.state = COW_LOG_CHECKPOINT;
	head.generation = 10;
	head.device_sectors = input_sectors(&in);
	head.block_sectors = bs;
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

int main(int argc, char **argv)
{
	must(argc == 2, "usage: fuzz-seed DIR");
	dir = argv[1];
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
	return 0;
}
