/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of the fuzzer share.
 *
 * An input is a short text about a small device: its shape, then items that
 * are put onto it one after the other. What no item touches holds a pattern, so
 * a log of a few pages is a file of a few kilobytes.
 *
 *	byte 0		shape of the device: see shapes[]; bit 7: 4Kn
 *	byte 1		where the power is cut
 *	'R' sector len bytes...	these bytes
 *	'C' to from sectors	a copy
 *	'F' to sectors byte	the same byte all over
 *
 * Numbers are 16 bits, little-endian, in sectors (len: bytes).
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdio.h>

#include "common/random.h"
#include "dm-bow-proto.h"
#include "dm-cow-finish.h"

typedef uint16_t u16;

#define SECTOR 512U
#define UNIT_SECTORS 8U		/* what is dirty or not */
#define MAX_SECTORS 16384U
#define MAX_ITEMS 40U
#define INPUT_BYTES 16384U

/* ---- a device in memory -------------------------------------------------- */

struct disk {
	struct cow_io io;
	u8 *mem;
	u8 *dirty;		/* of each unit: differs from the pattern */
	u32 *list;		/* of dirty units */
	u32 nr_dirty;
	u64 read_sectors;
	u64 reads;
	u64 writes;
	u64 cut_at;		/* this write gets through in part, none after it */
	bool read_only;		/* a write is a bug */
};

void disk_init(struct disk *disk);
/* All pattern, of that size. */
void disk_reset(struct disk *disk, u64 sectors, u32 atomic_sectors);
void disk_copy(struct disk *to, const struct disk *from);
void disk_put(struct disk *disk, u64 sector, const void *data, size_t len);
bool disk_same(const struct disk *a, const struct disk *b, u64 sector, u64 nr);
/* Power is back. */
void disk_revive(struct disk *disk);

/* ---- inputs --------------------------------------------------------------- */

struct item {
	u8 type;		/* 'R', 'C', 'F' */
	u8 byte;
	u16 sector, from, nr;	/* nr: sectors, or bytes of data */
	u8 data[COW_PAGE_SIZE];
};

struct input {
	u8 shape;
	u8 cut;
	u32 nr_items;
	struct item items[MAX_ITEMS];
};

u64 input_sectors(const struct input *in);
u32 input_block(const struct input *in);
void input_parse(struct input *in, const u8 *data, size_t size);
size_t input_write(const struct input *in, u8 *data, size_t max);
void input_build(const struct input *in, struct disk *disk);

/* Is it a log page, good or bad? */
struct cow_disk_page *item_page(struct item *item);
/* Its length follows from its record count; both checksums are put right. */
void item_fix(struct item *item);

/* ---- mutations ------------------------------------------------------------- */

/* Make the log say the truth about its data and its pages, as far as it goes. */
void input_repair(struct input *in);

/* ---- the tool --------------------------------------------------------------- */

/* Runs a command of the tool on @disk; its stdout is in tool_output. */
extern char *tool_output;
int tool_run(struct disk *disk, const char *command, const char *option);
bool tool_output_is_json(void);

/* Tell what is wrong and stop. */
void broken(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

#define must(what, ...) do { if (!(what)) broken(__VA_ARGS__); } while (0)

#endif
