// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libdevmapper wrappers: one task each, with udev cookies.
 */
#include <errno.h>
#include <libdevmapper.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "command.h"
#include "dm.h"

/* ---- messages of the library ---------------------------------------------- */

/*
 * The library would write to stderr, which may lead to a file on the device
 * that is suspended just then. Keep what it says until somebody asks.
 */
static char log_text[2048];
static size_t log_used;

static void keep_log(int level, const char *file __always_unused,
		     int line __always_unused, int code __always_unused,
		     const char *fmt, ...) printf_like(5, 6);

static void keep_log(int level, const char *file __always_unused,
		     int line __always_unused, int code __always_unused,
		     const char *fmt, ...)
{
	va_list args;
	int n;

	if ((level & 7) > 3 || log_used + 2 >= sizeof(log_text))
		return;
	va_start(args, fmt);
	n = vsnprintf(log_text + log_used, sizeof(log_text) - log_used - 1, fmt,
		      args);
	va_end(args);
	if (n < 0)
		return;
	log_used = min(log_used + (size_t)n, sizeof(log_text) - 2);
	log_text[log_used++] = '\n';
	log_text[log_used] = '\0';
}

void bow_dm_print_log(void)
{
	char *line, *rest = NULL;

	for (line = strtok_r(log_text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest))
		error_msg("  libdevmapper: %s", line);
	log_used = 0;
	log_text[0] = '\0';
}

static void forget_log(void)
{
	log_used = 0;
	log_text[0] = '\0';
}

/* ---- tasks ------------------------------------------------------------------ */

/* Runs and keeps the task for its results; NULL and @err if it failed. */
static struct dm_task *run_task(int type, const char *name, int *err)
{
	struct dm_task *dmt = dm_task_create(type);

	*err = ENOMEM;
	if (!dmt)
		return NULL;
	if ((!name || dm_task_set_name(dmt, name)) && dm_task_run(dmt))
		return dmt;
	*err = dm_task_get_errno(dmt);
	dm_task_destroy(dmt);
	return NULL;
}

/* A task that makes or removes nodes: wait until udev has done that. */
static int run_with_cookie(struct dm_task *dmt)
{
	uint32_t cookie = 0;
	int err = 0;

	if (!dm_task_set_cookie(dmt, &cookie, 0))
		return -EIO;
	if (!dm_task_run(dmt)) {
		err = dm_task_get_errno(dmt);
		/* Lost where the library did several things and undid them. */
		if (!err)
			err = EPROTO;
	}
	dm_udev_wait(cookie);
	return -err;
}

int bow_dm_open(void)
{
	char version[64];

	dm_log_with_errno_init(keep_log);
	if (dm_driver_version(version, sizeof(version)))
		return 0;
	if (geteuid())
		error_msg("cannot talk to the kernel's device-mapper: this needs root");
	else
		error_msg("cannot talk to the kernel's device-mapper: try 'modprobe dm-mod'");
	bow_dm_print_log();
	return BOW_SYSTEM;
}

int bow_dm_need_target(void)
{
	struct dm_task *dmt;
	int err;

	/* This ioctl loads the module, the plain list does not. */
	dmt = run_task(DM_DEVICE_GET_TARGET_VERSION, BOW_TARGET, &err);
	forget_log();
	if (dmt) {
		dm_task_destroy(dmt);
		return 0;
	}
	return fail(BOW_SYSTEM, "this kernel has no target '%s': install the module dm-bow for it, or load it: 'insmod dm-cow.ko; insmod dm-bow.ko'",
		    BOW_TARGET);
}

bool bow_dm_exists(const char *name)
{
	struct dm_task *dmt;
	struct dm_info info = { 0 };
	int err;

	dmt = run_task(DM_DEVICE_INFO, name, &err);
	if (!dmt) {
		forget_log();
		return false;
	}
	if (!dm_task_get_info(dmt, &info))
		info.exists = 0;
	dm_task_destroy(dmt);
	return info.exists;
}

/* ---- status ----------------------------------------------------------------- */

static bool parse_status(struct bow_status *st, const char *line)
{
	unsigned long long n[12];
	int got = sscanf(line, "%15s %u %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %15s %15s %llu %llu",
			 st->state, &st->block_sectors, &n[0], &n[1], &n[2],
			 &n[3], &n[4], &n[5], &n[6], &n[7], &n[8], &n[9],
			 st->on_full, st->mode, &n[10], &n[11]);

	st->total = n[0];
	st->free = n[1];
	st->backup = n[2];
	st->loose = n[3];
	st->changed = n[4];
	st->log = n[5];
	st->copies = n[6];
	st->collisions = n[7];
	st->groups = n[8];
	st->flushes = n[9];
	st->memory = n[10];
	st->memory_peak = n[11];
	return got == 16;
}

/* The one target of a device, if it is ours: its parameters, else NULL. */
static const char *our_params(struct dm_task *dmt, u64 *sectors)
{
	uint64_t start, length;
	char *type = NULL, *params = NULL;

	if (dm_get_next_target(dmt, NULL, &start, &length, &type, &params) ||
	    start || !type || strcmp(type, BOW_TARGET))
		return NULL;
	*sectors = length;
	return params;
}

static void fill_info(struct bow_status *st, struct dm_task *dmt)
{
	struct dm_info info = { 0 };

	dm_task_get_info(dmt, &info);
	snprintf(st->name, sizeof(st->name), "%s", dm_task_get_name(dmt));
	snprintf(st->uuid, sizeof(st->uuid), "%s", dm_task_get_uuid(dmt));
	st->number = makedev(info.major, info.minor);
	st->open_count = info.open_count;
	st->suspended = info.suspended;
}

static void fill_lower(struct bow_status *st)
{
	struct dm_task *dmt;
	const char *params;
	u64 sectors;
	int err;

	dmt = run_task(DM_DEVICE_TABLE, st->name, &err);
	if (!dmt)
		return;
	params = our_params(dmt, &sectors);
	if (params)
		sscanf(params, "%127s", st->lower);
	dm_task_destroy(dmt);
}

/* 0, -ENXIO: no such device, -EINVAL: not ours, -EPROTO: not understood */
static int get_status(const char *name, struct bow_status *st)
{
	struct dm_task *dmt;
	const char *params;
	int err, r = -EINVAL;

	memset(st, 0, sizeof(*st));
	dmt = run_task(DM_DEVICE_STATUS, name, &err);
	if (!dmt) {
		forget_log();
		return err ? -err : -EIO;
	}
	params = our_params(dmt, &st->sectors);
	if (params) {
		fill_info(st, dmt);
		r = parse_status(st, params) ? 0 : -EPROTO;
	}
	dm_task_destroy(dmt);
	if (!r)
		fill_lower(st);
	return r;
}

bool bow_dm_is_bow(const char *name)
{
	struct bow_status st;
	int r;

	dm_log_with_errno_init(keep_log);
	r = get_status(name, &st);
	return !r || r == -EPROTO;
}

int bow_dm_status(const char *name, struct bow_status *st)
{
	switch (get_status(name, st)) {
	case 0:
		return 0;
	case -ENXIO:
		return fail(BOW_REFUSED, "there is no dm device '%s'; 'bow status' lists the bow devices",
			    name);
	case -EINVAL:
		return fail(BOW_REFUSED, "%s is not a bow device; 'bow status' lists them",
			    name);
	case -EPROTO:
		return fail(BOW_SYSTEM, "%s: its status is not understood: tool and kernel module are of different versions",
			    name);
	}
	return fail(BOW_SYSTEM, "%s: no status to be had", name);
}

int bow_dm_each(int (*fn)(const struct bow_status *st, void *data), void *data)
{
	struct dm_names *names;
	struct bow_status st;
	struct dm_task *dmt;
	int err, status = 0;

	dmt = run_task(DM_DEVICE_LIST, NULL, &err);
	names = dmt ? dm_task_get_names(dmt) : NULL;
	if (!names) {
		bow_dm_print_log();
		return fail(BOW_SYSTEM, "cannot list dm devices");
	}
	while (names->dev && !status) {
		if (!get_status(names->name, &st))
			status = fn(&st, data);
		if (!names->next)
			break;
		names = (struct dm_names *)((char *)names + names->next);
	}
	dm_task_destroy(dmt);
	return status;
}

/* ---- changes ---------------------------------------------------------------- */

static void random_uuid(char text[BOW_DM_NAME])
{
	char plain[UUID_TEXT];
	uuid_t uuid;

	uuid_generate_random(uuid);
	uuid_unparse_lower(uuid, plain);
	snprintf(text, BOW_DM_NAME, BOW_UUID_PREFIX "%s", plain);
}

int bow_dm_create(const char *name, u64 sectors, const char *params)
{
	struct dm_task *dmt = dm_task_create(DM_DEVICE_CREATE);
	char uuid[BOW_DM_NAME];
	int r = -ENOMEM;

	random_uuid(uuid);
	if (dmt && dm_task_set_name(dmt, name) && dm_task_set_uuid(dmt, uuid) &&
	    dm_task_add_target(dmt, 0, sectors, BOW_TARGET, params))
		r = run_with_cookie(dmt);
	if (dmt)
		dm_task_destroy(dmt);
	if (!r)
		return 0;
	error_msg("cannot create %s%s%s; the kernel log says why ('dmesg | tail')",
		  name, r == -EPROTO ? "" : ": ",
		  r == -EPROTO ? "" : strerror(-r));
	bow_dm_print_log();
	return r == -EBUSY ? BOW_REFUSED : BOW_SYSTEM;
}

int bow_dm_remove(const char *name)
{
	struct dm_task *dmt = dm_task_create(DM_DEVICE_REMOVE);
	int r = -ENOMEM;

	/* udev may have it open for a moment */
	if (dmt && dm_task_set_name(dmt, name) && dm_task_retry_remove(dmt))
		r = run_with_cookie(dmt);
	if (dmt)
		dm_task_destroy(dmt);
	if (!r)
		return 0;
	error_msg("cannot remove %s: %s", name, strerror(-r));
	bow_dm_print_log();
	return r == -EBUSY ? BOW_REFUSED : BOW_SYSTEM;
}

int bow_dm_message(const char *name, const char *message)
{
	struct dm_task *dmt = dm_task_create(DM_DEVICE_TARGET_MSG);
	int r = -ENOMEM;

	if (dmt && dm_task_set_name(dmt, name) && dm_task_set_sector(dmt, 0) &&
	    dm_task_set_message(dmt, message)) {
		r = 0;
		if (!dm_task_run(dmt))
			r = -(dm_task_get_errno(dmt) ? dm_task_get_errno(dmt) : EIO);
	}
	if (dmt)
		dm_task_destroy(dmt);
	return r;
}
