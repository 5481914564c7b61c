// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who uses a block device: mounts from libmount, holders from sysfs.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libmount/libmount.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dm.h"
#include "mnt.h"

static char *copy_text(const char *text)
{
	return strdup(text ? text : "");
}

static void fill(struct mount *mnt, struct libmnt_fs *fs)
{
	mnt->target = copy_text(mnt_fs_get_target(fs));
	mnt->source = copy_text(mnt_fs_get_source(fs));
	mnt->fstype = copy_text(mnt_fs_get_fstype(fs));
	mnt->options = mnt_fs_strdup_options(fs);
}

void mount_free(struct mount *mnt)
{
	free(mnt->target);
	free(mnt->source);
	free(mnt->fstype);
	free(mnt->options);
	memset(mnt, 0, sizeof(*mnt));
}

bool mount_has_option(const struct mount *mnt, const char *option)
{
	char *value;
	size_t size;

	return mnt->options &&
	       !mnt_optstr_get_option(mnt->options, option, &value, &size);
}

/* btrfs gives its mounts numbers of their own: ask the source too. */
static bool is_from(struct libmnt_fs *fs, dev_t dev)
{
	const char *source = mnt_fs_get_source(fs);
	struct stat st;

	if (mnt_fs_get_devno(fs) == dev)
		return true;
	return source && *source == '/' && !stat(source, &st) &&
	       S_ISBLK(st.st_mode) && st.st_rdev == dev;
}

static struct libmnt_table *read_mounts(void)
{
	return mnt_new_table_from_file("/proc/self/mountinfo");
}

static bool is_whole(struct libmnt_fs *fs)
{
	const char *root = mnt_fs_get_root(fs);

	return root && !strcmp(root, "/");
}

static int find_mount(dev_t dev, bool whole, struct mount *mnt)
{
	struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
	struct libmnt_table *table = read_mounts();
	struct libmnt_fs *fs;
	int found = iter && table ? 0 : -ENOMEM;

	memset(mnt, 0, sizeof(*mnt));
	while (!found && !mnt_table_next_fs(table, iter, &fs))
		if (is_from(fs, dev) && (!whole || is_whole(fs))) {
			fill(mnt, fs);
			found = 1;
		}
	mnt_free_iter(iter);
	mnt_unref_table(table);
	return found;
}

int mount_of_device(dev_t dev, struct mount *mnt)
{
	return find_mount(dev, false, mnt);
}

int mount_of_whole_device(dev_t dev, struct mount *mnt)
{
	return find_mount(dev, true, mnt);
}

int mount_at(const char *path, struct mount *mnt)
{
	struct libmnt_table *table = read_mounts();
	char *real = realpath(path, NULL);
	struct libmnt_fs *fs = NULL;

	memset(mnt, 0, sizeof(*mnt));
	if (table && real)
		fs = mnt_table_find_target(table, real, MNT_ITER_BACKWARD);
	if (fs)
		fill(mnt, fs);
	mnt_unref_table(table);
	free(real);
	return fs ? 1 : 0;
}

void mount_sync(const struct mount *mnt)
{
	int fd = open(mnt->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (syncfs(fd))
		warn_msg("%s: sync: %s", mnt->target, strerror(errno));
	close(fd);
}

static void sysfs_path(dev_t dev, const char *file, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "/sys/dev/block/%u:%u/%s", major(dev),
		 minor(dev), file);
}

static bool first_holder(dev_t dev, char text[USER_TEXT])
{
	char path[PATH_MAX], name[USER_TEXT / 2];
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	sysfs_path(dev, "holders", path);
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		found = true;
		snprintf(path, sizeof(path), "/sys/block/%s/dm/name",
			 entry->d_name);
		if (read_first_line(path, name, sizeof(name)))
			snprintf(text, USER_TEXT, "held by the dm device %s", name);
		else
			snprintf(text, USER_TEXT, "held by %.200s", entry->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

bool device_user(dev_t dev, char text[USER_TEXT])
{
	struct mount mnt;
	bool mounted = mount_of_device(dev, &mnt) == 1;

	if (mounted)
		snprintf(text, USER_TEXT, "mounted on %s", mnt.target);
	mount_free(&mnt);
	return mounted || first_holder(dev, text);
}

bool device_dm_name(dev_t dev, char *name, int size)
{
	char path[PATH_MAX];

	sysfs_path(dev, "dm/name", path);
	return read_first_line(path, name, size);
}

bool device_is_bow(dev_t dev, char name[USER_TEXT])
{
	char path[PATH_MAX], uuid[USER_TEXT];

	if (!device_dm_name(dev, name, USER_TEXT))
		return false;
	sysfs_path(dev, "dm/uuid", path);
	if (read_first_line(path, uuid, sizeof(uuid)) &&
	    !strncmp(uuid, BOW_UUID_PREFIX, strlen(BOW_UUID_PREFIX)))
		return true;
	/* Made with plain dmsetup it has no uuid of ours: ask for its table. */
	return bow_dm_is_bow(name);
}

const char *device_node(const char *number, char path[USER_TEXT])
{
	char link[PATH_MAX], target[PATH_MAX];
	const char *name;
	ssize_t n;

	snprintf(link, sizeof(link), "/sys/dev/block/%s", number);
	n = readlink(link, target, sizeof(target) - 1);
	target[max_t(ssize_t, n, 0)] = '\0';
	name = strrchr(target, '/');
	if (name)
		snprintf(path, USER_TEXT, "/dev/%.200s", name + 1);
	else
		snprintf(path, USER_TEXT, "%s", number);
	return path;
}

const char *device_path(dev_t dev, char path[USER_TEXT])
{
	char number[32];

	snprintf(number, sizeof(number), "%u:%u", major(dev), minor(dev));
	return device_node(number, path);
}

bool file_is_looped(const char *path, char name[USER_TEXT])
{
	char *real = realpath(path, NULL), line[PATH_MAX];
	bool found = false;
	glob_t files;
	size_t i;

	if (!real)
		return false;
	if (glob("/sys/block/loop*/loop/backing_file", 0, NULL, &files)) {
		free(real);
		return false;
	}
	for (i = 0; i < files.gl_pathc && !found; i++)
		if (read_first_line(files.gl_pathv[i], line, sizeof(line)) &&
		    !strcmp(line, real)) {
			found = true;
			sscanf(files.gl_pathv[i], "/sys/block/%255[^/]", name);
		}
	globfree(&files);
	free(real);
	return found;
}
