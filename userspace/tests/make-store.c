// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Makes an origin and a store with a snapshot of it, as the kernel leaves them after
 * some writes, on top of the very log code that it uses.
 *
 *	make-store [key=value]...
 *
 * writes into the current directory:
 *	origin		after the writes
 *	store
 *	original	the origin at the take
 *
 * With inside=N the store is in the origin as well, from block N on, in two pieces, the
 * second one first; nothing is written to that block or those behind it. With overlap=1
 * a block of the store is saved, with overlap=2 one was about to be. The sector it begins
 * at is printed. first=N: slot 1 is block N of the store, all else follows.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "dm-cow-log.h"
#include "inside.h"

#define die(...) (fprintf(stderr, "make-store: " __VA_ARGS__), fputc('\n', stderr), exit(1))

static struct {
	u64 blocks, store, short_by, writes, cut, seed, inside, overlap;
} opt = {
	.blocks = 300, .store = 1000, .short_by = 3, .writes = 200, .seed = 1,
};

#define BS 8U

static u8 *origin, *store;
static struct cow_geometry geo;
static struct cow_log clog;
static u64 used = 32;		/* blocks */

static u8 *at(struct cow_io *io, u64 sector, u32 sectors)
{
	if (sector + sectors > io->sectors)
		die("beyond the end: %llu", (unsigned long long)sector);
	if (sector >= COW_ORIGIN_BASE)
		return origin + ((sector - COW_ORIGIN_BASE) << 9);
	return store + (sector << 9);
}

static int mem_read(struct cow_io *io, u64 sector, void *buf, u32 sectors)
{
	memcpy(buf, at(io, sector, sectors), (size_t)sectors << 9);
	return 0;
}

static int mem_write(struct cow_io *io, u64 sector, const void *buf, u32 sectors)
{
	memcpy(at(io, sector, sectors), buf, (size_t)sectors << 9);
	return 0;
}

static int mem_flush(struct cow_io *io)
{
	(void)io;
	return 0;
}

static const struct cow_io_ops ops = {
	.read = mem_read, .write = mem_write, .flush = mem_flush,
};

static struct cow_io io = { .ops = &ops, .atomic_sectors = 1 };

static u64 take(u64 blocks)
{
	u64 block = used;

	used += blocks;
	if (used > opt.store)
		die("the store is full");
	return block * BS;
}

static void begin(void)
{
	struct cow_head *head = &clog.head;
	struct cow_geometry whole;
	static u8 block[BS * 512];
	bool named;

	memset(head->uuid, 0x42, sizeof(head->uuid));
	head->state = COW_LOG_CHECKPOINT;
	head->time = 1700000000;
	head->device_sectors = io.sectors;
	head->block_sectors = BS;
	head->slot1 = take(1);
	head->seal = take(1);
	head->store_sectors = head->slot1 + BS;
	cow_geometry_set(&whole, io.store_sectors, BS);
	cow_log_write_first(&clog, &whole, &io, block, &named);
}

/* One group: up to three blocks from @block on, unless they were saved before. */
static void save(u64 block, u64 nr, bool arrives)
{
	u32 sectors = cow_run_sectors(&geo, block, nr);
	u8 *data = origin + block * BS * 512;
	struct cow_record record = {
		.kind = COW_RECORD_BACKUP, .source = COW_ORIGIN_BASE + block * BS,
		.dest = take(nr), .sectors = sectors, .crc = cow_crc(data, sectors * 512),
	};

	if (arrives)
		memcpy(store + record.dest * 512, data, sectors * 512);
	cow_log_begin(&clog, cow_log_full(&clog) || !clog.head.seal ? take(1) : 0);
	cow_log_add(&clog, &record);
	cow_log_write_group(&clog, &io);
}

#define FIRST 100ULL	/* blocks of the store in the piece that it begins with */

/* The last block of that piece, which is the last one of the store's on the device. */
static void save_own(void)
{
	u64 block = opt.inside + opt.store - 1;

	memset(store + (FIRST - 1) * BS * 512, 0x77, BS * 512);
	memset(origin + block * BS * 512, 0x77, BS * 512);
	save(block, 1, opt.overlap == 1);
}

static void writes(void)
{
	u64 i, block, end = opt.inside ? opt.inside : opt.blocks;
	char *saved = calloc(1, end);

	for (i = 0; i < opt.writes; i++) {
		block = (u64)rand() % end;
		if (!saved[block])
			save(block, 1, true);
		saved[block] = 1;
		memset(origin + block * BS * 512, rand(), cow_run_sectors(&geo, block, 1) * 512);
	}
	if (opt.overlap)
		save_own();
	for (block = 0; opt.cut && block < end; block++)
		if (!saved[block]) {
			save(block, 1, false);
			opt.cut--;
		}
	free(saved);
}

static void note_extents(struct snap_disk_extents *table)
{
	const u64 first = (opt.inside + opt.store - FIRST) * BS;

	memcpy(table->magic, SNAP_EXTENTS_MAGIC, sizeof(table->magic));
	table->version = cpu_to_le32(SNAP_EXTENTS_VERSION);
	table->device_sectors = cpu_to_le64(geo.sectors);
	table->store_sectors = cpu_to_le64(opt.store * BS);
	table->count = cpu_to_le32(2);
	table->extents[0].place = cpu_to_le64(first);
	table->extents[0].sectors = cpu_to_le64(FIRST * BS);
	table->extents[1].place = cpu_to_le64(opt.inside * BS);
	table->extents[1].sectors = cpu_to_le64((opt.store - FIRST) * BS);
	table->crc = cpu_to_le32(inside_crc(table, 2));
	printf("%llu\n", (unsigned long long)first);
}

static void put_inside(void)
{
	u8 *second = origin + opt.inside * BS * 512;

	note_extents((struct snap_disk_extents *)(store + SNAP_EXTENTS_SECTOR * 512));
	memcpy(second, store + FIRST * BS * 512, (opt.store - FIRST) * BS * 512);
	memcpy(second + (opt.store - FIRST) * BS * 512, store, FIRST * BS * 512);
}

static void put(const char *name, const u8 *data, u64 sectors)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, data, sectors << 9) != (ssize_t)(sectors << 9) || close(fd))
		die("%s: cannot be written", name);
}

static void option(const char *text)
{
	static const struct {
		const char *name;
		u64 *value;
	} keys[] = {
		{ "blocks=", &opt.blocks }, { "store=", &opt.store },
		{ "short=", &opt.short_by }, { "writes=", &opt.writes },
		{ "cut=", &opt.cut }, { "seed=", &opt.seed },
		{ "inside=", &opt.inside }, { "overlap=", &opt.overlap },
		{ "first=", &used },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		if (!strncmp(text, keys[i].name, strlen(keys[i].name))) {
			*keys[i].value = strtoull(text + strlen(keys[i].name), NULL, 10);
			return;
		}
	die("what is %s?", text);
}

int main(int argc, char **argv)
{
	u64 i, sectors;

	while (--argc)
		option(*++argv);
	srand((unsigned int)opt.seed);
	sectors = opt.blocks * BS - opt.short_by;
	cow_geometry_set(&geo, sectors, BS);
	io.sectors = COW_ORIGIN_BASE + sectors;
	io.store_sectors = opt.store * BS;
	origin = malloc(opt.blocks * BS * 512);
	store = malloc(opt.store * BS * 512);
	if (!origin || !store || cow_log_init(&clog))
		die("out of memory");
	for (i = 0; i < opt.blocks * BS * 512; i++)
		origin[i] = (u8)rand();
	memset(store, 0x99, opt.store * BS * 512);
	put("original", origin, sectors);
	begin();
	writes();
	if (opt.inside)
		put_inside();
	put("origin", origin, sectors);
	put("store", store, opt.store * BS);
	return 0;
}
