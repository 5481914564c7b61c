/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of the fuzzer share.
 *
 * An input is a short text about a small device: its shape, then items that
 * are put onto it one after the other. What no item touches holds a pattern, so
 * a log of a few pages is a file of a few kilobytes.
 *
 *	byte 0		shape of the device: see shapes[]; bit 7: 4Kn
 *			bit 6: a snapshot's, in memory the store and behind it the origin;
 *			bit 5, too: the store is inside of the origin; bit 3: an odd size
 *	byte 1		where the power is cut
 *	'R' sector len bytes...	these bytes
 *	'C' to from sectors	a copy
 *	'F' to sectors byte	the same byte all over
 *
 * Numbers are 16 bits, little-endian, in sectors of memory (len: bytes).
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <linux/dm-blksnap-extents.h>
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

/* ---- where what the log counts is in memory ------------------------------- */

#define MAX_PIECES (MAX_SECTORS / UNIT_SECTORS)

struct piece {
	u64 start;		/* in the store */
	u64 place;		/* in memory */
	u64 sectors;
};

struct layout {
	u64 sectors;		/* of the device; of the origin, where there is a store */
	u64 origin;		/* begins there */
	u64 store;		/* sectors of that; 0: the log is on the device */
	u32 nr;
	struct piece pieces[MAX_PIECES];	/* of the store, in its order */
};

/* Of a store that begins at @first of the device; false if the table there is bad. */
bool layout_inside(struct layout *lay, const u8 *mem, u64 first);
/* Is all of that on the device, or the store, or the origin? */
bool layout_has(const struct layout *lay, u64 sector, u64 nr);
/* The place of @sector; *@here of @nr sectors follow each other there. */
u64 layout_place(const struct layout *lay, u64 sector, u64 nr, u64 *here);
/* And back: the store's, if it is there, else the device's. */
u64 layout_sector(const struct layout *lay, u64 place);

/* ---- a device in memory -------------------------------------------------- */

struct disk {
	struct cow_io io;
	const struct layout *lay;
	u64 sectors;		/* of memory in use */
	u8 *mem;
	u8 *dirty;		/* of each unit: differs from the pattern */
	u32 *list;		/* of dirty units */
	u32 nr_dirty;
	u64 read_sectors;
	u64 reads;
	u64 writes;
	u64 cut_at;		/* this write gets through in part, none after it */
	bool read_only;		/* a write is a bug */
	bool no_header;		/* the first sector cannot be written to */
};

void disk_init(struct disk *disk);
/* All pattern, of that size. */
void disk_reset(struct disk *disk, u64 sectors, u32 atomic_sectors);
/* The log counts its sectors like this from now on. */
void disk_lay_out(struct disk *disk, const struct layout *lay);
void disk_copy(struct disk *to, const struct disk *from);
/* By sectors of memory. */
void disk_put(struct disk *disk, u64 sector, const void *data, size_t len);
bool disk_same(const struct disk *a, const struct disk *b, u64 sector, u64 nr);
/* The first sector of memory from @sector on that is not the same; or the end. */
u64 disk_differs(const struct disk *a, const struct disk *b, u64 sector);
/* Power is back. */
void disk_revive(struct disk *disk);

/* ---- inputs --------------------------------------------------------------- */

struct item {
	u8 type;		/* 'R', 'C', 'F' */
	u8 byte;
	u16 sector, from, nr;	/* nr: sectors, or bytes of data */
	u8 data[COW_PAGE_SIZE];
};

#define SHAPE_ODD 0x08U
#define SHAPE_INSIDE 0x20U
#define SHAPE_APART 0x40U
#define SHAPE_4KN 0x80U

/* A store inside of its origin begins there, if there is one. */
#define INSIDE_FIRST 64U
#define INSIDE_FIRST_TEXT "64"

struct input {
	u8 shape;
	u8 cut;
	u32 nr_items;
	struct item items[MAX_ITEMS];
	struct layout lay;	/* once it has been built */
};

u64 input_sectors(const struct input *in);
u32 input_block(const struct input *in);
bool input_apart(const struct input *in);
bool input_inside(const struct input *in);
void input_parse(struct input *in, const u8 *data, size_t size);
size_t input_write(const struct input *in, u8 *data, size_t max);
void input_build(struct input *in, struct disk *disk);

/* Where something is that the log calls @sector; or anywhere. */
u16 input_place(const struct input *in, u64 sector);

/* Is it a log page, good or bad? */
struct cow_disk_page *item_page(struct item *item);
/* Its length follows from its record count; both checksums are put right. */
void item_fix(struct item *item);
/* Is it the beginning of a table of extents? */
struct snap_disk_extents *item_table(struct item *item);
/* Its length, its sum if @sum, its checksum. */
void table_fix(struct item *item, bool sum);

/* ---- mutations ------------------------------------------------------------- */

/* Make the log say the truth about its data and its pages, as far as it goes. */
void input_repair(struct input *in);

/* ---- the tool --------------------------------------------------------------- */

/* Runs a command of bow, or of blksnap, on @disk; its stdout is in tool_output. */
extern char *tool_output;
int tool_run(struct disk *disk, const char *command, const char *option);
bool tool_output_is_json(void);
/* What the tool takes for a store at @sector of @disk is @want, or nothing. */
void tool_try_inside(struct disk *disk, u64 sector, const struct layout *want);

/* Tell what is wrong and stop. */
void broken(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

#define must(what, ...) do { if (!(what)) broken(__VA_ARGS__); } while (0)

#endif
