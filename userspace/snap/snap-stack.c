// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which block device lies on which: what sysfs says of dm, md and bcache, of
 * partitions, and of loop devices by way of the filesystem with their file.
 */
#include <dirent.h>
#include <libmount/libmount.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "snap.h"

#define MAX_DEPTH 32	/* more than the kernel builds; against a loop in sysfs */

struct visit {
	bool (*fn)(dev_t below, void *data);	/* true: enough */
	void *data;
};

static dev_t read_number(const char *path)
{
	unsigned int major, minor;
	char text[32];

	if (!read_first_line(path, text, sizeof(text)) ||
	    sscanf(text, "%u:%u", &major, &minor) != 2)
		return 0;
	return makedev(major, minor);
}

/* The device of the filesystem at @path; btrfs gives its files numbers of its own. */
static dev_t device_of_file(const char *path)
{
	struct mount mnt = { 0 };
	struct stat st;
	dev_t dev = 0;
	char *point;

	if (stat(path, &st))
		return 0;
	if (major(st.st_dev))
		return st.st_dev;
	point = mnt_get_mountpoint(path);
	if (point && mount_at(point, &mnt) == 1 && *mnt.source == '/' &&
	    !stat(mnt.source, &st) && S_ISBLK(st.st_mode))
		dev = st.st_rdev;
	mount_free(&mnt);
	free(point);
	return dev;
}

static bool visit_slaves(const char *dir, const struct visit *visit)
{
	char path[2 * PATH_MAX];
	struct dirent *entry;
	bool enough = false;
	DIR *slaves;
	dev_t dev;

	snprintf(path, sizeof(path), "%s/slaves", dir);
	slaves = opendir(path);
	while (slaves && !enough && (entry = readdir(slaves))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/slaves/%s/dev", dir,
			 entry->d_name);
		dev = read_number(path);
		enough = dev && visit->fn(dev, visit->data);
	}
	if (slaves)
		closedir(slaves);
	return enough;
}

/* Whatever lies directly below @dev. */
static bool visit_below(dev_t dev, const struct visit *visit)
{
	char dir[64], path[128], file[PATH_MAX];
	dev_t below = 0;

	snprintf(dir, sizeof(dir), "/sys/dev/block/%u:%u", major(dev), minor(dev));
	snprintf(path, sizeof(path), "%s/partition", dir);
	if (read_first_line(path, file, sizeof(file))) {
		snprintf(path, sizeof(path), "%s/../dev", dir);
		below = read_number(path);
	}
	snprintf(path, sizeof(path), "%s/loop/backing_file", dir);
	if (read_first_line(path, file, sizeof(file)))
		below = device_of_file(file);
	if (below && visit->fn(below, visit->data))
		return true;
	return visit_slaves(dir, visit);
}

/* ---- three questions ------------------------------------------------------------- */

struct search {
	bool (*found)(dev_t dev, dev_t wanted);
	dev_t wanted;
	unsigned int depth;
};

static bool search_from(dev_t dev, void *data)
{
	struct search *search = data;
	struct visit visit = { .fn = search_from, .data = data };
	bool found;

	if (search->found(dev, search->wanted))
		return true;
	if (search->depth == MAX_DEPTH)
		return false;
	search->depth++;
	found = visit_below(dev, &visit);
	search->depth--;
	return found;
}

static bool is_the_same(dev_t dev, dev_t wanted)
{
	return dev == wanted;
}

bool snap_above(dev_t dev, dev_t below)
{
	struct search search = { .found = is_the_same, .wanted = below };

	return search_from(dev, &search);
}

struct measure {
	unsigned int now, deepest;
};

static bool measure(dev_t dev, void *data)
{
	struct measure *m = data;
	struct visit visit = { .fn = measure, .data = data };

	m->deepest = max(m->deepest, m->now);
	if (m->now == MAX_DEPTH)
		return false;
	m->now++;
	visit_below(dev, &visit);
	m->now--;
	return false;
}

unsigned int snap_depth(dev_t dev)
{
	struct measure m = { 0 };

	measure(dev, &m);
	return m.deepest;
}

static bool is_crypt(dev_t dev, dev_t wanted __always_unused)
{
	char path[64], name[BOW_DM_NAME], *table;
	bool found;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/dm/name", major(dev), minor(dev));
	if (!read_first_line(path, name, sizeof(name)))
		return false;
	table = snap_table_read(name);
	found = table && strstr(table, " crypt ");
	snap_table_free(table);
	return found;
}

bool snap_encrypted(dev_t dev)
{
	struct search search = { .found = is_crypt };

	return search_from(dev, &search);
}

u64 snap_device_sectors(const char *number)
{
	unsigned long long sectors;
	char path[64], line[64];

	snprintf(path, sizeof(path), "/sys/dev/block/%s/size", number);
	if (!read_first_line(path, line, sizeof(line)) || sscanf(line, "%llu", &sectors) != 1)
		return 0;
	return sectors;
}
