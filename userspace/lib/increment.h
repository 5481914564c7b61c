/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An increment: what has changed from one snapshot of a device to another, as a file
 * or a stream. See blksnap-increment.rst for the rules; all integers are
 * little-endian.
 *
 *	struct increment_header
 *	struct increment_chunk, its bytes, struct increment_chunk, its bytes...
 *	struct increment_end
 */
#ifndef BOW_INCREMENT_H
#define BOW_INCREMENT_H

#include "util.h"

#define INCREMENT_MAGIC "BLKSNAPI"
#define INCREMENT_VERSION 1
#define INCREMENT_MAX_DATA (1U << 20)	/* bytes of one chunk */
#define INCREMENT_MIN_BLOCK 4096U
#define INCREMENT_MAX_BLOCK (1U << 29)
#define INCREMENT_MAX_NUMBER 0xfffeU	/* of a snapshot; the last there can be */
#define INCREMENT_NAME 128

enum increment_kind {
	INCREMENT_DATA = 1,	/* as many bytes follow */
	INCREMENT_ZERO = 2,	/* zeroes, none follow */
	INCREMENT_END = 3,
};

struct increment_header {
	u8 magic[8];
	__le32 version;
	__le32 header_bytes;
	__le64 features_compat;		/* unknown bits may be ignored */
	__le64 features_incompat;	/* unknown bits forbid reading */
	u8 generation[16];
	__le64 since;			/* the snapshot it is relative to */
	__le64 number;			/* the one it leads to */
	__le64 size;			/* bytes, of the device */
	__le64 time;			/* seconds since 1970 */
	__le32 block_bytes;		/* in which changes were tracked */
	__le32 reserved1;
	u8 origin[INCREMENT_NAME];	/* its name, ended by a NUL */
	u8 reserved2[292];
	__le32 crc;			/* of all before it */
};

struct increment_chunk {
	__le32 kind;
	__le32 data_crc;
	__le64 offset;
	__le64 length;
	__le32 reserved;
	__le32 crc;			/* of the header's crc and all before it */
};

struct increment_end {
	__le32 kind;
	__le32 reserved1;
	__le64 chunks;
	__le64 data_bytes;
	__le64 zero_bytes;
	u8 reserved2[24];
	__le32 chunks_crc;		/* of the crcs of all chunks, in order */
	__le32 crc;			/* as in a chunk */
};

_Static_assert(sizeof(struct increment_header) == 512, "on-disk format");
_Static_assert(sizeof(struct increment_chunk) == 32, "on-disk format");
_Static_assert(sizeof(struct increment_end) == 64, "on-disk format");

#define INCREMENT_ID (UUID_TEXT + 8)

struct increment_info {
	u8 generation[16];
	u64 since, number;	/* since 0: of a whole image, never in a file */
	u64 size, time;
	u32 block_bytes;
	char origin[INCREMENT_NAME];
};

/* "generation:number" into @id, which is returned. */
const char *increment_id(char id[INCREMENT_ID], const struct increment_info *info, u64 number);

/* What there is after each chunk. */
struct increment_sums {
	u64 bytes;		/* of the file */
	u64 chunks, data_bytes, zero_bytes;
	u32 header_crc;
	u32 chunks_crc;		/* raw: not inverted yet */
};

/* ---- writing: 0 or an exit status, with the reason told ------------------------ */

struct increment_writer {
	int fd;
	const char *path;
	struct increment_sums sums;
};

int increment_begin(struct increment_writer *w, const struct increment_info *info);
/* @data NULL: zeroes, of any length. */
int increment_put(struct increment_writer *w, u64 offset, const void *data, u64 length);
int increment_end(struct increment_writer *w);

/* ---- reading: the same; all of it is checked before anybody gets it --------------- */

struct increment_reader {
	int fd;			/* that pread() can read */
	const char *path;
	struct increment_info info;
	struct increment_sums sums;
	u64 end;		/* of the last chunk, on the device */

	/* What was read last. */
	enum increment_kind kind;
	u64 offset, length;
	u8 *data;		/* aligned; of INCREMENT_DATA */
};

/* Reads the header. To be closed if that succeeds. */
int increment_open(struct increment_reader *r, int fd, const char *path);
/* The next chunk; of kind INCREMENT_END once it is known that the file is complete. */
int increment_next(struct increment_reader *r);
/* From the first chunk on again. */
void increment_rewind(struct increment_reader *r);
void increment_close(struct increment_reader *r);

#endif
