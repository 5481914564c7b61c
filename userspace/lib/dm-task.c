// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libdevmapper wrappers: one task each, with udev cookies.
 */
#include <errno.h>
#include <libdevmapper.h>
#include <stdarg.h>
#include <unistd.h>

#include "command.h"
#include "dm-task.h"

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

void bow_dm_forget_log(void)
{
	log_used = 0;
	log_text[0] = '\0';
}

/* ---- tasks ------------------------------------------------------------------ */

struct dm_task *bow_dm_run(int type, const char *name, int *err)
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

int bow_dm_run_and_wait(struct dm_task *dmt, unsigned int udev_flags)
{
	uint32_t cookie = 0;
	int err = 0;

	if (!dm_task_set_cookie(dmt, &cookie, (uint16_t)udev_flags))
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

void bow_dm_keep_log(void)
{
	dm_log_with_errno_init(keep_log);
}

int bow_dm_open(void)
{
	char version[64];

	bow_dm_keep_log();
	if (dm_driver_version(version, sizeof(version)))
		return 0;
	if (geteuid())
		error_msg("cannot talk to the kernel's device-mapper: this needs root");
	else
		error_msg("cannot talk to the kernel's device-mapper: try 'modprobe dm-mod'");
	bow_dm_print_log();
	return BOW_SYSTEM;
}

int bow_dm_need_target(const char *target, const char *module)
{
	struct dm_task *dmt;
	int err;

	/* This ioctl loads the module, the plain list does not. */
	dmt = bow_dm_run(DM_DEVICE_GET_TARGET_VERSION, target, &err);
	bow_dm_forget_log();
	if (dmt) {
		dm_task_destroy(dmt);
		return 0;
	}
	return fail(BOW_SYSTEM, "this kernel has no target '%s': install the module dm-%s for it, or load it: 'insmod dm-cow.ko; insmod dm-%s.ko'",
		    target, module, module);
}

bool bow_dm_exists(const char *name)
{
	struct dm_task *dmt;
	struct dm_info info = { 0 };
	int err;

	dmt = bow_dm_run(DM_DEVICE_INFO, name, &err);
	if (!dmt) {
		bow_dm_forget_log();
		return false;
	}
	if (!dm_task_get_info(dmt, &info))
		info.exists = 0;
	dm_task_destroy(dmt);
	return info.exists;
}

int bow_dm_each_name(int (*fn)(const char *name, void *data), void *data)
{
	struct dm_names *names;
	struct dm_task *dmt;
	int err, status = 0;

	dmt = bow_dm_run(DM_DEVICE_LIST, NULL, &err);
	names = dmt ? dm_task_get_names(dmt) : NULL;
	if (!names) {
		if (dmt)
			dm_task_destroy(dmt);
		bow_dm_print_log();
		return fail(BOW_SYSTEM, "cannot list dm devices");
	}
	while (names->dev && !status) {
		status = fn(names->name, data);
		if (!names->next)
			break;
		names = (struct dm_names *)((char *)names + names->next);
	}
	dm_task_destroy(dmt);
	return status;
}

/* ---- changes ---------------------------------------------------------------- */

int bow_dm_remove(const char *name)
{
	struct dm_task *dmt = dm_task_create(DM_DEVICE_REMOVE);
	int r = -ENOMEM;

	/* udev may have it open for a moment */
	if (dmt && dm_task_set_name(dmt, name) && dm_task_retry_remove(dmt))
		r = bow_dm_run_and_wait(dmt, 0);
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
