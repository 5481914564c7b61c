// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blksnap grow: make a store larger, snapshots or not.
 */
#include <errno.h>

#include "snap.h"

struct request {
	const char *path;
	u64 bytes;			/* of the store, then */
	struct bow_flags flags;
	struct snap_list list;
	struct snap_growth growth;
};

/* Whoever made that device can make it larger. */
static int not_a_file(const struct request *req, const struct stat *st)
{
	unsigned int i;

	for (i = 0; i < req->list.nr; i++)
		if (S_ISBLK(st->st_mode) && req->list.devs[i].kind == SNAP_IMAGE &&
		    req->list.devs[i].store == st->st_rdev)
			return fail(BOW_REFUSED, "%s is not made of files: extend it as what it is, with 'lvextend' if it is a logical volume; its snapshots use the new space at once",
				    req->path);
	return fail(BOW_REFUSED, "%s is not a store; 'blksnap list' shows which are", req->path);
}

static int find_store(struct request *req)
{
	const struct snap_dev *dev, *origin;
	struct stat st;

	if (stat(req->path, &st))
		return fail(BOW_SYSTEM, "%s: %s", req->path, strerror(errno));
	dev = S_ISBLK(st.st_mode) ? snap_file_of(&req->list, st.st_rdev) :
				    snap_file_find(&req->list, &st);
	if (!dev)
		return not_a_file(req, &st);
	if (req->bytes <= dev->sectors << 9)
		return fail(BOW_REFUSED, "%s has %llu bytes already", req->path,
			    (unsigned long long)dev->sectors << 9);
	req->growth.list = &req->list;
	req->growth.dev = dev;
	req->growth.bytes = req->bytes - (dev->sectors << 9);
	/* Its filesystem would wait, and we with the lock. */
	origin = dev->on_origin ? snap_origin_of(&req->list, dev) : NULL;
	return origin ? snap_check_settled(origin) : BOW_OK;
}

static void report(const struct request *req)
{
	const struct snap_growth *growth = &req->growth;
	u64 size = (growth->dev->sectors << 9) + growth->added;
	char text[SIZE_TEXT];
	struct json_object *obj;

	if (!req->flags.json) {
		printf(req->flags.dry_run ? "%s: would be put behind %s: %s in all\n" :
		       "%s: put behind %s: %s in all\n", growth->path, growth->dev->path,
		       format_size(text, size));
		return;
	}
	obj = json_report();
	json_add_string(obj, "store", growth->dev->path);
	json_add_string(obj, "file", growth->path);
	json_add_bool(obj, "dry_run", req->flags.dry_run);
	json_add_number(obj, "size_bytes", size);
	json_add_number(obj, "added_bytes", growth->added);
	json_print(obj);
}

static int grow(struct request *req)
{
	int status = bow_dm_open();

	if (!status)
		status = snap_lock();
	if (!status)
		status = snap_list_read(&req->list);
	if (status)
		return status;
	status = find_store(req);
	if (!status)
		status = snap_grow(&req->growth, req->flags.dry_run);
	if (!status)
		report(req);
	snap_list_free(&req->list);
	return status;
}

static const struct option options[] = {
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "dry-run", no_argument, NULL, OPT_DRY_RUN },
	{ "json", no_argument, NULL, OPT_JSON },
	BOW_COMMON_OPTIONS
};

static int take_option(int c, void *data)
{
	struct request *req = data;

	if (c != OPT_SIZE)
		return bow_common_option(&cmd_grow, c);
	if (!parse_size(optarg, &req->bytes) && req->bytes)
		return -1;
	return bow_usage_error(&cmd_grow, "--size wants a number of bytes, as 2G");
}

static int run(int argc, char **argv)
{
	struct request req = { 0 };
	int status = bow_parse(&cmd_grow, argc, argv, options, &req.flags, take_option,
			       &req, "one store, please", &req.path);

	if (status >= 0)
		return status;
	if (!req.bytes)
		return bow_usage_error(&cmd_grow, "--size is needed: how large the store is to be");
	return grow(&req);
}

const struct command cmd_grow = {
	.name = "grow",
	.summary = "make a store larger",
	.usage =
	"[options] --size <size> <store>\n\n"
	"Put another file behind the file, or files, that the store is made of. It is\n"
	"called <file>.<number>, lies beside the first one and goes with the store. The\n"
	"snapshots go on meanwhile. A device as a store is extended by other means.\n\n"
	"Options:\n"
	"      --size <size>   of the store, all in all\n"
	"      --dry-run       check everything, change nothing\n"
	"      --json          report as JSON\n"
	"  -h, --help          this text\n"
	"  -V, --version       the version\n\n"
	"Exit status: 0 done, 2 usage, 8 system error, 16 refused.\n",
	.run = run,
};
