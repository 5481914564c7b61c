// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blksnap changed: what a backup of an earlier snapshot lacks.
 */
#include "snap.h"

struct request {
	const char *name;
	const char *since;
	struct bow_flags flags;

	char id[SNAP_ID];
	u64 number, bytes;
	struct json_object *list;
};

static int add_range(u64 start, u64 length, void *data)
{
	struct request *req = data;
	struct json_object *range;

	req->bytes += length;
	if (!req->flags.json) {
		printf("%llu %llu\n", (unsigned long long)start, (unsigned long long)length);
		return BOW_OK;
	}
	range = json_object_new_object();
	json_add_number(range, "offset", start);
	json_add_number(range, "length", length);
	json_object_array_add(req->list, range);
	return BOW_OK;
}

static void report(const struct request *req, const struct snap_dev *origin)
{
	struct json_object *obj = json_report();

	json_add_string(obj, "image", req->name);
	json_add_string(obj, "origin", origin->name);
	json_add_string(obj, "id", req->id);
	if (req->since)
		json_add_string(obj, "since", req->since);
	json_add_number(obj, "size_bytes", origin->sectors << 9);
	json_add_number(obj, "cbt_block_bytes", origin->cbt_bytes);
	json_add_number(obj, "changed_bytes", req->bytes);
	json_object_object_add(obj, "ranges", req->list);
	json_print(obj);
}

static int changed(struct request *req)
{
	const struct snap_dev *image, *origin;
	struct snap_list list = { 0 };
	int status = bow_dm_open();

	if (!status)
		status = snap_image_read(&list, req->name, &image, &origin);
	if (!status && req->since)
		status = snap_parse_id(req->since, origin, image, &req->number);
	if (!status) {
		req->list = json_object_new_array();
		snap_id(req->id, origin, image);
		status = snap_changes_each(origin, image, req->number, add_range, req);
		if (!status && req->flags.json)
			report(req, origin);
	}
	snap_list_free(&list);
	return status;
}

static const struct option options[] = {
	{ "since", required_argument, NULL, OPT_SINCE },
	{ "json", no_argument, NULL, OPT_JSON },
	BOW_COMMON_OPTIONS
};

static int take_option(int c, void *data)
{
	struct request *req = data;

	if (c != OPT_SINCE)
		return bow_common_option(&cmd_changed, c);
	req->since = optarg;
	return -1;
}

static int run(int argc, char **argv)
{
	struct request req = { 0 };
	int status = bow_parse(&cmd_changed, argc, argv, options, &req.flags,
			       take_option, &req, "an image", &req.name);

	return status >= 0 ? status : changed(&req);
}

const struct command cmd_changed = {
	.name = "changed",
	.summary = "tell what has changed between two snapshots",
	.usage =
	"[options] <image>\n\n"
	"Print the ranges, offset and length in bytes, that a backup of an earlier snapshot\n"
	"lacks of this image: all that was written to since then, to the origin or to the\n"
	"images. Without --since: since the origin was attached.\n\n"
	"Options:\n"
	"      --since <id>    of the snapshot that the backup is one of, as 'blksnap list\n"
	"                      --json' has shown it then\n"
	"      --json          report as JSON, with the id of this image\n"
	"  -h, --help          this text\n"
	"  -V, --version       the version\n\n"
	"Exit status: 0 done, 1 not known any more: start over with all of the image,\n"
	"2 usage, 8 system error, 16 no such image, or nothing is tracked.\n",
	.run = run,
};
