// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Makes an image that carries a real log, together with what it should be
 * rolled back or committed to. A small model of what the kernel's target does,
 * on top of the very log code that it uses.
 *
 *	make-log make <dir> [key=value]...
 *	make-log compare <dir> original|live
 *
 * writes into <dir>:
 *	image		the device after some writes through a bow device
 *	original	what it was at the checkpoint
 *	was-free	a byte for every block: '1' if free then, so of no interest
 *	live		what the filesystem has on it
 *	undefined	'1' for blocks that the filesystem does not use
 *	block-size	in bytes
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "dm-cow-finish.h"
#include "dm-cow-log.h"

#define die(...) (fprintf(stderr, "make-log: " __VA_ARGS__), fputc('\n', stderr), exit(1))

enum use {
	ORIGINAL, FREE, LOOSE, CHANGED,
	BACKUP, PAGE, SEAL, SLOT1, LIVE,	/* ours */
	RESERVED,			/* ours until the free map is written */
	LEFT,					/* of a log before, not written since */
};

static struct {
	u64 blocks, tail_sectors, block_size, writes, seed, free_percent, run;
	u64 cut, drop, failing, turn, time, last;
	const char *state, *old;
} opt = {
	.blocks = 512, .tail_sectors = 3, .block_size = 4096, .writes = 100,
	.seed = 1, .free_percent = 50, .run = 4, .state = "checkpoint",
	.time = 1700000000, .last = 2,
};

static struct cow_geometry geo;
static struct cow_log clog;
static u8 *image, *original, *live, *used;
static char *was_free;
static struct cow_record group[COW_PAGE_RECORDS];
static u32 in_group;

/* ---- a device in memory ------------------------------------------------------ */

static int mem_read(struct cow_io *io, u64 sector, void *buf, u32 sectors)
{
	if (sector + sectors > io->sectors)
		die("read past the end: %llu", (unsigned long long)sector);
	memcpy(buf, image + (sector << 9), (size_t)sectors << 9);
	return 0;
}

static int mem_write(struct cow_io *io, u64 sector, const void *buf, u32 sectors)
{
	if (sector + sectors > io->sectors)
		die("write past the end: %llu", (unsigned long long)sector);
	memcpy(image + (sector << 9), buf, (size_t)sectors << 9);
	return 0;
}

static int mem_flush(struct cow_io *io __always_unused)
{
	return 0;
}

static const struct cow_io_ops mem_ops = {
	.read = mem_read, .write = mem_write, .flush = mem_flush,
};
static struct cow_io io = { .ops = &mem_ops, .atomic_sectors = 1 };

static u64 random_number(u64 below)
{
	static u64 x;

	if (!x)
		x = opt.seed * 0x9e3779b97f4a7c15ULL + 1;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (x >> 11) % below;
}

static void fill_random(u8 *at, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		at[i] = (u8)random_number(256);
}

static u64 sector_of(u64 block)
{
	return cow_block_to_sector(&geo, block);
}

static size_t bytes_of(u64 block)
{
	return (size_t)cow_run_sectors(&geo, block, 1) << 9;
}

static u8 *at(u8 *base, u64 block)
{
	return base + (sector_of(block) << 9);
}

/* ---- allocation: top down, never a short block, never what was a source ------- */

static u64 take(u64 nr, enum use use)
{
	u64 whole = geo.sectors >> geo.block_shift, block, i;

	for (block = whole - nr; block > 0; block--) {
		for (i = 0; i < nr && used[block + i] == FREE; i++)
			;
		if (i < nr)
			continue;
		memset(used + block, use, nr);
		return block;
	}
	return 0;
}

/* ---- groups ----------------------------------------------------------------- */

static void put_group(void)
{
	u32 i;

	if (cow_log_full(&clog) || !clog.head.seal) {
		u64 seal = take(1, SEAL);

		if (!seal)
			die("no room for the log: use fewer writes");
		if (cow_log_full(&clog))
			used[clog.head.seal >> geo.block_shift] = PAGE;
		cow_log_begin(&clog, sector_of(seal));
	} else {
		cow_log_begin(&clog, 0);
	}
	for (i = 0; i < in_group; i++)
		cow_log_add(&clog, &group[i]);
	in_group = 0;
	if (cow_log_write_group(&clog, &io))
		die("group");
}

static u32 room(void)
{
	return cow_log_full(&clog) ? COW_PAGE_RECORDS : cow_log_room(&clog);
}

static struct cow_record backup_record(u64 block, u64 nr, u64 dest)
{
	u32 sectors = cow_run_sectors(&geo, block, nr);

	return (struct cow_record) {
		.kind = COW_RECORD_BACKUP, .source = sector_of(block),
		.dest = sector_of(dest), .sectors = sectors,
		.crc = cow_crc(at(image, block), (size_t)sectors << 9),
	};
}

static void push(const struct cow_record *record)
{
	if (in_group == room())
		put_group();
	group[in_group++] = *record;
}

/* Save or move a run of blocks; false if there is no room. */
static bool save(u64 block, u64 nr)
{
	enum use use = used[block] == PAGE ? PAGE : BACKUP;
	u64 dest = take(nr, use);
	struct cow_record record;

	if (!dest)
		return false;
	record = backup_record(block, nr, dest);
	if (opt.failing && !random_number(8)) {
		/* The copy fails after its record is durable: void, again. */
		struct cow_record cancel = {
			.kind = COW_RECORD_VOID, .source = record.source,
			.dest = record.dest,
		};

		push(&record);
		put_group();
		push(&cancel);
		put_group();
		memset(used + dest, FREE, nr);
		return save(block, nr);
	}
	memcpy(at(image, dest), at(image, block), (size_t)record.sectors << 9);
	push(&record);
	return true;
}

/* ---- entering --------------------------------------------------------------- */

static bool was_hidden(u64 block)
{
	u32 i;

	for (i = 0; i < clog.head.hidden_count; i++)
		if (clog.head.hidden[i].source == sector_of(block))
			return true;
	return false;
}

static void hide(u64 block)
{
	u64 backup = take(1, BACKUP), copy = take(1, LIVE);
	struct cow_record record = backup_record(block, 1, backup);

	if (!backup || !copy)
		die("too little free space to begin");
	memcpy(at(image, backup), at(image, block), opt.block_size);
	memcpy(at(image, copy), at(image, block), opt.block_size);
	cow_log_add(&clog, &record);
	clog.head.hidden[clog.head.hidden_count++] = (struct cow_hidden) {
		.source = sector_of(block), .live = sector_of(copy),
	};
	used[block] = CHANGED;
}

/* The blocks that cover bytes 0 to 8191 and 64 to 68 KiB. */
static void hide_all(void)
{
	u64 last = ~0ULL, byte;

	for (byte = 0; byte < 69632; byte += byte == 4096 ? 61440 : 4096) {
		u64 block = byte / opt.block_size;

		if (block != last)
			hide(block);
		last = block;
	}
}

/* What a resume will take first. */
static void keep_reserve(void)
{
	struct cow_record record = { .kind = COW_RECORD_RESERVE };
	u64 block = take(2, RESERVED);

	record.source = sector_of(block);
	record.dest = block ? sector_of(2) : 0;
	cow_log_add(&clog, &record);
}

static bool listed(u64 block)
{
	return used[block] == FREE || used[block] == RESERVED;
}

static void list_free(void)
{
	u64 block, start;

	for (block = 1; block < geo.nr_blocks; block++) {
		struct cow_record record = { .kind = COW_RECORD_FREE };

		if (!listed(block))
			continue;
		for (start = block; block < geo.nr_blocks && listed(block); block++)
			;
		record.source = sector_of(start);
		record.dest = cow_run_sectors(&geo, start, block - start);
		if (cow_log_full(&clog) &&
		    cow_log_write_sealed(&clog, &io, sector_of(take(1, PAGE))))
			die("sealed");
		cow_log_add(&clog, &record);
	}
}

static void enter(void)
{
	u8 *block0 = cow_zalloc(opt.block_size);
	bool named = false;
	u32 i;

	if (!block0 || cow_log_init(&clog))
		die("memory");
	clog.head.state = COW_LOG_CHECKPOINT;
	fill_random(clog.head.uuid, sizeof(clog.head.uuid));
	clog.head.device_sectors = geo.sectors;
	clog.head.block_sectors = geo.block_sectors;
	clog.head.time = opt.time;
	hide_all();
	clog.head.slot1 = sector_of(take(1, SLOT1));
	clog.head.seal = sector_of(take(1, SEAL));
	keep_reserve();
	list_free();
	for (i = 0; i < geo.nr_blocks; i++)
		if (used[i] == RESERVED)
			used[i] = FREE;
	if (cow_log_write_first(&clog, &geo, &io, block0, &named) || !named)
		die("first version");
	for (i = 1; i < clog.head.hidden_count; i++)
		memset(image + (clog.head.hidden[i].source << 9), 0, opt.block_size);
	free(block0);
}

/* ---- the filesystem's writes ------------------------------------------------- */

static void write_hidden(u64 block)
{
	u32 i;

	for (i = 0; i < clog.head.hidden_count; i++)
		if (clog.head.hidden[i].source == sector_of(block)) {
			fill_random(at(live, block), bytes_of(block));
			memcpy(image + (clog.head.hidden[i].live << 9),
			       at(live, block), bytes_of(block));
		}
}

static bool move_live(u64 block)
{
	u64 place = take(1, LIVE);
	u32 i;

	if (!place)
		return false;
	memcpy(at(image, place), at(image, block), opt.block_size);
	for (i = 0; i < clog.head.hidden_count; i++)
		if (clog.head.hidden[i].live == sector_of(block))
			clog.head.hidden[i].live = sector_of(place);
	put_group();
	return true;
}

static bool move_slot1(void)
{
	u64 place = take(1, SLOT1);

	if (!place)
		return false;
	if (cow_log_move_slot1(&clog, &io, sector_of(place)))
		die("slot 1");
	return true;
}

static bool move_seal(void)
{
	u64 place = take(1, SEAL);

	if (!place)
		return false;
	clog.head.seal = sector_of(place);
	put_group();
	return true;
}

/* Make way for a write to @nr blocks of one use; false if that is impossible. */
static bool make_way(u64 block, u64 nr)
{
	if (used[block] > CHANGED && in_group)
		put_group();	/* only what is durable may move */
	switch (used[block]) {
	case FREE:
	case LOOSE:
	case CHANGED:
		return true;
	case ORIGINAL:
	case BACKUP:
	case PAGE:
		if (!save(block, nr))
			return false;
		put_group();
		return true;
	case SLOT1:
		return move_slot1();
	case LIVE:
		return move_live(block);
	default:
		return move_seal();
	}
}

static bool goes_alone(enum use use)
{
	return use == SLOT1 || use == LIVE || use == SEAL;
}

static void write_run(u64 block, u64 nr)
{
	enum use use = used[block];
	u64 i;

	if (was_hidden(block)) {
		write_hidden(block);
		return;
	}
	if (use == LEFT)
		return;
	for (i = 1; i < nr && block + i < geo.nr_blocks && used[block + i] == use &&
	     !was_hidden(block + i); i++)
		;
	nr = goes_alone(use) ? 1 : i;
	if (nr * geo.block_sectors > COW_MAX_RUN_SECTORS)
		nr = COW_MAX_RUN_SECTORS / geo.block_sectors;
	if (!make_way(block, nr))
		return;
	for (i = 0; i < nr; i++) {
		fill_random(at(live, block + i), bytes_of(block + i));
		memcpy(at(image, block + i), at(live, block + i), bytes_of(block + i));
		used[block + i] = use == FREE || use == LOOSE ? LOOSE : CHANGED;
	}
}

/* ---- how it ends -------------------------------------------------------------- */

/* A group whose log page got to the disk and whose backups did not. */
static void cut_group(void)
{
	u64 block;

	for (block = 1; block < geo.nr_blocks && in_group < room() &&
	     in_group < 3; block++)
		if (used[block] == ORIGINAL) {
			u64 dest = take(1, BACKUP);
			struct cow_record record;

			if (!dest)
				break;
			record = backup_record(block, 1, dest);
			push(&record);
			used[block] = CHANGED;
		}
	put_group();
}

static u64 next_original(void)
{
	u64 block = 1;

	while (block < geo.nr_blocks && used[block] != ORIGINAL)
		block++;
	if (block == geo.nr_blocks)
		die("nothing left to save");
	return block;
}

static void fill_page(void)
{
	while (!cow_log_full(&clog)) {
		u64 block = next_original();

		if (!save(block, 1))
			die("no room to fill a page");
		used[block] = CHANGED;
		if (in_group == room())
			put_group();
	}
}

/* Turn the page; its first version is the newest, in slot 1. */
static void turn_page(void)
{
	u64 block;

	do {
		fill_page();
		block = next_original();
		if (!save(block, 1))
			die("no room to turn a page");
		used[block] = CHANGED;
		put_group();
	} while (clog.newest != 1);
}

/* A new page got to the disk, the page before it did not get sealed. */
static void drop_tail(void)
{
	struct cow_page_write writes[2];
	struct cow_record record;
	u64 block;

	fill_page();
	cow_log_begin(&clog, 0);
	block = next_original();
	record = backup_record(block, 1, take(1, BACKUP));
	cow_log_add(&clog, &record);
	if (cow_log_stage(&clog, writes) != 2)
		die("no new page");
	mem_write(&io, writes[0].sector, writes[0].page, COW_PAGE_SECTORS);
}

static void end(void)
{
	u64 block;

	if (opt.cut)
		cut_group();
	if (opt.turn)
		turn_page();
	if (opt.drop)
		drop_tail();
	/* In the slot that is asked for, if any. */
	if (opt.last < 2 && clog.newest != opt.last)
		put_group();
	if (!strcmp(opt.state, "checkpoint"))
		return;
	if (cow_log_mark(&clog, &io, strcmp(opt.state, "committing") ?
			 COW_LOG_RESTORING : COW_LOG_COMMITTING))
		die("mark");
	/* A live commit protects nothing but slot 1 and the live copies. */
	for (block = 1; block < geo.nr_blocks; block++)
		if (clog.head.state == COW_LOG_COMMITTING &&
		    (used[block] == BACKUP || used[block] == PAGE))
			memset(at(image, block), 0xee, bytes_of(block));
}

/* ---- a log before that ---------------------------------------------------------- */

static void put_hidden_back(void)
{
	u32 i;

	for (i = 0; i < clog.head.hidden_count; i++)
		memcpy(image + (clog.head.hidden[i].source << 9),
		       live + (clog.head.hidden[i].source << 9), opt.block_size);
}

/* Its pages and backups stay where they are, in free space. */
static void end_old_log(void)
{
	void *buf = malloc(opt.block_size);
	u64 block;

	if (strcmp(opt.old, "committed"))
		put_hidden_back();	/* as by somebody who knows nothing of logs */
	else if (!buf || cow_commit(&clog, &geo, &io, buf))
		die("commit");
	free(buf);
	cow_log_exit(&clog);
	memset(&clog, 0, sizeof(clog));
	memcpy(original, image, geo.sectors << 9);
	memcpy(live, image, geo.sectors << 9);
	for (block = 0; block < geo.nr_blocks; block++) {
		if (used[block] > CHANGED)
			used[block] = LEFT;
		else if (used[block] != FREE)
			used[block] = ORIGINAL;
		was_free[block] = used[block] == FREE || used[block] == LEFT ? '1' : '0';
	}
}

/* ---- files -------------------------------------------------------------------- */

static int open_in(const char *dir, const char *name, int flags)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, flags, 0666);
	if (fd < 0)
		die("cannot open %s", path);
	return fd;
}

static void put_file(const char *dir, const char *name, const void *data, size_t len)
{
	int fd = open_in(dir, name, O_WRONLY | O_CREAT | O_TRUNC);

	if (write(fd, data, len) != (ssize_t)len || close(fd))
		die("cannot write %s", name);
}

static u8 *get_file(const char *dir, const char *name, size_t *len)
{
	int fd = open_in(dir, name, O_RDONLY);
	u8 *data;

	*len = (size_t)lseek(fd, 0, SEEK_END);
	data = calloc(1, *len + 1);
	if (!data || pread(fd, data, *len, 0) != (ssize_t)*len)
		die("cannot read %s", name);
	close(fd);
	return data;
}

static void put_all(const char *dir)
{
	char *undefined = calloc(1, geo.nr_blocks), text[32];
	size_t size = geo.sectors << 9;
	u64 i;

	for (i = 0; i < geo.nr_blocks; i++)
		undefined[i] = used[i] == FREE || used[i] > CHANGED ? '1' : '0';
	snprintf(text, sizeof(text), "%llu\n", (unsigned long long)opt.block_size);
	put_file(dir, "image", image, size);
	put_file(dir, "original", original, size);
	put_file(dir, "live", live, size);
	put_file(dir, "was-free", was_free, geo.nr_blocks);
	put_file(dir, "undefined", undefined, geo.nr_blocks);
	put_file(dir, "block-size", text, strlen(text));
	free(undefined);
}

static int compare(const char *dir, const char *which)
{
	size_t len, len2, masks, n, block, bs, differ = 0;
	u8 *a = get_file(dir, "image", &len), *b = get_file(dir, which, &len2);
	u8 *mask = get_file(dir, *which == 'o' ? "was-free" : "undefined", &masks);

	bs = strtoul((char *)get_file(dir, "block-size", &n), NULL, 10);
	if (len != len2)
		die("sizes differ");
	for (block = 0; block < masks; block++) {
		n = len - block * bs < bs ? len - block * bs : bs;
		if (mask[block] == '0' && memcmp(a + block * bs, b + block * bs, n)) {
			if (!differ++)
				fprintf(stderr, "make-log: block %zu differs\n", block);
		}
	}
	if (differ)
		fprintf(stderr, "make-log: %zu blocks differ from %s\n", differ, which);
	return differ != 0;
}

static void take_option(const char *text)
{
	static const struct { const char *name; u64 *value; } numbers[] = {
		{ "blocks=", &opt.blocks }, { "tail=", &opt.tail_sectors },
		{ "block-size=", &opt.block_size }, { "writes=", &opt.writes },
		{ "seed=", &opt.seed }, { "free=", &opt.free_percent },
		{ "run=", &opt.run }, { "cut=", &opt.cut }, { "drop=", &opt.drop },
		{ "failing=", &opt.failing }, { "turn=", &opt.turn },
		{ "time=", &opt.time }, { "last=", &opt.last },
	};
	size_t i;

	if (!strncmp(text, "state=", 6)) {
		opt.state = text + 6;
		return;
	}
	if (!strncmp(text, "old=", 4)) {
		opt.old = text + 4;
		return;
	}
	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		if (!strncmp(text, numbers[i].name, strlen(numbers[i].name))) {
			*numbers[i].value = strtoull(text + strlen(numbers[i].name), NULL, 10);
			return;
		}
	die("unknown option %s", text);
}

static void set_up(void)
{
	u32 block_sectors = (u32)(opt.block_size >> 9);
	size_t size;
	u64 i;

	cow_geometry_set(&geo, opt.blocks * block_sectors + opt.tail_sectors,
			 block_sectors);
	io.sectors = geo.sectors;
	size = geo.sectors << 9;
	image = malloc(size);
	original = malloc(size);
	live = malloc(size);
	used = calloc(1, geo.nr_blocks);
	was_free = calloc(1, geo.nr_blocks);
	if (!image || !original || !live || !used || !was_free)
		die("memory");
	fill_random(original, size);
	memcpy(image, original, size);
	memcpy(live, original, size);
	for (i = 0; i < geo.nr_blocks; i++) {
		/* A short last block is never free: no backup fits in. */
		bool is_free = i * opt.block_size >= 69632 && i < opt.blocks &&
			       random_number(100) < opt.free_percent;

		used[i] = is_free ? FREE : ORIGINAL;
		was_free[i] = is_free ? '1' : '0';
	}
}

/* A checkpoint, and some writes. */
static void churn(void)
{
	u64 n;

	enter();
	for (n = 0; n < opt.writes; n++)
		write_run(random_number(geo.nr_blocks), 1 + random_number(opt.run));
}

int main(int argc, char **argv)
{
	int i;

	if (argc == 4 && !strcmp(argv[1], "compare"))
		return compare(argv[2], argv[3]);
	if (argc < 3 || strcmp(argv[1], "make"))
		die("usage: make-log make <dir> [key=value]... | compare <dir> original|live");
	for (i = 3; i < argc; i++)
		take_option(argv[i]);
	set_up();
	if (opt.old) {
		churn();
		end_old_log();
		opt.time += 100;
	}
	churn();
	end();
	put_all(argv[2]);
	return 0;
}
