// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading a log offline, judging it, and ending it one way or the other.
 */
#include <errno.h>

#include "command.h"
#include "dm-cow-finish.h"
#include "offline.h"

const char *log_state_name(u32 state)
{
	switch (state) {
	case COW_LOG_CHECKPOINT:
		return "checkpoint";
	case COW_LOG_COMMITTING:
		return "committing";
	case COW_LOG_RESTORING:
		return "restoring";
	}
	return "unknown";
}

int offline_open(struct offline *off, const char *path, bool writable)
{
	int status;

	memset(off, 0, sizeof(*off));
	status = bow_dev_open(&off->dev, path, writable);
	if (status)
		return status;
	if (!cow_picture_init(&off->pic, &off->dev.io))
		return 0;
	bow_dev_close(&off->dev);
	return fail(BOW_SYSTEM, "out of memory");
}

/* ---- an origin and its store ---------------------------------------------- */

static struct offline *to_offline(struct cow_io *io)
{
	return container_of(io, struct offline, both);
}

static struct cow_io *side(struct offline *off, u64 *sector)
{
	if (*sector < COW_ORIGIN_BASE)
		return off->store_io;
	*sector -= COW_ORIGIN_BASE;
	return &off->dev.io;
}

static int both_read(struct cow_io *io, u64 sector, void *buf, u32 sectors)
{
	struct cow_io *one = side(to_offline(io), &sector);

	return cow_read(one, sector, buf, sectors);
}

static int both_write(struct cow_io *io, u64 sector, const void *buf, u32 sectors)
{
	struct offline *off = to_offline(io);
	struct cow_io *one = side(off, &sector);
	int r = cow_write(one, sector, buf, sectors);

	if (!r)
		count_step(&off->writes, off->stop_after, "writes");
	return r;
}

static int both_flush(struct cow_io *io)
{
	struct offline *off = to_offline(io);
	int r = cow_flush(off->store_io);

	return r ? r : cow_flush(&off->dev.io);
}

/* Of a store inside the origin each piece is somewhere else: one after the other. */
static int both_copy(struct cow_io *io, u64 from, u64 to, u32 sectors)
{
	struct offline *off = to_offline(io);

	if (off->store_io != &off->store.io || off->stop_after ||
	    from >= COW_ORIGIN_BASE || to < COW_ORIGIN_BASE)
		return -EOPNOTSUPP;
	return bow_dev_copy(&off->store, from, &off->dev, to - COW_ORIGIN_BASE, sectors);
}

static const struct cow_io_ops both_ops = {
	.read = both_read,
	.write = both_write,
	.flush = both_flush,
	.copy = both_copy,
};

static int open_both(struct offline *off, const char *path, const char *store,
		     bool writable)
{
	int status = bow_dev_open(&off->store, store, writable);

	if (status)
		return status;
	status = bow_dev_open(&off->dev, path, writable);
	if (status)
		bow_dev_close(&off->store);
	return status;
}

static int put_together(struct offline *off, struct cow_io *store)
{
	off->store_io = store;
	off->both.ops = &both_ops;
	off->both.sectors = COW_ORIGIN_BASE + off->dev.io.sectors;
	off->both.store_sectors = store->sectors;
	off->both.atomic_sectors = store->atomic_sectors;
	return cow_picture_init(&off->pic, &off->both) ? fail(BOW_SYSTEM, "out of memory") : 0;
}

int offline_open_apart(struct offline *off, const char *path, const char *store,
		       bool writable)
{
	int status;

	memset(off, 0, sizeof(*off));
	status = open_both(off, path, store, writable);
	if (status)
		return status;
	if (off->store.io.sectors < COW_PAGE_SECTORS || !off->dev.io.sectors)
		status = fail(BOW_REFUSED, "%s is too small to be a store of %s", store, path);
	else
		status = put_together(off, &off->store.io);
	if (!status)
		return 0;
	bow_dev_close(&off->dev);
	bow_dev_close(&off->store);
	return status;
}

int offline_open_inside(struct offline *off, const char *path, u64 sector, bool writable)
{
	int status;

	memset(off, 0, sizeof(*off));
	status = bow_dev_open(&off->dev, path, writable);
	if (status)
		return status;
	status = inside_open(&off->inside, &off->dev, sector);
	if (!status)
		status = put_together(off, &off->inside.io);
	if (!status)
		return 0;
	inside_close(&off->inside);
	bow_dev_close(&off->dev);
	return status;
}

/* ---- reading --------------------------------------------------------------- */

void offline_close(struct offline *off)
{
	cow_picture_exit(&off->pic);
	scan_exit(&off->scan);
	cow_free(off->page0);
	inside_close(&off->inside);
	bow_dev_close(&off->dev);
	if (off->store.path)
		bow_dev_close(&off->store);
}

void offline_keep(struct offline *off, u64 bytes)
{
	bow_dev_keep(off->store.path ? &off->store : &off->dev, bytes);
}

static void on_checked(struct cow_picture *pic, u64 sectors)
{
	progress_set(pic->progress_data, sectors);
}

static int count_sectors(void *data, u64 __always_unused from,
			 u64 __always_unused to, u32 sectors)
{
	*(u64 *)data += sectors;
	return 0;
}

static int meets_store(void *data, u64 __always_unused from, u64 to, u32 sectors)
{
	return inside_has(data, to - COW_ORIGIN_BASE, sectors);
}

/* A record that counts only as long as its source is what it was. */
static bool intact_meets_store(struct offline *off)
{
	struct cow_picture *pic = &off->pic;
	struct cow_range *range;

	for (range = cow_ranges_first(&pic->intact); range; range = cow_ranges_next(range))
		if (meets_store(&off->inside, 0, cow_block_to_sector(&pic->geo, range->start),
				cow_run_sectors(&pic->geo, range->start, range->nr)))
			return true;
	return false;
}

/*
 * What a rollback reads from it must not write to, nor to what says where the store is:
 * what it does first would change what it does next, or what is done if it is cut.
 */
static enum cow_log_error check_inside(struct offline *off)
{
	if (!off->inside.nr)
		return COW_LOG_OK;
	if (off->pic.log.head.slot1 < INSIDE_FIRST_PLACE)
		return COW_LOG_BAD_GEOMETRY;
	if (intact_meets_store(off) ||
	    cow_picture_each_original(&off->pic, meets_store, &off->inside))
		return COW_LOG_OVERLAP;
	return COW_LOG_OK;
}

int offline_read(struct offline *off, enum cow_picture_depth depth, bool quiet)
{
	double start = now_ms();

	off->pic.visit = off->visit;
	off->pic.visit_data = off->visit_data;
	off->pic.progress = on_checked;
	off->pic.progress_data = &off->progress;
	progress_start(&off->progress, "checking", 0, quiet);
	off->error = cow_picture_read(&off->pic, depth);
	progress_end(&off->progress);
	off->verify_ms = now_ms() - start;
	if (off->error == COW_LOG_IO)	/* told where it happened */
		return BOW_SYSTEM;
	if (off->error == COW_LOG_NO_MEMORY)
		return fail(BOW_SYSTEM, "out of memory");
	if (!off->error)
		off->error = check_inside(off);
	off->has_log = off->error != COW_LOG_NO_MAGIC;
	off->has_tail = off->pic.has_tail;
	if (!off->error)
		cow_picture_each_original(&off->pic, count_sectors,
					  &off->restore_sectors);
	return 0;
}

int offline_read_again(struct offline *off, enum cow_picture_depth depth,
		       bool quiet)
{
	struct cow_io *io = off->pic.io;

	cow_picture_exit(&off->pic);
	if (cow_picture_init(&off->pic, io))
		return fail(BOW_SYSTEM, "out of memory");
	off->restore_sectors = 0;
	return offline_read(off, depth, quiet);
}

bool offline_committing(const struct offline *off)
{
	return off->has_tail && off->pic.log.head.state == COW_LOG_COMMITTING;
}

bool offline_good(const struct offline *off)
{
	return off->has_log && (!off->error || offline_committing(off));
}

int offline_complain(const struct offline *off)
{
	const struct cow_complaint *complaint = &off->pic.complaint;
	char where[128] = "";

	if (complaint->record >= 0)
		snprintf(where, sizeof(where), ", record %d, source sector %llu",
			 complaint->record, (unsigned long long)(complaint->source % COW_ORIGIN_BASE));
	error_msg("%s: log damaged: %s (page %llu at sector %llu%s); nothing was written",
		  off->store.path ? off->store.path : off->dev.path, cow_log_strerror(off->error),
		  (unsigned long long)complaint->sequence,
		  (unsigned long long)complaint->page_sector, where);
	return BOW_DAMAGED;
}

int offline_refuse_read_only(const struct offline *off)
{
	if (!off->pic.log.read_only)
		return 0;
	return fail(BOW_REFUSED, "%s: log %s: use the version that made it; nothing was written",
		    off->dev.path, cow_log_strerror(COW_LOG_READ_ONLY));
}

/* Nothing is written as long as one live copy cannot be read. */
static int read_live_copies(struct offline *off)
{
	const struct cow_head *head = &off->pic.log.head;
	int r = 0;
	u32 i;

	for (i = 0; i < head->hidden_count && !r; i++)
		r = cow_read(off->pic.io, head->hidden[i].live, off->pic.buf,
			     off->pic.geo.block_sectors);
	return r;
}

static int half_done(const struct offline *off, int r)
{
	return fail(BOW_SYSTEM, "%s: stopped: %s; nothing is lost, run the same command again",
		    off->dev.path, strerror(-r));
}

int offline_commit(struct offline *off)
{
	int r = read_live_copies(off);

	if (!r)
		r = cow_commit(&off->pic.log, &off->pic.geo, off->pic.io,
			       off->pic.buf);
	return r ? half_done(off, r) : 0;
}

static void on_restored(void *data, u64 done)
{
	progress_set(data, done);
}

int offline_restore(struct offline *off, bool quiet)
{
	int r;

	progress_start(&off->progress, "restoring", off->restore_sectors, quiet);
	r = cow_restore(&off->pic, on_restored, &off->progress);
	progress_end(&off->progress);
	return r ? half_done(off, r) : 0;
}

static void print_size(const char *what, u64 bytes)
{
	char text[SIZE_TEXT];

	printf("%-16s %s (%llu bytes)\n", what, format_size(text, bytes),
	       (unsigned long long)bytes);
}

static void print_count(const char *what, u64 number)
{
	printf("%-16s %llu\n", what, (unsigned long long)number);
}

static u64 free_bytes(const struct offline *off)
{
	struct cow_range *range;
	u64 blocks = 0;

	for (range = cow_ranges_first(&off->pic.free); range;
	     range = cow_ranges_next(range))
		blocks += range->nr;
	return blocks * off->pic.geo.block_sectors << 9;
}

static u64 device_bytes(const struct cow_head *head)
{
	return (head->device_sectors - (cow_head_apart(head) ? COW_ORIGIN_BASE : 0)) << 9;
}

void offline_print(const struct offline *off)
{
	const struct cow_picture *pic = &off->pic;
	const struct cow_head *head = &pic->log.head;
	char uuid[UUID_TEXT], time[TIME_TEXT];

	printf("%-16s %s\n", "state", log_state_name(head->state));
	printf("%-16s %s\n", "taken", format_time(time, head->time));
	printf("%-16s %s\n", "uuid", format_uuid(uuid, head->uuid));
	print_size("device", device_bytes(head));
	if (cow_head_apart(head))
		print_size("used of store", head->store_sectors << 9);
	print_size("block size", (u64)head->block_sectors << 9);
	print_count("generation", head->generation);
	print_count("pages", pic->nr_pages);
	print_count("backups", pic->nr_backups);
	print_count("hidden blocks", head->hidden_count);
	print_count("voids", pic->nr_void_records);
	print_count("pending voids", pic->nr_voids);
	printf("%-16s %s\n", "dropped tail", pic->dropped_tail ? "yes" : "no");
	print_size("backed up", pic->backup_sectors << 9);
	print_size("to restore", off->restore_sectors << 9);
	print_size("free map", free_bytes(off));
}

struct json_object *offline_json(const struct offline *off)
{
	const struct cow_picture *pic = &off->pic;
	const struct cow_head *head = &pic->log.head;
	struct json_object *obj = json_object_new_object();
	char uuid[UUID_TEXT], time[TIME_TEXT];

	json_add_string(obj, "state", log_state_name(head->state));
	json_add_number(obj, "time", head->time);
	json_add_string(obj, "time_text", format_time(time, head->time));
	json_add_string(obj, "uuid", format_uuid(uuid, head->uuid));
	json_add_number(obj, "device_bytes", device_bytes(head));
	if (cow_head_apart(head))
		json_add_number(obj, "store_used_bytes", head->store_sectors << 9);
	json_add_number(obj, "block_bytes", (u64)head->block_sectors << 9);
	json_add_number(obj, "generation", head->generation);
	json_add_number(obj, "sequence", head->sequence);
	json_add_number(obj, "pages", pic->nr_pages);
	json_add_number(obj, "backups", pic->nr_backups);
	json_add_number(obj, "hidden_blocks", head->hidden_count);
	json_add_number(obj, "voids", pic->nr_void_records);
	json_add_number(obj, "pending_voids", pic->nr_voids);
	json_add_bool(obj, "dropped_tail", pic->dropped_tail);
	json_add_bool(obj, "read_only", pic->log.read_only);
	json_add_number(obj, "backup_bytes", pic->backup_sectors << 9);
	json_add_number(obj, "restore_bytes", off->restore_sectors << 9);
	json_add_number(obj, "free_bytes", free_bytes(off));
	return obj;
}

struct json_object *offline_json_error(const struct offline *off)
{
	const struct cow_complaint *complaint = &off->pic.complaint;
	struct json_object *obj;

	if (!off->has_log || !off->error)
		return NULL;
	obj = json_object_new_object();
	json_add_number(obj, "code", off->error);
	json_add_string(obj, "text", cow_log_strerror(off->error));
	json_add_number(obj, "page_sector", complaint->page_sector);
	json_add_number(obj, "sequence", complaint->sequence);
	if (complaint->record >= 0) {
		json_add_number(obj, "record", (u64)complaint->record);
		json_add_number(obj, "source", complaint->source % COW_ORIGIN_BASE);
	}
	return obj;
}
