// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Looking for log pages all over a device.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "command.h"
#include "progress.h"
#include "scan.h"

#define CHUNK_SECTORS 8192U	/* 4 MiB: seeks and system calls do not matter */
#define CHUNK_ALIGN 65536

static struct scan_log *find_log(struct scan *scan, const struct cow_head *head)
{
	struct scan_log *log;
	size_t i;

	for (i = 0; i < scan->nr; i++)
		if (!memcmp(scan->logs[i].uuid, head->uuid, sizeof(head->uuid)))
			return &scan->logs[i];
	if (scan->nr == SCAN_MAX_LOGS) {
		scan->too_many = true;
		return NULL;
	}
	log = &scan->logs[scan->nr++];
	memcpy(log->uuid, head->uuid, sizeof(log->uuid));
	log->state = COW_LOG_CHECKPOINT;
	return log;
}

static bool is_slot1(const struct cow_head *head, u64 sector)
{
	return (head->features_compat & COW_FEATURE_SLOT1) &&
	       head->slot1 == sector;
}

/* A page of some log; @sector is where it was found. */
static int note_page(struct scan *scan, const struct cow_disk_page *page,
		     const struct cow_head *head, u64 sector)
{
	struct scan_log *log = find_log(scan, head);

	if (!log)
		return 0;
	log->pages++;
	if (head->generation >= log->generation) {
		log->generation = head->generation;
		log->time = head->time;
		log->device_sectors = head->device_sectors;
		log->block_sectors = head->block_sectors;
	}
	/* No page of a live log says so, wherever it may lie. */
	if (head->state != COW_LOG_CHECKPOINT)
		log->state = head->state;
	if (!is_slot1(head, sector))
		return 0;
	log->nr_slot1++;
	if (!log->page)
		log->page = cow_zalloc(sizeof(*log->page));
	if (!log->page)
		return -ENOMEM;
	memcpy(log->page, page, sizeof(*log->page));
	log->head = *head;
	log->slot1 = sector;
	return 0;
}

/* Is it a page of a log, if perhaps of a device of another size? */
static bool decode(const struct cow_disk_page *page, u64 sectors,
		   struct cow_head *head)
{
	enum cow_log_error error = cow_head_decode(page, sectors, head);

	if (error == COW_LOG_WRONG_SIZE)
		error = cow_head_decode(page, head->device_sectors, head);
	return !error;
}

static int look_at(struct scan *scan, const struct bow_dev *dev, u64 sector,
		   u32 sectors)
{
	const u8 *at = scan->buf;
	struct cow_head head;
	u32 i;
	int r = 0;

	scan->read_sectors += sectors;
	for (i = 0; i + COW_PAGE_SECTORS <= sectors && !r; i += COW_PAGE_SECTORS) {
		const void *page = at + ((size_t)i << 9);

		if (memcmp(page, COW_LOG_MAGIC, COW_LOG_MAGIC_SIZE))
			continue;
		if (decode(page, dev->io.sectors, &head))
			r = note_page(scan, page, &head, sector + i);
		else if (sector + i && !scan->bad_pages++)
			scan->bad_page = sector + i;
	}
	return r;
}

/* Where a chunk can not be read, parts of it may be. */
static int look_closely(struct scan *scan, struct bow_dev *dev, u64 sector,
			u32 sectors)
{
	u32 i;
	int r = 0;

	for (i = 0; i < sectors && !r; i += COW_PAGE_SECTORS) {
		u32 part = min(sectors - i, (u32)COW_PAGE_SECTORS);

		if (bow_dev_read_quietly(dev, sector + i, scan->buf, part))
			scan->bad_sectors += part;
		else
			r = look_at(scan, dev, sector + i, part);
	}
	return r;
}

/* The next sector that is worth reading: files have holes. */
static u64 skip_hole(const struct bow_dev *dev, u64 sector)
{
	off_t data;

	if (dev->block)
		return sector;
	data = lseek(dev->fd, (off_t)(sector << 9), SEEK_DATA);
	if (data < 0)	/* nothing but a hole; or such questions are not answered */
		return errno == ENXIO ? dev->io.sectors : sector;
	return max(sector, ((u64)data >> 9) & ~(u64)(COW_PAGE_SECTORS - 1));
}

void scan_warn(const struct scan *scan, const char *path)
{
	if (scan->bad_sectors)
		warn_msg("%s: %llu sectors could not be read", path,
			 (unsigned long long)scan->bad_sectors);
	if (scan->bad_pages)
		warn_msg("%s: log pages with a damaged header: %llu, the first one at sector %llu",
			 path, (unsigned long long)scan->bad_pages,
			 (unsigned long long)scan->bad_page);
}

static int read_all(struct scan *scan, struct bow_dev *dev, u64 sector,
		    struct progress *progress)
{
	int r = 0;

	while (!r && (sector = skip_hole(dev, sector)) < dev->io.sectors) {
		u32 sectors = min_t(u64, CHUNK_SECTORS, dev->io.sectors - sector);

		if (bow_dev_read_quietly(dev, sector, scan->buf, sectors))
			r = look_closely(scan, dev, sector, sectors);
		else
			r = look_at(scan, dev, sector, sectors);
		sector += sectors;
		progress_set(progress, sector);
	}
	return r;
}

int scan_run(struct scan *scan, struct bow_dev *dev, u64 start, bool quiet)
{
	struct progress progress;
	int r = -ENOMEM;

	memset(scan, 0, sizeof(*scan));
	scan->logs = cow_zalloc(SCAN_MAX_LOGS * sizeof(*scan->logs));
	scan->buf = aligned_alloc(CHUNK_ALIGN, (size_t)CHUNK_SECTORS << 9);
	progress_start(&progress, "scanning", dev->io.sectors, quiet);
	if (scan->logs && scan->buf)
		r = read_all(scan, dev, start & ~(u64)(COW_PAGE_SECTORS - 1),
			     &progress);
	progress_end(&progress);
	free(scan->buf);
	scan->buf = NULL;
	return r ? fail(BOW_SYSTEM, "out of memory") : 0;
}

void scan_exit(struct scan *scan)
{
	size_t i;

	for (i = 0; i < scan->nr; i++)
		cow_free(scan->logs[i].page);
	cow_free(scan->logs);
	scan->logs = NULL;
	scan->nr = 0;
}
