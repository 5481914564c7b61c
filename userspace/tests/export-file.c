// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What `blksnap export` does, with files in place of images:
 *
 *	export-file SOURCE FILE [key=value]...
 *
 * With since=N and old=OLD an increment: of the blocks in which SOURCE differs from
 * OLD. stamp=TEXT is what would say whether the image was written to; after-read=TEXT
 * what it is from the second time on that it is asked for.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "command.h"
#include "durable.h"
#include "export.h"

#define die(...) (fprintf(stderr, "export-file: " __VA_ARGS__), fputc('\n', stderr), exit(99))

static struct {
	const char *old, *stamp, *after_read, *generation;
	u64 since, number, block, save, stop_after, time, quiet;
} opt = {
	.stamp = "0:0", .generation = "01234567-89ab-cdef-0123-456789abcdef",
	.number = 1, .block = 65536, .save = 1 << 20, .time = 1700000000,
};

static void take(const char *arg)
{
	static const struct {
		const char *key;
		const char **text;
		u64 *number;
	} keys[] = {
		{ "old", &opt.old, NULL }, { "stamp", &opt.stamp, NULL },
		{ "after-read", &opt.after_read, NULL },
		{ "generation", &opt.generation, NULL },
		{ "since", NULL, &opt.since }, { "number", NULL, &opt.number },
		{ "block", NULL, &opt.block }, { "save", NULL, &opt.save },
		{ "stop-after", NULL, &opt.stop_after }, { "time", NULL, &opt.time },
		{ "quiet", NULL, &opt.quiet },
	};
	const char *value = strchr(arg, '=');
	size_t i;

	for (i = 0; value && i < ARRAY_SIZE(keys); i++) {
		if (strncmp(arg, keys[i].key, (size_t)(value - arg)) ||
		    keys[i].key[value - arg])
			continue;
		if (keys[i].text)
			*keys[i].text = value + 1;
		else
			*keys[i].number = strtoull(value + 1, NULL, 10);
		return;
	}
	die("what is '%s'?", arg);
}

static int stamp(char text[EXPORT_STAMP], void *data)
{
	static bool again;

	(void)data;
	snprintf(text, EXPORT_STAMP, "%s", again && opt.after_read ? opt.after_read : opt.stamp);
	again = true;
	return BOW_OK;
}

static int open_file(const char *path, u64 *size)
{
	struct stat st;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &st))
		die("%s: %m", path);
	*size = (u64)st.st_size;
	return fd;
}

static u8 *read_file(const char *path, u64 size)
{
	u8 *data = malloc(size);
	u64 found;
	int fd = open_file(path, &found);

	if (!data || found != size || read(fd, data, size) != (ssize_t)size)
		die("%s: %m", path);
	close(fd);
	return data;
}

static void compare(struct export *ex, struct export_range *ranges, const char *source)
{
	u64 size = ex->info.size, at, len;
	u8 *old = read_file(opt.old, size), *new = read_file(source, size);
	struct export_range *last = NULL;

	for (at = 0; at < size; at += len) {
		len = min(opt.block, size - at);
		if (!memcmp(old + at, new + at, len))
			continue;
		if (last && last->start + last->length == at) {
			last->length += len;
			continue;
		}
		last = &ranges[ex->nr_ranges++];
		*last = (struct export_range) { at, len };
	}
	free(old);
	free(new);
}

int main(int argc, char **argv)
{
	struct export ex = { .stamp = stamp, .info.origin = "o" };
	struct export_range *ranges;
	int i, status;

	program_name = "export-file";
	if (argc < 3)
		die("SOURCE FILE [key=value]...");
	for (i = 3; i < argc; i++)
		take(argv[i]);
	ex.path = argv[2];
	ex.source_name = argv[1];
	ex.source = open_file(argv[1], &ex.info.size);
	ex.info.since = opt.since;
	ex.info.number = opt.number;
	ex.info.block_bytes = (u32)opt.block;
	ex.info.time = opt.time;
	ex.save_bytes = opt.save;
	ex.quiet = opt.quiet;
	durable_stop_after = opt.stop_after;
	if (uuid_parse(opt.generation, ex.info.generation))
		die("generation");
	ranges = calloc(ex.info.size / opt.block + 1, sizeof(*ranges));
	if (!ranges)
		die("memory");
	ex.ranges = ranges;
	ranges[0] = (struct export_range) { 0, ex.info.size };
	ex.nr_ranges = !opt.since;
	if (opt.since)
		compare(&ex, ranges, argv[1]);
	status = export_run(&ex);
	fprintf(stderr, "resumed %llu\n", (unsigned long long)ex.resumed);
	free(ranges);
	return status;
}
