// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blksnap remove: end snapshots.
 */
#include <errno.h>

#include "snap.h"

struct request {
	bool all;
	struct bow_flags flags;
	struct snap_list list;
	bool *chosen;			/* of the list */
};

static bool is_named(const struct snap_dev *dev, const char *what)
{
	static const char dir[] = "/dev/mapper/";

	if (!strncmp(what, dir, strlen(dir)))
		what += strlen(dir);
	return !strcmp(dev->name, what);
}

/* Images of the origin, of the set, or that one: how many. */
static unsigned int choose(struct request *req, const char *what, bool by_set)
{
	const struct snap_dev *dev, *origin;
	unsigned int i, found = 0;
	bool yes;

	for (i = 0; i < req->list.nr; i++) {
		dev = &req->list.devs[i];
		if (dev->kind != SNAP_IMAGE)
			continue;
		origin = snap_origin_of(&req->list, dev);
		if (req->all)
			yes = origin && is_named(origin, what);
		else if (by_set)
			yes = !strcmp(dev->set_name, what);
		else
			yes = is_named(dev, what);
		req->chosen[i] |= yes;
		found += yes;
	}
	return found;
}

/* Durably: it is not to be there after the next reboot. */
static int forget_log(const char *origin)
{
	int r = bow_dm_message(origin, "forget");

	if (!r || r == -ENOENT)
		return BOW_OK;
	return fail(BOW_SYSTEM, "%s: the log on its store could not be ended: %s; see the kernel log, and overwrite the first 4 KiB of the store",
		    origin, strerror(-r));
}

/* A persistent snapshot goes on without its image. */
static int forget_bare(const struct request *req, const char *what)
{
	const struct snap_dev *dev;
	unsigned int i;

	for (i = 0; i < req->list.nr; i++) {
		dev = &req->list.devs[i];
		if (dev->kind != SNAP_ORIGIN || !is_named(dev, what) ||
		    !strcmp(dev->persistent, "-"))
			continue;
		if (!req->flags.dry_run)
			return forget_log(dev->name);
		printf("would end the persistent snapshot of %s\n", dev->name);
		return BOW_OK;
	}
	return fail(BOW_REFUSED, "%s has no snapshots; 'blksnap list' lists them", what);
}

static int choose_images(struct request *req, const char *what)
{
	unsigned int sets, one;

	if (req->all)
		return choose(req, what, false) ? BOW_OK : forget_bare(req, what);
	sets = choose(req, what, true);
	one = choose(req, what, false);
	if (sets && one)
		return fail(BOW_REFUSED, "'%s' is a snapshot and an image of another; name the images, as /dev/mapper/<image>",
			    what);
	if (!sets && !one)
		return fail(BOW_REFUSED, "there is no snapshot '%s'; 'blksnap list' lists them",
			    what);
	return BOW_OK;
}

static int check_chosen(const struct request *req)
{
	unsigned int i;
	int status = BOW_OK;

	for (i = 0; i < req->list.nr && !status; i++)
		if (req->chosen[i])
			status = snap_check_unused(&req->list.devs[i]);
	return status;
}

/* An image that is left, or an older one of its origin, may still look into a store. */
static bool may_be_needed(const struct request *req, const bool *removed, dev_t lower)
{
	unsigned int i;

	for (i = 0; i < req->list.nr; i++)
		if (req->list.devs[i].kind == SNAP_IMAGE && !removed[i] &&
		    req->list.devs[i].lower == lower)
			return true;
	return false;
}

/* What becomes of a store one of whose images was removed. */
struct leftover {
	bool seen;		/* looked at for an image before this one */
	bool has_image;
	bool needed;		/* perhaps: by older images with stores of their own */
	bool written;
};

/* It may be wanted yet, whole. */
static bool has_left_a_log(const struct snap_dev *image)
{
	return !strcmp(image->mode, "persistent") && !strcmp(image->state, "detached");
}

static struct leftover look_at_store(const struct request *req, const bool *removed,
				     unsigned int i)
{
	const struct snap_dev *devs = req->list.devs;
	struct leftover store = { .seen = false };
	unsigned int j;

	for (j = 0; j < req->list.nr; j++) {
		if (devs[j].kind != SNAP_IMAGE || devs[j].store != devs[i].store)
			continue;
		store.seen |= removed[j] && j < i;
		store.has_image |= !removed[j];
		store.needed |= may_be_needed(req, removed, devs[j].lower);
		store.written |= devs[j].store_used > 0 && !has_left_a_log(&devs[j]);
	}
	return store;
}

/* Copies of the origins' superblocks may lie there, if all images have gone. */
static void leave_stores(const struct request *req, const bool *removed)
{
	const struct snap_dev *devs = req->list.devs;
	struct leftover store;
	char path[USER_TEXT];
	unsigned int i;

	for (i = 0; i < req->list.nr; i++) {
		if (!removed[i] || snap_file_of(&req->list, devs[i].store))
			continue;
		store = look_at_store(req, removed, i);
		if (store.seen || store.has_image)
			continue;
		if (store.needed)
			warn_msg("%s is not free yet: older snapshots need what is kept there",
				 device_node(devs[i].store_text, path));
		else if (store.written)
			snap_store_wipe(devs[i].store);
	}
}

static int forget(const struct snap_list *list, const struct snap_dev *image)
{
	const struct snap_dev *origin = snap_origin_of(list, image);

	if (strcmp(image->mode, "persistent") || strcmp(image->state, "active") || !origin)
		return BOW_OK;
	return forget_log(origin->name);
}

static int remove_chosen(const struct request *req)
{
	bool *removed = calloc(req->list.nr, sizeof(*removed));
	int r, status = BOW_OK;
	unsigned int i;

	if (!removed)
		return fail(BOW_SYSTEM, "out of memory");
	for (i = 0; i < req->list.nr; i++) {
		if (!req->chosen[i])
			continue;
		if (req->flags.dry_run) {
			printf("would remove %s\n", req->list.devs[i].name);
			continue;
		}
		r = forget(&req->list, &req->list.devs[i]);
		if (!r)
			r = bow_dm_remove(req->list.devs[i].name);
		removed[i] = !r;
		status = status ? status : r;
	}
	leave_stores(req, removed);
	r = req->flags.dry_run ? BOW_OK : snap_files_sweep();
	status = status ? status : r;
	free(removed);
	return status;
}

static int remove_all(struct request *req, int argc, char **argv)
{
	int i, status = BOW_OK;

	/* At least one, for the sake of calloc. */
	req->chosen = calloc(req->list.nr + 1, sizeof(*req->chosen));
	if (!req->chosen)
		return fail(BOW_SYSTEM, "out of memory");
	for (i = 0; i < argc && !status; i++)
		status = choose_images(req, argv[i]);
	if (!status)
		status = check_chosen(req);
	if (!status)
		status = remove_chosen(req);
	free(req->chosen);
	return status;
}

static const struct option options[] = {
	{ "all", no_argument, NULL, OPT_ALL },
	{ "dry-run", no_argument, NULL, OPT_DRY_RUN },
	BOW_COMMON_OPTIONS
};

static int take_option(int c, void *data)
{
	struct request *req = data;

	if (c != OPT_ALL)
		return bow_common_option(&cmd_remove, c);
	req->all = true;
	return -1;
}

static int run(int argc, char **argv)
{
	struct request req = { 0 };
	int status = bow_parse_options(&cmd_remove, argc, argv, options,
				       &req.flags, take_option, &req);

	if (status >= 0)
		return status;
	if (optind == argc)
		return bow_usage_error(&cmd_remove, req.all ?
				       "one origin at least, please" :
				       "one snapshot at least, please");
	status = bow_dm_open();
	if (!status)
		status = snap_lock();
	if (!status)
		status = snap_list_read(&req.list);
	if (status)
		return status;
	status = remove_all(&req, argc - optind, argv + optind);
	snap_list_free(&req.list);
	return status;
}

const struct command cmd_remove = {
	.name = "remove",
	.summary = "end snapshots",
	.usage =
	"[options] <snapshot>...\n"
	"       blksnap remove --all [options] <origin>...\n\n"
	"Remove all images of a snapshot, or one if it is named as <origin>-<snapshot>.\n"
	"None may be in use. What was written to them is lost. A persistent snapshot ends\n"
	"with its image.\n\n"
	"Options:\n"
	"      --all       all images of these origins\n"
	"      --dry-run   check everything, say what would go, change nothing\n"
	"  -h, --help      this text\n"
	"  -V, --version   the version\n\n"
	"Exit status: 0 done, 2 usage, 8 system error, 16 in use or no such snapshot.\n",
	.run = run,
};
