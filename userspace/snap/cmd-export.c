// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blksnap export: a snapshot as a file, all of it or what has changed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "durable.h"
#include "export.h"
#include "snap.h"

#define MAX_RANGES (1U << 24)

struct request {
	const char *name, *file;
	const char *since;
	struct bow_flags flags;

	char node[BOW_DM_NAME + 16];
	dev_t number;
	struct export_range *ranges;
	unsigned int nr, room;
	struct export ex;
};

/* ---- what is to be read ------------------------------------------------------------ */

static int add_range(u64 start, u64 length, void *data)
{
	struct request *req = data;
	struct export_range *ranges = req->ranges;

	if (req->nr == req->room) {
		req->room = req->room ? req->room * 2 : 1024;
		ranges = realloc(ranges, req->room * sizeof(*ranges));
		if (!ranges || req->room > MAX_RANGES)
			return fail(BOW_SYSTEM, "out of memory: too many changes to keep in mind");
		req->ranges = ranges;
	}
	ranges[req->nr++] = (struct export_range) { start, length };
	return BOW_OK;
}

static int check_since(struct request *req, const struct snap_dev *origin,
		       const struct snap_dev *image)
{
	struct increment_info *info = &req->ex.info;
	int status = snap_parse_id(req->since, origin, image, &info->since);

	if (status)
		return status;
	if (!info->since)
		return fail(BOW_USAGE, "'%s' is not the id of a snapshot, as 'blksnap list --json' has it", req->since);
	if (info->since == info->number)
		return fail(BOW_REFUSED, "%s is %s itself", req->since, req->name);
	return snap_changes_each(origin, image, info->since, add_range, req);
}

/* Everything but the time is the same whenever this is run again. */
static int describe(struct request *req, const struct snap_dev *origin,
		    const struct snap_dev *image)
{
	struct increment_info *info = &req->ex.info;

	if (uuid_parse(origin->generation, info->generation))
		return fail(BOW_SYSTEM, "%s: its generation is not understood", origin->name);
	info->number = image->cbt_number;
	info->size = image->sectors << 9;
	info->block_bytes = (u32)origin->cbt_bytes;
	info->time = (u64)time(NULL);
	snprintf(info->origin, sizeof(info->origin), "%s", origin->name);
	if (origin->sectors != image->sectors)
		return fail(BOW_REFUSED, "%s is not as large as %s any more", origin->name,
			    image->name);
	return req->since ? check_since(req, origin, image) :
			    add_range(0, info->size, req);
}

/* ---- the image ------------------------------------------------------------------------ */

/* What was written to the device: the sectors written and discarded. */
static int read_stamp(char text[EXPORT_STAMP], void *data)
{
	const struct request *req = data;
	unsigned long long written, discarded;
	char path[64], line[512];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/stat", major(req->number),
		 minor(req->number));
	if (!read_first_line(path, line, sizeof(line)) ||
	    sscanf(line, "%*u %*u %*u %*u %*u %*u %llu %*u %*u %*u %*u %*u %*u %llu",
		   &written, &discarded) != 2)
		return fail(BOW_SYSTEM, "%s: not understood", path);
	snprintf(text, EXPORT_STAMP, "%llu:%llu", written, discarded);
	return BOW_OK;
}

/* A filesystem that may be written to would be copied in the middle of that. */
static int check_unmounted(const struct request *req)
{
	struct mount mnt;
	bool writable = mount_of_device(req->number, &mnt) == 1 &&
			!mount_has_option(&mnt, "ro");
	int status = BOW_OK;

	if (writable)
		status = fail(BOW_REFUSED, "%s is mounted on %s and may be written to; unmount it, or mount it read-only",
			      req->name, mnt.target);
	mount_free(&mnt);
	return status;
}

static int open_image(struct request *req, const struct snap_dev *image)
{
	u64 bytes;

	req->number = image->number;
	snprintf(req->node, sizeof(req->node), "/dev/mapper/%s", image->name);
	req->ex.source = open(req->node, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (req->ex.source < 0 || ioctl(req->ex.source, BLKGETSIZE64, &bytes))
		return fail(BOW_SYSTEM, "%s: %s", req->node, strerror(errno));
	if (bytes != image->sectors << 9)
		return fail(BOW_SYSTEM, "%s is not the device it was", req->node);
	return check_unmounted(req);
}

/* ---- reports ------------------------------------------------------------------------- */

static void report_json(const struct request *req, u64 bytes)
{
	const struct export *ex = &req->ex;
	struct json_object *obj = json_report();
	char id[INCREMENT_ID];

	json_add_string(obj, "image", req->name);
	json_add_string(obj, "origin", ex->info.origin);
	json_add_string(obj, "id", increment_id(id, &ex->info, ex->info.number));
	json_add_string(obj, "since", req->since);
	json_add_string(obj, "file", req->file);
	json_add_bool(obj, "dry_run", req->flags.dry_run);
	json_add_number(obj, "size_bytes", ex->info.size);
	json_add_number(obj, "changed_bytes", bytes);
	if (!req->flags.dry_run) {
		json_add_number(obj, "resumed_bytes", ex->was_complete ? bytes : ex->resumed);
		json_add_number(obj, "data_bytes", ex->sums.data_bytes);
		json_add_number(obj, "zero_bytes", ex->sums.zero_bytes);
		json_add_number(obj, "file_bytes", ex->sums.bytes);
	}
	json_print(obj);
}

static void report(const struct request *req)
{
	const struct export *ex = &req->ex;
	u64 bytes = export_bytes(ex);
	char size[SIZE_TEXT], id[INCREMENT_ID];

	increment_id(id, &ex->info, ex->info.number);
	format_size(size, bytes);
	if (req->flags.json)
		report_json(req, bytes);
	else if (req->flags.dry_run)
		printf("%s would be %s%s: %s to be read\n", req->file, id,
		       req->since ? " as an increment" : "", size);
	else if (req->flags.quiet || !strcmp(req->file, "-"))
		return;
	else
		printf("%s is %s%s: %s read\n", req->file, id,
		       req->since ? " as an increment" : "", size);
}

/* ---- the command ------------------------------------------------------------------------ */

static int run_export(struct request *req)
{
	struct export *ex = &req->ex;

	ex->path = req->file;
	ex->source_name = req->name;
	ex->ranges = req->ranges;
	ex->nr_ranges = req->nr;
	ex->quiet = req->flags.quiet;
	ex->stamp = read_stamp;
	ex->data = req;
	return req->flags.dry_run ? export_check(ex) : export_run(ex);
}

static int export(struct request *req)
{
	const struct snap_dev *image, *origin;
	struct snap_list list = { 0 };
	int status = bow_dm_open();

	if (!status)
		status = snap_image_read(&list, req->name, &image, &origin);
	if (!status)
		status = open_image(req, image);
	if (!status)
		status = describe(req, origin, image);
	if (!status)
		status = run_export(req);
	if (!status)
		report(req);
	if (req->ex.source >= 0)
		close(req->ex.source);
	snap_list_free(&list);
	free(req->ranges);
	return status;
}

static const struct option options[] = {
	{ "since", required_argument, NULL, OPT_SINCE },
	{ "dry-run", no_argument, NULL, OPT_DRY_RUN },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "quiet", no_argument, NULL, 'q' },
	{ "stop-after", required_argument, NULL, OPT_STOP_AFTER },
	BOW_COMMON_OPTIONS
};

static int take_option(int c, void *data)
{
	struct request *req = data;

	switch (c) {
	case OPT_SINCE:
		req->since = optarg;
		return -1;
	case OPT_STOP_AFTER:	/* for tests: a cut at that step */
		return bow_stop_after_option(&cmd_export, &durable_stop_after);
	}
	return bow_common_option(&cmd_export, c);
}

static int check_arguments(const struct request *req)
{
	if (strcmp(req->file, "-"))
		return -1;
	if (!req->since)
		return bow_usage_error(&cmd_export, "a full image is a file, with holes; only an increment can go to the standard output");
	if (req->flags.json)
		return bow_usage_error(&cmd_export, "the standard output cannot take the increment and a report");
	if (isatty(STDOUT_FILENO) && !req->flags.dry_run)
		return bow_usage_error(&cmd_export, "an increment is not for a terminal");
	return -1;
}

static int run(int argc, char **argv)
{
	struct request req = { .ex.source = -1 };
	int status = bow_parse_options(&cmd_export, argc, argv, options, &req.flags,
				       take_option, &req);

	if (status >= 0)
		return status;
	if (argc - optind != 2)
		return bow_usage_error(&cmd_export, "an image and a file, please");
	req.name = argv[optind];
	req.file = argv[optind + 1];
	status = check_arguments(&req);
	return status >= 0 ? status : export(&req);
}

const struct command cmd_export = {
	.name = "export",
	.summary = "write a snapshot to a file, all of it or what has changed",
	.usage =
	"[options] <image> <file>\n\n"
	"Write all of an image to a raw file with holes, or with --since what has changed to\n"
	"an increment, which 'blksnap apply' folds into such a file. A file '-' is the\n"
	"standard output, for increments. If this is cut, run it again: it goes on where it\n"
	"was. The file gets its name when it is complete.\n\n"
	"Options:\n"
	"      --since <id>    of the snapshot that the increment is to be relative to; the id\n"
	"                      of a full image is in <full image>.blksnap\n"
	"      --dry-run       say how much would be read, write nothing\n"
	"      --json          report as JSON\n"
	"  -q, --quiet         no progress, no report\n"
	"  -h, --help          this text\n"
	"  -V, --version       the version\n\n"
	"Exit status: 0 done; 1 it is not known any more what has changed since then: make a\n"
	"full image; 2 usage; 8 I/O or system error; 16 no such image, or it is in use, or\n"
	"nothing is tracked, or the file is there already.\n",
	.run = run,
};
