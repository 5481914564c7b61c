/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who uses a block device: mounts and holders.
 */
#ifndef BOW_MNT_H
#define BOW_MNT_H

#include <sys/types.h>

#include "util.h"

struct mount {
	char *target;
	char *source;
	char *fstype;
	char *options;	/* of the filesystem and of the mount */
};

/* Where @dev is mounted: 1 found, 0 nowhere, or -errno. */
int mount_of_device(dev_t dev, struct mount *mnt);

/* The same, but not where only a directory of it is to be seen. */
int mount_of_whole_device(dev_t dev, struct mount *mnt);

/* What is mounted at the directory @path: 1 found, 0 nothing, or -errno. */
int mount_at(const char *path, struct mount *mnt);

void mount_free(struct mount *mnt);

bool mount_has_option(const struct mount *mnt, const char *option);

/* What is written out now need not be while everybody waits. */
void mount_sync(const struct mount *mnt);

#define USER_TEXT 256

/*
 * Who keeps @dev busy, in words, as "mounted on /srv", or "held by the dm
 * device data". False if nobody is found.
 */
bool device_user(dev_t dev, char text[USER_TEXT]);

/* Name of the bow device @dev; false if it is something else. */
bool device_is_bow(dev_t dev, char name[USER_TEXT]);

/* Name of the dm device of that number; false if it is none. */
bool device_dm_name(dev_t dev, char *name, int size);

/* The node of "8:16", as /dev/sdb, or @number itself; into @path, returned. */
const char *device_node(const char *number, char path[USER_TEXT]);
/* The same of @dev. */
const char *device_path(dev_t dev, char path[USER_TEXT]);

/* A loop device that uses the file @path, as "loop0"; false if none. */
bool file_is_looped(const char *path, char name[USER_TEXT]);

#endif
