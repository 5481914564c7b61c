// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A log without block 0: what is to be thought of it, and how it gets its
 * header back.
 */
#include <uuid/uuid.h>

#include "command.h"
#include "rescue.h"

/* No version in a block 0 that is lost can have been younger than that. */
#define GENERATION_GAP 16

#define GLANCE_SECTORS 32768U	/* 16 MiB */

bool rescue_needed(const struct offline *off)
{
	return off->error == COW_LOG_NO_MAGIC || off->error == COW_LOG_BAD_HEADER ||
	       off->error == COW_LOG_OVERWRITTEN;
}

int rescue_option(const struct command *cmd, struct rescue *rescue, int option)
{
	switch (option) {
	case OPT_SCAN:
		rescue->scan = true;
		return -1;
	case OPT_UUID:
		rescue->has_uuid = !uuid_parse(optarg, rescue->uuid);
		if (rescue->has_uuid)
			return -1;
		return bow_usage_error(cmd, "--uuid wants a uuid");
	}
	return bow_common_option(cmd, option);
}

/* ---- judging ---------------------------------------------------------------- */

/* What block 0 would hold if slot 0 had been written last. */
static void make_page0(struct offline *off, const struct scan_log *log, u32 state)
{
	struct cow_head head = log->head;

	head.state = state;
	head.features_compat = 0;
	head.generation += GENERATION_GAP;
	memcpy(off->page0, log->page, sizeof(*off->page0));
	cow_page_encode(off->page0, &head);
}

int rescue_read(struct offline *off, struct scan_log *log, bool quiet)
{
	if (!off->page0)
		off->page0 = cow_zalloc(sizeof(*off->page0));
	if (!off->page0)
		return fail(BOW_SYSTEM, "out of memory");
	make_page0(off, log, log->head.state);
	off->dev.page0 = off->page0;
	off->found = log;
	return offline_read_again(off, COW_CHECK_ALL, quiet);
}

/* They were blanked when the checkpoint was taken, and nobody had to write there. */
static bool hidden_blank(struct offline *off)
{
	const struct cow_head *head = &off->pic.log.head;
	size_t len = (size_t)head->block_sectors << 9;
	const u8 *buf = off->pic.buf;
	u32 i;

	for (i = 1; i < head->hidden_count; i++)
		if (cow_read(&off->dev.io, head->hidden[i].source, off->pic.buf,
			     head->block_sectors) ||
		    *buf || memcmp(buf, buf + 1, len - 1))
			return false;
	return true;
}

/* A checkpoint is taken only where no log is live. */
static bool outdated(const struct offline *off, const struct scan_log *log)
{
	size_t i;

	for (i = 0; i < off->scan.nr; i++) {
		const struct scan_log *other = &off->scan.logs[i];

		if (other != log && other->device_sectors == log->device_sectors &&
		    other->time >= log->time)
			return true;
	}
	return false;
}

static int judge_whole(struct offline *off, struct scan_log *log, bool quiet)
{
	int status = rescue_read(off, log, quiet);

	if (status)
		return status;
	log->error = off->error;
	log->restore_sectors = off->restore_sectors;
	log->maybe_old = true;
	log->outdated = outdated(off, log);
	if (!off->error)
		log->hidden_written = !hidden_blank(off);
	log->verdict = off->error ? SCAN_DAMAGED : SCAN_GOOD;
	if (!off->error && (log->maybe_old || log->hidden_written || log->outdated))
		log->verdict = SCAN_INCOMPLETE;
	return 0;
}

static int judge(struct offline *off, struct scan_log *log, bool quiet)
{
	if (log->device_sectors != off->dev.io.sectors)
		log->verdict = SCAN_WRONG_SIZE;
	else if (log->state != COW_LOG_CHECKPOINT)
		log->verdict = SCAN_ENDED;
	else if (log->nr_slot1 != 1)
		log->verdict = SCAN_NO_SLOT1;
	else
		return judge_whole(off, log, quiet);
	return 0;
}

/* As if block 0 had just been read and no log been found. */
static void forget(struct offline *off)
{
	off->dev.page0 = NULL;
	off->found = NULL;
	off->has_log = false;
	off->has_tail = false;
}

int rescue_find(struct offline *off, bool quiet)
{
	enum cow_log_error error = off->error;
	bool has_log = off->has_log;
	int status = scan_run(&off->scan, &off->dev, 0, quiet);
	size_t i;

	off->scanned = true;
	scan_warn(&off->scan, off->dev.path);
	for (i = 0; i < off->scan.nr && !status; i++)
		status = judge(off, &off->scan.logs[i], quiet);
	forget(off);
	off->error = error;
	off->has_log = has_log;
	return status;
}

/* ---- choosing --------------------------------------------------------------- */

static bool is_named(const struct scan_log *log, const struct rescue *rescue)
{
	return !rescue->has_uuid ||
	       !memcmp(log->uuid, rescue->uuid, sizeof(log->uuid));
}

struct scan_log *rescue_pick(struct offline *off, const struct rescue *rescue)
{
	struct scan_log *found = NULL;
	size_t i;

	for (i = 0; i < off->scan.nr; i++) {
		struct scan_log *log = &off->scan.logs[i];

		if (!is_named(log, rescue))
			continue;
		if (found)
			return NULL;
		found = log;
	}
	return found;
}

static const char *reason(const struct scan_log *log)
{
	switch (log->verdict) {
	case SCAN_GOOD:
		return "complete";
	case SCAN_INCOMPLETE:
		return log->outdated ?
			"a younger checkpoint has been taken on this device since" :
			log->hidden_written ?
			"somebody has written to more blocks than block 0; whatever lay there before and had not been saved yet cannot be brought back" :
			"block 0 may have held a newer page; if so, blocks that were overwritten last would not be brought back";
	case SCAN_DAMAGED:
		return cow_log_strerror(log->error);
	case SCAN_WRONG_SIZE:
		return cow_log_strerror(COW_LOG_WRONG_SIZE);
	case SCAN_NO_SLOT1:
		return "its slot 1 is not there; it cannot be told from a log that has ended long ago";
	case SCAN_ENDED:
		return log->state == COW_LOG_COMMITTING ?
			"it was committed, or was being committed; block 0 may be newer than this log" :
			"it was rolled back, or was being rolled back; block 0 may be newer than this log";
	}
	return "unknown";
}

static int refuse(const struct offline *off, const struct scan_log *log)
{
	char uuid[UUID_TEXT];
	int status = log->verdict == SCAN_DAMAGED ||
		     log->verdict == SCAN_WRONG_SIZE ? BOW_DAMAGED : BOW_REFUSED;

	error_msg("%s: log %s is not used: %s; nothing was written",
		  off->dev.path, format_uuid(uuid, log->uuid), reason(log));
	if (log->verdict == SCAN_INCOMPLETE)
		error_msg("to use it as it is: --force-incomplete");
	else if (log->verdict == SCAN_DAMAGED)
		error_msg("so it looks if block 0 held a newer page of the log, too");
	return status;
}

static int refuse_many(const struct offline *off, unsigned int nr)
{
	return fail(BOW_REFUSED, "%s: %u logs may be meant; choose one with --uuid; nothing was written",
		    off->dev.path, nr);
}

/* The best there is; how many are as good as that, or may be meant, in @nr. */
static struct scan_log *find_best(struct offline *off, const struct rescue *rescue,
				  unsigned int *nr)
{
	struct scan_log *best = NULL;
	size_t i;

	*nr = 0;
	for (i = 0; i < off->scan.nr; i++) {
		struct scan_log *log = &off->scan.logs[i];

		if (!is_named(log, rescue))
			continue;
		if (!best || log->verdict < best->verdict)
			best = log;
		/* One that was not looked for may be live too. */
		*nr += log->verdict <= SCAN_DAMAGED;
	}
	return best;
}

static int choose(struct offline *off, const struct rescue *rescue)
{
	struct scan_log *best;
	unsigned int nr;

	best = find_best(off, rescue, &nr);
	if (!best && rescue->has_uuid)
		return fail(BOW_REFUSED, "%s: there is no log with this uuid",
			    off->dev.path);
	if (!best)
		return 0;
	if (off->scan.too_many)
		return fail(BOW_REFUSED, "%s: pages of more than %u logs; this is no accident",
			    off->dev.path, SCAN_MAX_LOGS);
	if (nr > 1)
		return refuse_many(off, nr);
	if (best->verdict > SCAN_INCOMPLETE ||
	    (best->verdict == SCAN_INCOMPLETE && !rescue->incomplete))
		return refuse(off, best);
	return rescue_read(off, best, true);
}

/* ---- the header comes back --------------------------------------------------- */

int rescue_adopt(struct offline *off, u32 state)
{
	struct cow_log *log = &off->pic.log;
	struct cow_io *io = &off->dev.io;
	u32 first = io->atomic_sectors;
	int r = 0;

	/* With that state nobody but ourselves goes on from here. */
	make_page0(off, off->found, state);
	if (first < COW_PAGE_SECTORS)
		r = cow_write(io, first, (const u8 *)off->page0 + (first << 9),
			      COW_PAGE_SECTORS - first);
	/* The header last: until then it is for a scan to find the log. */
	if (!r)
		r = cow_flush(io);
	if (!r)
		r = cow_write(io, 0, off->page0, first);
	if (!r)
		r = cow_flush(io);
	off->dev.page0 = NULL;
	log->head.state = state;
	return r ? fail(BOW_SYSTEM, "%s: block 0 cannot be written: %s",
			off->dev.path, strerror(-r)) : 0;
}

/* ---- without a scan ---------------------------------------------------------- */

/* Is this a log of this device that nobody has ended? */
static bool is_live(const struct offline *off, const struct scan_log *log)
{
	return log->nr_slot1 && log->state == COW_LOG_CHECKPOINT &&
	       log->device_sectors == off->dev.io.sectors;
}

static int glance(struct offline *off)
{
	u64 sectors = off->dev.io.sectors;
	u64 start = sectors - min_t(u64, sectors, GLANCE_SECTORS);
	int status = scan_run(&off->scan, &off->dev, start, true);
	size_t i;

	for (i = 0; i < off->scan.nr && !status; i++)
		if (is_live(off, &off->scan.logs[i]))
			status = fail(BOW_REFUSED, "%s: block 0 carries no log, but a log that has not ended has a page at sector %llu: something has written past the bow device. 'bow check --scan %s' says more, 'bow restore --scan' uses it, 'bow restore --discard-log' forgets it",
				      off->dev.path,
				      (unsigned long long)off->scan.logs[i].slot1,
				      off->dev.path);
	scan_exit(&off->scan);
	return status;
}

int rescue_look(struct offline *off, const struct rescue *rescue, bool quiet)
{
	int status;

	if (!rescue_needed(off))
		return 0;
	if (!rescue->scan)
		return off->has_log ? 0 : glance(off);
	status = rescue_find(off, quiet);
	if (!status && !quiet && off->scan.nr)
		rescue_print(off);
	return status ? status : choose(off, rescue);
}

/* ---- giving up --------------------------------------------------------------- */

static int erase(struct offline *off, u64 sector, bool dry_run, u64 *erased)
{
	u32 sectors = off->dev.io.atomic_sectors;
	int r = 0;

	memset(off->pic.buf, 0, (size_t)sectors << 9);
	if (!dry_run)
		r = cow_write(&off->dev.io, sector, off->pic.buf, sectors);
	++*erased;
	return r;
}

int rescue_discard(struct offline *off, bool dry_run, u64 *erased)
{
	size_t i;
	int r = 0;

	*erased = 0;
	/* Slot 1 first: with block 0 alone it would still be found. */
	for (i = 0; i < off->scan.nr && !r; i++)
		if (is_live(off, &off->scan.logs[i]))
			r = erase(off, off->scan.logs[i].slot1, dry_run, erased);
	if (!r)
		r = cow_flush(&off->dev.io);
	if (!r && off->has_log)
		r = erase(off, 0, dry_run, erased);
	if (!r)
		r = cow_flush(&off->dev.io);
	return r ? fail(BOW_SYSTEM, "%s: %s", off->dev.path, strerror(-r)) : 0;
}

/* ---- reports ------------------------------------------------------------------ */

static const char * const verdict_names[] = {
	[SCAN_GOOD] = "good",
	[SCAN_INCOMPLETE] = "incomplete",
	[SCAN_DAMAGED] = "damaged",
	[SCAN_WRONG_SIZE] = "wrong-size",
	[SCAN_NO_SLOT1] = "no-slot-1",
	[SCAN_ENDED] = "ended",
};

static void print_log(const struct scan_log *log)
{
	char uuid[UUID_TEXT], time[TIME_TEXT], size[SIZE_TEXT], block[SIZE_TEXT];

	printf("log %s\n", format_uuid(uuid, log->uuid));
	printf("  taken       %s\n", format_time(time, log->time));
	printf("  state       %s\n", log_state_name(log->state));
	printf("  device      %s, blocks of %s\n",
	       format_size(size, log->device_sectors << 9),
	       format_size(block, (u64)log->block_sectors << 9));
	printf("  pages       %llu, newest generation %llu\n",
	       (unsigned long long)log->pages, (unsigned long long)log->generation);
	if (log->nr_slot1)
		printf("  slot 1      sector %llu\n", (unsigned long long)log->slot1);
	if (log->verdict <= SCAN_INCOMPLETE)
		printf("  to restore  %s\n",
		       format_size(size, log->restore_sectors << 9));
	printf("  verdict     %s: %s\n", verdict_names[log->verdict], reason(log));
}

void rescue_print(const struct offline *off)
{
	size_t i;

	printf("%s: block 0 carries no header; logs found: %zu%s\n", off->dev.path,
	       off->scan.nr, off->scan.too_many ? ", and more" : "");
	for (i = 0; i < off->scan.nr; i++)
		print_log(&off->scan.logs[i]);
}

static struct json_object *log_json(const struct scan_log *log)
{
	struct json_object *obj = json_object_new_object();
	char uuid[UUID_TEXT];

	json_add_string(obj, "uuid", format_uuid(uuid, log->uuid));
	json_add_string(obj, "verdict", verdict_names[log->verdict]);
	json_add_string(obj, "reason", reason(log));
	json_add_string(obj, "state", log_state_name(log->state));
	json_add_number(obj, "time", log->time);
	json_add_number(obj, "device_bytes", log->device_sectors << 9);
	json_add_number(obj, "block_bytes", (u64)log->block_sectors << 9);
	json_add_number(obj, "pages", log->pages);
	json_add_number(obj, "generation", log->generation);
	if (log->nr_slot1)
		json_add_number(obj, "slot1", log->slot1);
	if (log->verdict <= SCAN_INCOMPLETE) {
		json_add_number(obj, "restore_bytes", log->restore_sectors << 9);
		json_add_bool(obj, "maybe_old", log->maybe_old);
		json_add_bool(obj, "hidden_written", log->hidden_written);
		json_add_bool(obj, "outdated", log->outdated);
	}
	return obj;
}

struct json_object *rescue_json(const struct offline *off)
{
	struct json_object *list;
	size_t i;

	if (!off->scanned)
		return NULL;
	list = json_object_new_array();
	for (i = 0; i < off->scan.nr; i++)
		json_object_array_add(list, log_json(&off->scan.logs[i]));
	return list;
}
