// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Files that are there after a power cut, or are what they were before.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "durable.h"

#define MAX_JSON 65536	/* bytes: all that we write is far below */

u64 durable_stop_after;

void durable_step(void)
{
	static u64 steps;

	count_step(&steps, durable_stop_after, "steps");
}

int durable_write(int fd, const char *path, const void *data, size_t len, off_t at)
{
	size_t done = 0;

	while (done < len) {
		const u8 *from = (const u8 *)data + done;
		ssize_t n = at == DURABLE_APPEND ? write(fd, from, len - done) :
				pwrite(fd, from, len - done, at + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail(BOW_SYSTEM, "%s: write: %s", path,
				    strerror(n ? errno : EIO));
		done += (size_t)n;
	}
	durable_step();
	return BOW_OK;
}

int durable_sync(int fd, const char *path)
{
	if (fsync(fd))
		return fail(BOW_SYSTEM, "%s: sync: %s", path, strerror(errno));
	durable_step();
	return BOW_OK;
}

int open_parent(const char *path)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	free(copy);
	return fd;
}

int durable_sync_parent(const char *path)
{
	int fd = open_parent(path);
	int r = fd < 0 || fsync(fd) ? errno : 0;

	if (fd >= 0)
		close(fd);
	return r ? fail(BOW_SYSTEM, "%s: sync of its directory: %s", path, strerror(r)) : BOW_OK;
}

/*
 * FAT keeps what a name leads to with the file, not with the directory: that entry is
 * written by a sync of the file under its new name, and by nothing else.
 */
static int sync_renamed(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 || fsync(fd) ? errno : 0;

	if (fd >= 0)
		close(fd);
	return r ? fail(BOW_SYSTEM, "%s: sync: %s", path, strerror(r)) : BOW_OK;
}

int durable_rename(const char *from, const char *to)
{
	int status;

	if (rename(from, to))
		return fail(BOW_SYSTEM, "%s: cannot become %s: %s", from, to, strerror(errno));
	durable_step();
	status = sync_renamed(to);
	return status ? status : durable_sync_parent(to);
}

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int status;

	if (fd < 0)
		return fail(BOW_SYSTEM, "%s: %s", path, strerror(errno));
	status = durable_write(fd, path, text, strlen(text), DURABLE_APPEND);
	if (!status)
		status = durable_write(fd, path, "\n", 1, DURABLE_APPEND);
	if (!status)
		status = durable_sync(fd, path);
	if (close(fd) && !status)
		status = fail(BOW_SYSTEM, "%s: %s", path, strerror(errno));
	return status;
}

int durable_write_json(const char *path, struct json_object *obj)
{
	const char *text = json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PRETTY |
							  JSON_C_TO_STRING_NOSLASHESCAPE);
	char new[PATH_MAX];
	int status;

	if (snprintf(new, sizeof(new), "%s.new", path) >= (int)sizeof(new))
		status = fail(BOW_SYSTEM, "%s: %s", path, strerror(ENAMETOOLONG));
	else
		status = write_text(new, text);
	if (!status)
		status = durable_rename(new, path);
	json_object_put(obj);
	return status;
}

static struct json_object *parse(const char *text)
{
	struct json_object *obj = json_tokener_parse(text);
	u64 version;

	if (obj && json_get_number(obj, "version", &version) && version == 1)
		return obj;
	json_object_put(obj);
	return NULL;
}

struct json_object *durable_read_json(const char *path)
{
	struct json_object *obj = NULL;
	char *text = calloc(1, MAX_JSON);
	int fd = text ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t got = fd < 0 ? -1 : read(fd, text, MAX_JSON - 1);

	if (got < 0)
		error_msg("%s: %s", path, strerror(errno));
	else
		obj = parse(text);
	if (got >= 0 && !obj)
		error_msg("%s: not understood", path);
	if (fd >= 0)
		close(fd);
	free(text);
	return obj;
}

bool json_get_string(struct json_object *obj, const char *key, char *text, size_t size)
{
	struct json_object *member;

	if (!json_object_is_type(obj, json_type_object) ||
	    !json_object_object_get_ex(obj, key, &member) ||
	    !json_object_is_type(member, json_type_string) ||
	    (size_t)json_object_get_string_len(member) >= size)
		return false;
	snprintf(text, size, "%s", json_object_get_string(member));
	return true;
}

bool json_get_number(struct json_object *obj, const char *key, u64 *number)
{
	struct json_object *member;

	if (!json_object_is_type(obj, json_type_object) ||
	    !json_object_object_get_ex(obj, key, &member) ||
	    !json_object_is_type(member, json_type_int) || json_object_get_int64(member) < 0)
		return false;
	*number = json_object_get_uint64(member);
	return true;
}
