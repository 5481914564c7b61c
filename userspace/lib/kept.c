// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One large piece of memory, which is filled from its beginning. It costs nothing until
 * it is used.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "kept.h"

#define ALIGN_SECTORS 8U	/* for direct I/O: logical blocks are not larger */

u64 kept_default_bytes(void)
{
	long pages = sysconf(_SC_AVPHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages > 0 && size > 0 ? (u64)pages / 2 * (u64)size : 0;
}

static int get_memory(struct kept *kept, u64 bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return -ENOMEM;
	/* Less to do for each page; if it cannot be had, so be it. */
	madvise(memory, bytes, MADV_HUGEPAGE);
	kept->memory = memory;
	kept->sectors = bytes >> 9;
	return 0;
}

struct kept *kept_new(u64 bytes)
{
	struct kept *kept = cow_zalloc(sizeof(*kept));

	if (!kept)
		return NULL;
	bytes -= bytes % ((u64)ALIGN_SECTORS << 9);
	if (bytes && !cow_ranges_init(&kept->read) && !cow_ranges_init(&kept->written) &&
	    !get_memory(kept, bytes)) {
		kept->read.merges = true;
		return kept;
	}
	kept_free(kept);
	return NULL;
}

void kept_free(struct kept *kept)
{
	if (!kept)
		return;
	if (kept->memory)
		munmap(kept->memory, kept->sectors << 9);
	cow_ranges_exit(&kept->read);
	cow_ranges_exit(&kept->written);
	cow_free(kept);
}

void *kept_room(const struct kept *kept, u32 sectors)
{
	if (!kept || kept->lost || sectors > kept->sectors - kept->used)
		return NULL;
	return kept->memory + (kept->used << 9);
}

void kept_add(struct kept *kept, u64 sector, u32 sectors)
{
	u64 end = kept->used + sectors;

	/* What is there in part already is read again. */
	if (!cow_ranges_add(&kept->read, sector, sectors, kept->used))
		kept->used = min(end + (ALIGN_SECTORS - end % ALIGN_SECTORS) % ALIGN_SECTORS,
				 kept->sectors);
}

void kept_forget(struct kept *kept, u64 sector, u32 sectors)
{
	struct cow_range *read, *written;

	while (kept && sectors) {
		u64 piece = cow_ranges_piece(&kept->read, sector, sectors, &read);

		if (read)
			piece = cow_ranges_piece(&kept->written, sector, piece, &written);
		/* No memory even for that: then nothing was read. */
		if (read && !written && cow_ranges_add(&kept->written, sector, piece, 0))
			kept->lost = true;
		sector += piece;
		sectors -= (u32)piece;
	}
}

u32 kept_piece(const struct kept *kept, u64 sector, u32 sectors, void **data)
{
	struct cow_range *read, *written;
	u64 piece;

	*data = NULL;
	if (!kept || kept->lost)
		return sectors;
	piece = cow_ranges_piece(&kept->read, sector, sectors, &read);
	if (!read)
		return (u32)piece;
	piece = cow_ranges_piece(&kept->written, sector, piece, &written);
	if (!written)
		*data = kept->memory + ((read->to + sector - read->start) << 9);
	return (u32)piece;
}

bool kept_read(const struct kept *kept, u64 sector, void *buf, u32 sectors)
{
	void *data;
	u32 piece;

	for (; sectors; sectors -= piece, sector += piece, buf = (u8 *)buf + ((size_t)piece << 9)) {
		piece = kept_piece(kept, sector, sectors, &data);
		if (!data)
			return false;
		memcpy(buf, data, (size_t)piece << 9);
	}
	return true;
}
