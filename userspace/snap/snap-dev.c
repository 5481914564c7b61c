// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Origins and images, as the device-mapper knows them.
 */
#include <errno.h>
#include <fcntl.h>
#include <libdevmapper.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "snap.h"

#define LOCK_FILE "/run/blksnap.lock"

/* ---- lines of tables and states --------------------------------------------- */

/* "8:16", or a path, into a number; 0 if it is neither. */
static dev_t parse_device(const char *text)
{
	unsigned int major, minor;
	struct stat st;
	char rest;

	if (sscanf(text, "%u:%u%c", &major, &minor, &rest) == 2)
		return makedev(major, minor);
	return !stat(text, &st) && S_ISBLK(st.st_mode) ? st.st_rdev : 0;
}

/* "8:16 /path", and what follows; \ooo is a character of that octal number. */
static bool parse_file(struct snap_dev *dev, const char *line)
{
	unsigned int octal;
	size_t len = 0;
	int end = 0;

	if (sscanf(line, "%31s %n", dev->lower_text, &end) != 1 || !end)
		return false;
	dev->lower = parse_device(dev->lower_text);
	for (line += end; *line && *line != ' ' && len + 1 < sizeof(dev->path); line++) {
		dev->path[len] = *line;
		if (*line == '\\' && sscanf(line, "\\%3o", &octal) == 1) {
			dev->path[len] = (char)octal;
			line += 3;
		}
		len++;
	}
	dev->path[len] = '\0';
	return len;
}

static bool parse_file_status(struct snap_dev *dev, const char *line)
{
	unsigned int major, minor;
	unsigned long long inode;
	char where[SNAP_WORD];

	if (sscanf(line, "%*u %*x %*u %15s %u:%u %llu", where, &major, &minor, &inode) != 4)
		return false;
	dev->on_origin = !strcmp(where, "origin");
	dev->file_dev = makedev(major, minor);
	dev->file_inode = (ino_t)inode;
	return true;
}

/* What follows the device: the number of words, and then pairs of them. */
static void parse_features(struct snap_dev *dev, const char *line)
{
	const char *found = strstr(line, " tracking ");

	if (!found || sscanf(found, " tracking %31s", dev->tracking_text) != 1)
		return;
	dev->tracking = parse_device(dev->tracking_text);
}

static bool parse_table(struct snap_dev *dev, const char *line)
{
	unsigned long long block_bytes = 0, low_water = 0;
	int n;

	if (dev->kind == SNAP_FILE)
		return parse_file(dev, line);
	if (dev->kind == SNAP_ORIGIN) {
		n = sscanf(line, "%31s", dev->lower_text);
		dev->lower = parse_device(dev->lower_text);
		parse_features(dev, line);
		return n == 1;
	}
	n = sscanf(line, "%31s %31s %15s %llu %*u low_water %llu", dev->lower_text,
		   dev->store_text, dev->mode, &block_bytes, &low_water);
	dev->lower = parse_device(dev->lower_text);
	dev->store = parse_device(dev->store_text);
	dev->block_bytes = block_bytes;
	dev->low_water = low_water;
	return n >= 4;
}

static bool parse_origin(struct snap_dev *dev, const char *line)
{
	unsigned long long n[10] = { 0 };
	char tracking[SNAP_WORD];
	int got = sscanf(line, "%15s %llu %llu %llu %llu %llu %llu %llu %llu %36s %llu %15s %15s %llu",
			 dev->state, &n[0], &n[1], &n[2], &n[3], &n[4], &n[5],
			 &n[6], &n[7], dev->generation, &n[8], dev->persistent, tracking, &n[9]);

	dev->snapshots = n[0];
	dev->block_bytes = n[1];
	dev->blocks_copied = n[2];
	dev->copies = n[3];
	dev->groups = n[4];
	dev->memory = n[5];
	dev->memory_peak = n[6];
	dev->cbt_bytes = n[7];
	dev->blocks_ahead = n[9];
	dev->tracking_lost = got == 14 && !strcmp(tracking, "lost");
	return got == 14;
}

static bool parse_image(struct snap_dev *dev, const char *line)
{
	unsigned long long n[6] = { 0 };
	char low[SNAP_WORD];
	int got = sscanf(line, "%15s %llu %llu %llu %llu %llu %llu %15s", dev->state,
			 &n[0], &n[1], &n[2], &n[3], &n[4], &n[5], low);

	dev->store_used = n[0];
	dev->store_sectors = n[1];
	dev->blocks_kept = n[2];
	dev->blocks_private = n[3];
	dev->memory = n[4];
	dev->cbt_number = n[5];
	dev->low = got == 8 && !strcmp(low, "low");
	return got == 8;
}

/* BLKSNAP-<36 characters>-<n>-<name> */
static void parse_uuid(struct snap_dev *dev)
{
	const char *text = dev->uuid + strlen(SNAP_UUID_PREFIX);
	int end = 0;

	if (strncmp(dev->uuid, SNAP_UUID_PREFIX, strlen(SNAP_UUID_PREFIX)) ||
	    strlen(text) < UUID_TEXT || text[UUID_TEXT - 1] != '-')
		return;
	if (sscanf(text + UUID_TEXT, "%u-%n", &dev->set_index, &end) != 1 || !end)
		return;
	memcpy(dev->set_uuid, text, UUID_TEXT - 1);
	snprintf(dev->set_name, sizeof(dev->set_name), "%s",
		 text + UUID_TEXT + end);
}

/* ---- one device --------------------------------------------------------------- */

static enum snap_kind kind_of(const char *type)
{
	if (type && !strcmp(type, SNAP_ORIGIN_TARGET))
		return SNAP_ORIGIN;
	if (type && !strcmp(type, SNAP_FILE_TARGET))
		return SNAP_FILE;
	return type && !strcmp(type, SNAP_TARGET) ? SNAP_IMAGE : SNAP_OTHER;
}

/* The parameters of its first target; only a store of files may have more. */
static const char *first_target(struct dm_task *dmt, struct snap_dev *dev)
{
	uint64_t start, length = 0;
	char *type = NULL, *params = NULL, *other;
	void *next = dm_get_next_target(dmt, NULL, &start, &length, &type, &params);

	dev->kind = kind_of(type);
	if (next && dev->kind != SNAP_FILE)
		dev->kind = SNAP_OTHER;
	dev->sectors = length;
	while (next) {
		next = dm_get_next_target(dmt, next, &start, &length, &type, &other);
		dev->sectors = start + length;
	}
	return params ? params : "";
}

static void fill_info(struct snap_dev *dev, struct dm_task *dmt)
{
	struct dm_info info = { 0 };

	dm_task_get_info(dmt, &info);
	snprintf(dev->name, sizeof(dev->name), "%s", dm_task_get_name(dmt));
	snprintf(dev->uuid, sizeof(dev->uuid), "%s", dm_task_get_uuid(dmt));
	dev->number = makedev(info.major, info.minor);
	dev->open_count = info.open_count;
	dev->suspended = info.suspended;
	dev->read_only = info.read_only;
	dev->inactive_table = info.inactive_table;
}

/* One of the two lines that the kernel has for a device; 0 or -errno. */
static int read_line(int type, const char *name, struct snap_dev *dev,
		     bool (*parse)(struct snap_dev *dev, const char *line))
{
	struct dm_task *dmt;
	const char *params;
	int err;

	dmt = bow_dm_run(type, name, &err);
	if (!dmt) {
		bow_dm_forget_log();
		return err ? -err : -EIO;
	}
	fill_info(dev, dmt);
	params = first_target(dmt, dev);
	if (dev->kind != SNAP_OTHER && !parse(dev, params))
		dev->understood = false;
	dm_task_destroy(dmt);
	return 0;
}

static bool parse_status(struct snap_dev *dev, const char *line)
{
	if (dev->kind == SNAP_FILE)
		return parse_file_status(dev, line);
	return dev->kind == SNAP_ORIGIN ? parse_origin(dev, line) :
					  parse_image(dev, line);
}

static int read_dev(const char *name, struct snap_dev *dev)
{
	int r;

	memset(dev, 0, sizeof(*dev));
	dev->understood = true;
	r = read_line(DM_DEVICE_TABLE, name, dev, parse_table);
	if (!r && dev->kind != SNAP_OTHER)
		r = read_line(DM_DEVICE_STATUS, name, dev, parse_status);
	if (!r && dev->kind == SNAP_IMAGE)
		parse_uuid(dev);
	return r;
}

/* A disk or partition, named by its path. */
static bool is_plain(const char *name, dev_t *number)
{
	char dm_name[USER_TEXT];
	struct stat st;

	if (stat(name, &st) || !S_ISBLK(st.st_mode))
		return false;
	*number = st.st_rdev;
	return !device_dm_name(st.st_rdev, dm_name, sizeof(dm_name));
}

static int refuse_plain(const char *name, dev_t number)
{
	char user[USER_TEXT];

	if (!device_user(number, user) || strncmp(user, "mounted", 7))
		return fail(BOW_REFUSED, "%s is no dm device: 'blksnap attach --create <name> %s' makes one above it",
			    name, name);
	return fail(BOW_REFUSED, "%s is %s, and no dm device: unmount it, 'blksnap attach --create <name> %s', and mount /dev/mapper/<name> instead",
		    name, user, name);
}

int snap_dev_read(const char *name, struct snap_dev *dev)
{
	int r = read_dev(name, dev);
	dev_t number;

	if (r && is_plain(name, &number))
		return refuse_plain(name, number);
	if (r == -ENXIO)
		return fail(BOW_REFUSED, "there is no dm device '%s'; 'dmsetup ls' lists them",
			    name);
	if (r)
		return fail(BOW_SYSTEM, "%s: no table to be had: %s", name,
			    strerror(-r));
	if (!dev->understood)
		return fail(BOW_SYSTEM, "%s: its status is not understood: tool and kernel module are of different versions",
			    name);
	return BOW_OK;
}

int snap_origin_read(const char *name, struct snap_dev *dev)
{
	int status = snap_dev_read(name, dev);

	if (!status && dev->kind != SNAP_ORIGIN)
		status = fail(BOW_REFUSED, "%s is not an origin: 'blksnap attach %s' first; 'blksnap list' lists the origins",
			      name, name);
	return status;
}

/* ---- the files of a store ------------------------------------------------------ */

static unsigned int count_lines(const char *text)
{
	unsigned int nr = 0;

	while ((text = strchr(text, '\n'))) {
		text++;
		nr++;
	}
	return nr;
}

/* From the next line of its table, and of its status. */
static bool parse_part(struct snap_dev *part, char **table, char **state)
{
	char *line = strsep(table, "\n"), *status = strsep(state, "\n");
	int in_line = 0, in_status = 0;
	char type[64];

	part->kind = SNAP_FILE;
	return line && status &&
	       sscanf(line, "%*u %*u %63s %n", type, &in_line) == 1 && in_line &&
	       !sscanf(status, "%*u %*u %*s %n", &in_status) && in_status &&
	       kind_of(type) == SNAP_FILE && parse_file(part, line + in_line) &&
	       parse_file_status(part, status + in_status);
}

static struct snap_dev *parse_parts(char *table, char *state, unsigned int nr)
{
	struct snap_dev *parts = calloc(nr, sizeof(*parts));
	unsigned int i;

	for (i = 0; parts && i < nr; i++) {
		if (parse_part(&parts[i], &table, &state))
			continue;
		free(parts);
		parts = NULL;
	}
	return parts;
}

int snap_parts_read(const char *name, struct snap_dev **parts, unsigned int *nr)
{
	char *table = snap_table_read(name), *state = snap_status_read(name);

	*parts = NULL;
	*nr = table ? count_lines(table) : 0;
	if (*nr && state)
		*parts = parse_parts(table, state, *nr);
	snap_table_free(table);
	snap_table_free(state);
	if (*parts)
		return BOW_OK;
	return fail(BOW_SYSTEM, "%s: its table is not understood, or not of files alone", name);
}

/* ---- all of them ---------------------------------------------------------------- */

static int add_dev(const char *name, void *data)
{
	struct snap_list *list = data;
	struct snap_dev *devs;

	devs = realloc(list->devs, (list->nr + 1) * sizeof(*devs));
	if (!devs)
		return fail(BOW_SYSTEM, "out of memory");
	list->devs = devs;
	/* One that is gone by now is not to be listed. */
	if (read_dev(name, &devs[list->nr]) ||
	    devs[list->nr].kind == SNAP_OTHER)
		return BOW_OK;
	if (!devs[list->nr].understood)
		return fail(BOW_SYSTEM, "%s: its status is not understood: tool and kernel module are of different versions",
			    name);
	list->nr++;
	return BOW_OK;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct snap_dev *)a)->name,
		      ((const struct snap_dev *)b)->name);
}

int snap_list_read(struct snap_list *list)
{
	int status;

	memset(list, 0, sizeof(*list));
	status = bow_dm_each_name(add_dev, list);
	if (status)
		snap_list_free(list);
	else if (list->nr)
		qsort(list->devs, list->nr, sizeof(*list->devs), by_name);
	return status;
}

void snap_list_free(struct snap_list *list)
{
	free(list->devs);
	memset(list, 0, sizeof(*list));
}

const struct snap_dev *snap_origin_of(const struct snap_list *list,
				      const struct snap_dev *image)
{
	unsigned int i;

	for (i = 0; i < list->nr; i++)
		if (list->devs[i].kind == SNAP_ORIGIN &&
		    list->devs[i].lower == image->lower)
			return &list->devs[i];
	return NULL;
}

const struct snap_dev *snap_file_of(const struct snap_list *list, dev_t number)
{
	unsigned int i;

	for (i = 0; i < list->nr; i++)
		if (list->devs[i].kind == SNAP_FILE && list->devs[i].number == number)
			return &list->devs[i];
	return NULL;
}

/* ---- before anything is changed -------------------------------------------------- */

int snap_need_targets(void)
{
	/* They come in one module, of the name of the first. */
	int status = bow_dm_need_target(SNAP_TARGET, "blksnap");

	if (!status)
		status = bow_dm_need_target(SNAP_ORIGIN_TARGET, "blksnap");
	return status;
}

static int lock_fd = -1;

int snap_lock(void)
{
	lock_fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	/* A guardian keeps it too, for as long as it has something to do. */
	if (lock_fd < 0 || flock(lock_fd, LOCK_EX))
		return fail(BOW_SYSTEM, "%s: %s", LOCK_FILE, strerror(errno));
	return BOW_OK;
}

int snap_begin(void)
{
	int status = bow_dm_open();

	if (!status)
		status = snap_need_targets();
	return status ? status : snap_lock();
}

void snap_unlock(void)
{
	close(lock_fd);
	lock_fd = -1;
}

/* Kept in the lock's file, which whoever comes next has. */
void snap_note(const char *path)
{
	size_t len = strlen(path);

	if (ftruncate(lock_fd, 0) || pwrite(lock_fd, path, len, 0) != (ssize_t)len)
		warn_msg("%s: %s", LOCK_FILE, strerror(errno));
}

bool snap_note_read(char path[PATH_MAX])
{
	int fd = lock_fd >= 0 ? lock_fd : open(LOCK_FILE, O_RDONLY | O_CLOEXEC);
	ssize_t len = -1;

	/* What a command that runs is making is not left over. */
	if (fd >= 0 && (fd == lock_fd || !flock(fd, LOCK_SH | LOCK_NB)))
		len = pread(fd, path, PATH_MAX - 1, 0);
	if (fd >= 0 && fd != lock_fd)
		close(fd);
	path[len > 0 ? len : 0] = '\0';
	return *path;
}

bool snap_valid_name(const char *name, size_t size)
{
	return *name && *name != '-' && strlen(name) < size &&
	       name[strspn(name, "abcdefghijklmnopqrstuvwxyz"
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-")] == '\0' &&
	       strcmp(name, ".") && strcmp(name, "..");
}

int snap_check_settled(const struct snap_dev *dev)
{
	if (dev->suspended)
		return fail(BOW_REFUSED, "%s is suspended by somebody else; 'dmsetup resume %s' if that is over",
			    dev->name, dev->name);
	if (dev->inactive_table)
		return fail(BOW_REFUSED, "%s: somebody is about to change its table; 'dmsetup clear %s' if nobody is",
			    dev->name, dev->name);
	return BOW_OK;
}

int snap_check_unused(const struct snap_dev *dev)
{
	char user[USER_TEXT];

	if (device_user(dev->number, user))
		return fail(BOW_REFUSED, "%s is %s; %s first", dev->name, user,
			    strncmp(user, "mounted", 7) ? "remove that" : "unmount it");
	if (dev->open_count)
		return fail(BOW_REFUSED, "%s is open in %d place(s); 'fuser -v /dev/mapper/%s' shows who has it",
			    dev->name, dev->open_count, dev->name);
	return BOW_OK;
}
