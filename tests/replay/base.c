// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A run that begins with a crash state of another one: the module resumes it.
 * What it must come back to is the checkpoint of the other run.
 */
#include <errno.h>
#include <sys/stat.h>

#include "replay.h"

#define BLOCK_SECTORS 8U

u8 *read_file(const char *path, u64 *size)
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	u8 *data;

	if (!f || fstat(fileno(f), &st))
		die("%s: %s", path, strerror(errno));
	*size = (u64)st.st_size;
	data = need(*size);
	if (fread(data, 1, *size, f) != *size)
		die("%s: short", path);
	fclose(f);
	return data;
}

static void save(const char *path, const u8 *data, size_t size, const u8 *more,
		 size_t size_of_more)
{
	FILE *f = fopen(path, "wb");

	if (!f || fwrite(data, 1, size, f) != size ||
	    fwrite(more, 1, size_of_more, f) != size_of_more || fclose(f))
		die("%s: %s", path, strerror(errno));
}

void base_save(const struct run *run, const char *path, const char *checkpoint)
{
	static const u8 marks[BLOCK_SECTORS * SECTOR];
	u32 sectors = run->rec.sectors;

	/* The block for marks is not a part of the image. */
	save(path, run->img.data, (size_t)sectors * SECTOR, marks, sizeof(marks));
	save(checkpoint, run->snap, (size_t)sectors * SECTOR, run->was_free,
	     sectors / BLOCK_SECTORS);
}

void base_load(struct run *run, const char *path, const char *checkpoint)
{
	size_t bytes = (size_t)run->rec.sectors * SECTOR;
	u64 size;

	run->base = read_file(path, &size);
	if (size < bytes)
		die("%s: short", path);
	run->snap = read_file(checkpoint, &size);
	if (size != bytes + run->rec.sectors / BLOCK_SECTORS)
		die("%s: of another device", checkpoint);
	run->was_free = run->snap + bytes;
}

void base_check(struct run *run)
{
	u32 nr = run->rec.sectors / BLOCK_SECTORS;
	u8 *was_free = need(nr);

	if (!read_free_map(&run->img, was_free))
		die("%s: no good log after the resume", run->rec.path);
	if (memcmp(was_free, run->was_free, nr))
		die("%s: the free map is not that of the checkpoint", run->rec.path);
	free(was_free);
}

void base_note_since(struct run *run)
{
	u32 s;

	for (s = 0; s < run->rec.sectors; s++)
		run->img.since[s] = !!memcmp(run->img.data + (size_t)s * SECTOR,
					     run->snap + (size_t)s * SECTOR, SECTOR);
}
