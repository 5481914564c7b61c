// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blksnap mark: count a part of an origin as changed.
 */
#include <errno.h>

#include "snap.h"

struct request {
	u64 offset, length;		/* bytes */
	struct bow_flags flags;
};

static int check_range(struct request *req, const struct snap_dev *origin)
{
	u64 size = origin->sectors << 9;

	if (!origin->cbt_bytes)
		return fail(BOW_REFUSED, "%s: changed blocks are not tracked", origin->name);
	if (req->offset >= size || req->length > size - req->offset)
		return fail(BOW_USAGE, "%s has %llu bytes only", origin->name,
			    (unsigned long long)size);
	return BOW_OK;
}

/* Whole sectors, those in part included. */
static int mark(const struct request *req, const struct snap_dev *origin)
{
	u64 first = req->offset >> 9, end = (req->offset + req->length + 511) >> 9;
	char text[64];
	int r;

	snprintf(text, sizeof(text), "mark %llu %llu", (unsigned long long)first,
		 (unsigned long long)(end - first));
	r = bow_dm_message(origin->name, text);
	if (r)
		return fail(BOW_SYSTEM, "%s: cannot mark: %s", origin->name, strerror(-r));
	return BOW_OK;
}

static const struct option options[] = {
	BOW_COMMON_OPTIONS
};

static int take_option(int c, void *data)
{
	(void)data;
	return bow_common_option(&cmd_mark, c);
}

static int run(int argc, char **argv)
{
	struct request req = { 0 };
	struct snap_dev origin;
	int status = bow_parse_options(&cmd_mark, argc, argv, options, &req.flags,
				       take_option, &req);

	if (status >= 0)
		return status;
	if (argc - optind != 3 || parse_size(argv[optind + 1], &req.offset) ||
	    parse_size(argv[optind + 2], &req.length) || !req.length)
		return bow_usage_error(&cmd_mark, "an origin, an offset and a length, please");
	status = bow_dm_open();
	if (!status)
		status = snap_origin_read(argv[optind], &origin);
	if (!status)
		status = check_range(&req, &origin);
	return status ? status : mark(&req, &origin);
}

const struct command cmd_mark = {
	.name = "mark",
	.summary = "count a part of an origin as changed",
	.usage =
	"[options] <origin> <offset> <length>\n\n"
	"Whatever happens to that part, in bytes, the next increment has it.\n\n"
	"Options:\n"
	"  -h, --help      this text\n"
	"  -V, --version   the version\n\n"
	"Exit status: 0 done, 2 usage, 8 system error, 16 no such origin, or nothing is\n"
	"tracked.\n",
	.run = run,
};
