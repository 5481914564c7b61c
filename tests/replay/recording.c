// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The log of dm-log-writes: a sector that says what this is, then for each
 * entry a sector that says where the data belongs, followed by the data. An
 * entry is there when it has completed; a flush stands behind the writes that
 * had completed when it was sent.
 *
 * A mark sent to dm-log-writes overtakes writes that await a flush, and where
 * nothing is flushed it overtakes all of them. So the script marks its steps by
 * writes to the one block that lies behind bow's device.
 *
 * Where the disk is an origin and its store, the sector of a flush tells which of
 * them it was sent to, see record.sh.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replay.h"

#define LOG_MAGIC 0x6a736677736872ULL
#define MARK_SECTORS 8U
#define MARK_TEXT "dm-cow replay: "

struct log_super {
	__le64 magic;
	__le64 version;
	__le64 nr_entries;
	__le32 sectorsize;
};

struct log_entry {
	__le64 sector;
	__le64 nr_sectors;
	__le64 flags;
	__le64 data_len;
};

static const char *const point_names[NR_POINTS] = {
	[POINT_TAKE] = "take",
	[POINT_TAKEN] = "taken",
	[POINT_COMMIT] = "commit",
	[POINT_COMMITTED] = "committed",
};

static const u8 *map_file(const char *path, u64 *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st))
		die("%s: %s", path, strerror(errno));
	*size = (u64)st.st_size;
	p = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		die("%s: %s", path, strerror(errno));
	close(fd);
	return p;
}

static bool says(const u8 *data, const char *step)
{
	size_t len = strlen(MARK_TEXT), n = strlen(step);

	return !memcmp(data + len, step, n) && data[len + n] == '\n';
}

/* A write to the block behind the device: which step is it? */
static void note_point(struct recording *rec, const u8 *data, u32 index)
{
	unsigned int i;

	if (memcmp(data, MARK_TEXT, strlen(MARK_TEXT)))
		die("%s: entry %u lies behind the device", rec->path, index);
	if (says(data, "suspend"))
		rec->suspended = ENTRY_GAP;
	if (says(data, "resumed"))
		rec->suspended = 0;
	for (i = 0; i < NR_POINTS; i++) {
		if (!says(data, point_names[i]))
			continue;
		if (rec->point[i] != NOWHERE)
			die("%s: mark %s twice", rec->path, point_names[i]);
		rec->point[i] = index;
	}
}

static void note_entry(struct recording *rec, const struct log_entry *disk,
		       const u8 *data)
{
	struct entry *entry = &rec->entries[rec->nr];
	u64 sector = le64_to_cpu(disk->sector), nr = le64_to_cpu(disk->nr_sectors);

	entry->flags = (u32)le64_to_cpu(disk->flags);
	entry->data = entry->flags & ENTRY_DISCARD ? NULL : data;
	if (sector + nr > rec->sectors + MARK_SECTORS)
		die("%s: entry %u: sector %llu of %u", rec->path, rec->nr,
		    (unsigned long long)sector, rec->sectors);
	entry->sector = (u32)sector;
	entry->nr = (u32)nr;
	rec->flushes += !!(entry->flags & ENTRY_FLUSH);
	rec->fuas += !!(entry->flags & ENTRY_FUA);
	if (nr && sector + nr > rec->sectors) {
		note_point(rec, data, rec->nr);
		entry->nr = 0;	/* nothing to be written */
	}
	entry->flags |= rec->suspended;
	rec->nr++;
}

static void check_points(const struct recording *rec)
{
	unsigned int i;

	for (i = 0; i < NR_POINTS; i++) {
		if (rec->point[i] == NOWHERE)
			die("%s: there is no mark '%s'", rec->path, point_names[i]);
		if (i && rec->point[i] < rec->point[i - 1])
			die("%s: mark '%s' is too early", rec->path, point_names[i]);
	}
}

void recording_open(struct recording *rec, const char *path, u64 device_bytes)
{
	const struct log_super *super;
	u64 size, at = SECTOR, i, entries;
	const u8 *log = map_file(path, &size);

	rec->path = path;
	rec->sectors = (u32)(device_bytes / SECTOR) - MARK_SECTORS;
	if (!rec->origin_sectors)
		rec->origin_sectors = rec->sectors;
	memset(rec->point, 0xff, sizeof(rec->point));
	super = (const struct log_super *)log;
	if (size < SECTOR || le64_to_cpu(super->magic) != LOG_MAGIC ||
	    le64_to_cpu(super->version) != 1 || le32_to_cpu(super->sectorsize) != SECTOR)
		die("%s is no log of dm-log-writes with sectors of %u bytes", path, SECTOR);
	entries = le64_to_cpu(super->nr_entries);
	if (entries > size / SECTOR)
		die("%s: %llu entries in %llu bytes", path, (unsigned long long)entries,
		    (unsigned long long)size);
	rec->entries = need(entries * sizeof(*rec->entries));
	for (i = 0; i < entries; i++) {
		const struct log_entry *entry = (const struct log_entry *)(log + at);
		u64 data, flags;

		if (at + SECTOR > size)
			die("%s: cut off at entry %llu", path, (unsigned long long)i);
		flags = le64_to_cpu(entry->flags);
		data = flags & (ENTRY_MARK | ENTRY_DISCARD) ? 0 :
			le64_to_cpu(entry->nr_sectors) * SECTOR;
		at += SECTOR;
		if (data > size || at + data > size)
			die("%s: cut off in entry %llu", path, (unsigned long long)i);
		if (!(flags & ENTRY_MARK))
			note_entry(rec, entry, log + at);
		at += data;
	}
	check_points(rec);
}
