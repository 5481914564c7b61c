// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The tracking device of an origin.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "snap.h"

static int check_free(const char *path, dev_t number)
{
	char user[USER_TEXT] = "in use";
	int fd = open(path, O_RDWR | O_EXCL | O_CLOEXEC), status;

	if (fd < 0 && errno == EBUSY) {
		device_user(number, user);
		return fail(BOW_REFUSED, "%s is %s; the tracking device must be one that nobody uses",
			    path, user);
	}
	if (fd < 0)
		return fail(BOW_SYSTEM, "%s: %s", path, strerror(errno));
	status = snap_check_contents(path, fd, "choose another device, or 'wipefs -a' it if nobody needs that");
	close(fd);
	return status;
}

/* A suspended origin would wait for itself, or two of them for each other. */
static int check_place(const char *path, dev_t number, const struct snap_list *list)
{
	unsigned int i;

	for (i = 0; i < list->nr; i++) {
		const struct snap_dev *origin = &list->devs[i];

		if (origin->kind == SNAP_ORIGIN &&
		    (snap_above(number, origin->number) || snap_above(number, origin->lower)))
			return fail(BOW_REFUSED, "%s lies on %s, which is an origin; the tracking device must lie on something else",
				    path, origin->name);
	}
	return BOW_OK;
}

int snap_tracking_check(const char *path, dev_t device, dev_t *number)
{
	struct snap_list list;
	struct stat st;
	int status;

	if (stat(path, &st))
		return fail(BOW_SYSTEM, "%s: %s", path, strerror(errno));
	if (!S_ISBLK(st.st_mode))
		return fail(BOW_USAGE, "%s is not a block device", path);
	if (snap_above(st.st_rdev, device))
		return fail(BOW_REFUSED, "%s lies on the device that is to be attached; the tracking device must lie on something else",
			    path);
	*number = st.st_rdev;
	status = check_free(path, st.st_rdev);
	if (status)
		return status;
	status = snap_list_read(&list);
	if (!status)
		status = check_place(path, st.st_rdev, &list);
	snap_list_free(&list);
	return status;
}

int snap_tracking_check_device(const char *name, dev_t device)
{
	struct snap_list list;
	unsigned int i;
	int status = snap_list_read(&list);

	for (i = 0; i < list.nr && !status; i++) {
		const struct snap_dev *origin = &list.devs[i];

		if (origin->tracking && snap_above(origin->tracking, device))
			status = fail(BOW_REFUSED, "the tracking device of %s lies on %s, which so cannot be an origin",
				      origin->name, name);
	}
	snap_list_free(&list);
	return status;
}
