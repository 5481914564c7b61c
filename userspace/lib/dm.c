// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bow devices: what they say, and making them.
 */
#include <errno.h>
#include <libdevmapper.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <uuid/uuid.h>

#include "command.h"
#include "dm.h"

/* ---- status ----------------------------------------------------------------- */

static bool parse_status(struct bow_status *st, const char *line)
{
	unsigned long long n[13];
	int got = sscanf(line, "%15s %u %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %15s %15s %llu %llu %llu",
			 st->state, &st->block_sectors, &n[0], &n[1], &n[2],
			 &n[3], &n[4], &n[5], &n[6], &n[7], &n[8], &n[9],
			 st->on_full, st->mode, &n[10], &n[11], &n[12]);

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
	st->ahead = n[12];
	return got == 17;
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

	dmt = bow_dm_run(DM_DEVICE_TABLE, st->name, &err);
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
	dmt = bow_dm_run(DM_DEVICE_STATUS, name, &err);
	if (!dmt) {
		bow_dm_forget_log();
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

	bow_dm_keep_log();
	r = get_status(name, &st);
	return !r || r == -EPROTO;
}

bool bow_dm_is_linear_on(const char *name, dev_t lower)
{
	unsigned int maj, min;
	uint64_t start, length;
	unsigned long long offset;
	char *type = NULL, *params = NULL;
	struct dm_task *dmt;
	bool is;
	int err;

	dmt = bow_dm_run(DM_DEVICE_TABLE, name, &err);
	if (!dmt)
		return false;
	is = !dm_get_next_target(dmt, NULL, &start, &length, &type, &params) && !start &&
	     type && !strcmp(type, "linear") &&
	     sscanf(params, "%u:%u %llu", &maj, &min, &offset) == 3 && !offset &&
	     makedev(maj, min) == lower;
	dm_task_destroy(dmt);
	return is;
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

struct each {
	int (*fn)(const struct bow_status *st, void *data);
	void *data;
};

static int if_ours(const char *name, void *data)
{
	const struct each *each = data;
	struct bow_status st;

	return get_status(name, &st) ? 0 : each->fn(&st, each->data);
}

int bow_dm_each(int (*fn)(const struct bow_status *st, void *data), void *data)
{
	struct each each = { .fn = fn, .data = data };

	return bow_dm_each_name(if_ours, &each);
}

/* ---- changes ---------------------------------------------------------------- */

static void random_uuid(const char *prefix, char text[BOW_DM_NAME])
{
	char plain[UUID_TEXT];
	uuid_t uuid;

	uuid_generate_random(uuid);
	uuid_unparse_lower(uuid, plain);
	snprintf(text, BOW_DM_NAME, "%s%s", prefix, plain);
}

static int create(const char *name, const char *prefix, u64 sectors, const char *target,
		  const char *params)
{
	struct dm_task *dmt = dm_task_create(DM_DEVICE_CREATE);
	char uuid[BOW_DM_NAME];
	int r = -ENOMEM;

	random_uuid(prefix, uuid);
	if (dmt && dm_task_set_name(dmt, name) && dm_task_set_uuid(dmt, uuid) &&
	    dm_task_add_target(dmt, 0, sectors, target, params))
		r = bow_dm_run_and_wait(dmt, 0);
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

int bow_dm_create(const char *name, u64 sectors, const char *params)
{
	return create(name, BOW_UUID_PREFIX, sectors, BOW_TARGET, params);
}

int bow_dm_create_linear(const char *name, u64 sectors, dev_t lower)
{
	char params[64];

	snprintf(params, sizeof(params), "%u:%u 0", major(lower), minor(lower));
	return create(name, "BOWLINEAR-", sectors, "linear", params);
}
