// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is known of a full image.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "durable.h"
#include "sidecar.h"

static int name_of(const char *path, char name[PATH_MAX])
{
	if (snprintf(name, PATH_MAX, "%s.blksnap", path) >= PATH_MAX)
		return fail(BOW_SYSTEM, "%s: %s", path, strerror(ENAMETOOLONG));
	return BOW_OK;
}

int sidecar_read(const char *path, struct sidecar *side)
{
	struct json_object *obj;
	char name[PATH_MAX];
	bool good;

	memset(side, 0, sizeof(*side));
	if (name_of(path, name))
		return BOW_SYSTEM;
	if (access(name, F_OK) && errno == ENOENT)
		return fail(BOW_REFUSED, "%s is not a full image that 'blksnap export' has made: there is no %s; keep the two together",
			    path, name);
	obj = durable_read_json(name);
	if (!obj)
		return BOW_SYSTEM;
	good = json_get_string(obj, "id", side->id, sizeof(side->id)) &&
	       json_get_number(obj, "size_bytes", &side->size) &&
	       json_get_string(obj, "origin", side->origin, sizeof(side->origin)) &&
	       json_get_string(obj, "written", side->written, sizeof(side->written));
	if (good && json_object_object_get_ex(obj, "applying", NULL))
		good = json_get_string(obj, "applying", side->applying, sizeof(side->applying)) &&
		       json_get_number(obj, "applying_time", &side->applying_time);
	json_object_put(obj);
	return good ? BOW_OK : fail(BOW_SYSTEM, "%s: not understood; export a full image anew", name);
}

int sidecar_write(const char *path, const struct sidecar *side)
{
	struct json_object *obj = json_report();
	char name[PATH_MAX];

	json_add_string(obj, "id", side->id);
	if (*side->applying) {
		json_add_string(obj, "applying", side->applying);
		json_add_number(obj, "applying_time", side->applying_time);
	}
	json_add_number(obj, "size_bytes", side->size);
	json_add_string(obj, "origin", side->origin);
	json_add_string(obj, "written", side->written);
	if (!name_of(path, name))
		return durable_write_json(name, obj);
	json_object_put(obj);
	return BOW_SYSTEM;
}

int sidecar_time(int fd, const char *path, char text[SIDECAR_TIME])
{
	struct stat st;

	if (fstat(fd, &st))
		return fail(BOW_SYSTEM, "%s: %s", path, strerror(errno));
	snprintf(text, SIDECAR_TIME, "%lld.%09ld", (long long)st.st_mtim.tv_sec,
		 st.st_mtim.tv_nsec);
	return BOW_OK;
}

bool sidecar_same_time(const struct sidecar *side, const char *now)
{
	const char *fraction = strchr(now, '.');
	size_t seconds = fraction ? (size_t)(fraction - now) + 1 : 0;

	if (!strcmp(side->written, now))
		return true;
	return seconds && !strncmp(side->written, now, seconds) &&
	       !strcmp(now + seconds, "000000000");
}
