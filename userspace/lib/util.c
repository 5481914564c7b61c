// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Messages, numbers and JSON.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "command.h"
#include "util.h"

const char *program_name = "bow";

static int kmsg = -1;

void messages_to_kmsg(void)
{
	kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (kmsg < 0)
		warn_msg("/dev/kmsg: %s", strerror(errno));
}

/* One line, one write: the kernel takes each for a record of its own. */
static void message_to_kmsg(const char *kind, const char *fmt, va_list args)
{
	char text[900];

	vsnprintf(text, sizeof(text), fmt, args);
	dprintf(kmsg, "<%c>%s: %s%s\n", *kind ? '4' : '3', program_name, kind, text);
}

static void message(const char *kind, const char *fmt, va_list args)
{
	va_list again;

	va_copy(again, args);
	if (kmsg >= 0)
		message_to_kmsg(kind, fmt, again);
	va_end(again);
	/* Whatever was reported before comes first where both go to one file. */
	fflush(stdout);
	fprintf(stderr, "%s: %s", program_name, kind);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
}

void error_msg(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	message("", fmt, args);
	va_end(args);
}

void warn_msg(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	message("warning: ", fmt, args);
	va_end(args);
}

int fail(int status, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	message("", fmt, args);
	va_end(args);
	return status;
}

static int parse(const char *text, u64 *number, const char **rest)
{
	char *end;

	/* strtoull would take a sign, or nothing at all */
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	*number = strtoull(text, &end, 10);
	*rest = end;
	return errno ? -EINVAL : 0;
}

int parse_number(const char *text, u64 *number)
{
	const char *rest;

	return parse(text, number, &rest) || *rest ? -EINVAL : 0;
}

int parse_size(const char *text, u64 *bytes)
{
	static const char units[] = "KMGTPE";
	const char *rest, *unit;
	unsigned int shift;

	if (parse(text, bytes, &rest))
		return -EINVAL;
	if (!*rest)
		return 0;
	unit = strchr(units, toupper((unsigned char)*rest++));
	if (!unit || (*rest && strcasecmp(rest, "iB")))
		return -EINVAL;
	shift = 10 * (unsigned int)(unit - units + 1);
	if (*bytes > ~0ULL >> shift)
		return -EINVAL;
	*bytes <<= shift;
	return 0;
}

const char *format_size(char text[SIZE_TEXT], u64 bytes)
{
	static const char * const units[] = {
		"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB",
	};
	double size = (double)bytes;
	unsigned int unit = 0;

	while (size >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
		size /= 1024;
		unit++;
	}
	snprintf(text, SIZE_TEXT, unit && size < 100 ? "%.1f %s" : "%.0f %s",
		 size, units[unit]);
	return text;
}

const char *format_time(char text[TIME_TEXT], u64 seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	/* The number is data from a disk: it may be any. */
	if (!localtime_r(&t, &tm) ||
	    !strftime(text, TIME_TEXT, "%Y-%m-%dT%H:%M:%S%z", &tm))
		strcpy(text, "unknown");
	return text;
}

const char *format_uuid(char text[UUID_TEXT], const u8 uuid[16])
{
	uuid_unparse_lower(uuid, text);
	return text;
}

struct json_object *json_report(void)
{
	struct json_object *obj = json_object_new_object();

	json_object_object_add(obj, "version", json_object_new_int(1));
	return obj;
}

void json_add_string(struct json_object *obj, const char *key, const char *text)
{
	json_object_object_add(obj, key,
			       text ? json_object_new_string(text) : NULL);
}

void json_add_number(struct json_object *obj, const char *key, u64 number)
{
	json_object_object_add(obj, key, json_object_new_uint64(number));
}

void json_add_bool(struct json_object *obj, const char *key, bool yes)
{
	json_object_object_add(obj, key, json_object_new_boolean(yes));
}

void json_print(struct json_object *obj)
{
	puts(json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PRETTY |
						 JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(obj);
}

void count_step(u64 *done, u64 stop_after, const char *what)
{
	if (++*done != stop_after)
		return;
	error_msg("stopped after %llu %s, as asked", (unsigned long long)*done, what);
	_exit(BOW_SYSTEM);
}

double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

bool read_first_line(const char *path, char *text, int size)
{
	FILE *file = fopen(path, "re");
	bool ok;

	if (!file)
		return false;
	ok = fgets(text, size, file);
	fclose(file);
	if (ok)
		text[strcspn(text, "\n")] = '\0';
	return ok;
}
