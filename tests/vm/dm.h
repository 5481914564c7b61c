/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device-mapper without a process for each step: for the programs here that make
 * things fail, dmfail.c and opfail.c. All of these give 0 or an error.
 */
#ifndef DM_H
#define DM_H

#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define DM_ROOM 4096

static inline struct dm_ioctl *dm_request(const char *device)
{
	static union {
		struct dm_ioctl dm;
		char room[DM_ROOM];
	} buf;

	memset(&buf, 0, sizeof(buf));
	buf.dm.version[0] = DM_VERSION_MAJOR;
	buf.dm.data_size = sizeof(buf);
	buf.dm.data_start = sizeof(buf.dm);
	snprintf(buf.dm.name, sizeof(buf.dm.name), "%s", device);
	return &buf.dm;
}

static inline int dm_do(unsigned long request, struct dm_ioctl *dm)
{
	static int control = -1;

	if (control < 0)
		control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	return control < 0 || ioctl(control, request, dm) ? errno : 0;
}

static inline int dm_load(const char *device, unsigned long long sectors,
			  const char *target, const char *params)
{
	struct dm_ioctl *dm = dm_request(device);
	struct dm_target_spec *spec = (void *)(dm + 1);

	spec->length = sectors;
	snprintf(spec->target_type, sizeof(spec->target_type), "%s", target);
	snprintf((char *)(spec + 1), DM_ROOM - sizeof(*dm) - sizeof(*spec), "%s", params);
	dm->target_count = 1;
	return dm_do(DM_TABLE_LOAD, dm);
}

static inline int dm_clear(const char *device)
{
	return dm_do(DM_TABLE_CLEAR, dm_request(device));
}

static inline int dm_create(const char *device)
{
	return dm_do(DM_DEV_CREATE, dm_request(device));
}

static inline int dm_remove(const char *device)
{
	return dm_do(DM_DEV_REMOVE, dm_request(device));
}

static inline int dm_resume(const char *device)
{
	return dm_do(DM_DEV_SUSPEND, dm_request(device));
}

static inline int dm_suspend(const char *device)
{
	struct dm_ioctl *dm = dm_request(device);

	dm->flags = DM_SUSPEND_FLAG;
	return dm_do(DM_DEV_SUSPEND, dm);
}

static inline int dm_message(const char *device, const char *text)
{
	struct dm_ioctl *dm = dm_request(device);
	struct dm_target_msg *msg = (void *)(dm + 1);

	snprintf(msg->message, DM_ROOM - sizeof(*dm) - sizeof(*msg), "%s", text);
	return dm_do(DM_TARGET_MSG, dm);
}

/* What the target says of itself; valid until the next request. */
static inline const char *dm_status(const char *device)
{
	struct dm_ioctl *dm = dm_request(device);

	if (dm_do(DM_TABLE_STATUS, dm))
		return "";
	return (char *)dm + dm->data_start + sizeof(struct dm_target_spec);
}

static inline int dm_number(const char *device, dev_t *number)
{
	struct dm_ioctl *dm = dm_request(device);
	int error = dm_do(DM_DEV_STATUS, dm);

	*number = dm->dev;
	return error;
}

#endif
