// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blksnap detach: make an origin what it was before.
 */
#include <sys/sysmacros.h>

#include "snap-swap.h"

struct request {
	const char *name;
	enum critical_point wait;
	struct bow_flags flags;
};

static int check_idle(const struct snap_dev *dev)
{
	if (dev->snapshots || strcmp(dev->state, "idle"))
		return fail(BOW_REFUSED, "%s has %llu snapshot(s); 'blksnap remove --all %s' first",
			    dev->name, (unsigned long long)dev->snapshots,
			    dev->name);
	return snap_check_settled(dev);
}

/* They are written to below it, where other tables may put something else. */
static int check_no_files(const struct snap_dev *dev)
{
	struct snap_list list;
	unsigned int i;
	int status = snap_list_read(&list);

	if (status)
		return status;
	for (i = 0; i < list.nr && !status; i++)
		if (list.devs[i].kind == SNAP_FILE && list.devs[i].lower == dev->lower)
			status = fail(BOW_REFUSED, "%s is a store on %s; remove the snapshots that use it first",
				      list.devs[i].path, dev->name);
	snap_list_free(&list);
	return status;
}

static bool was_created(const struct snap_dev *dev)
{
	return !strncmp(dev->uuid, SNAP_ORIGIN_PREFIX, strlen(SNAP_ORIGIN_PREFIX));
}

static int remove_created(const struct request *req, const struct snap_dev *dev)
{
	char node[USER_TEXT];
	int status = snap_check_unused(dev);

	if (status)
		return status;
	device_node(dev->lower_text, node);
	if (req->flags.dry_run) {
		printf("would remove %s, made by 'attach --create', from %s\n",
		       dev->name, node);
		return BOW_OK;
	}
	status = bow_dm_remove(dev->name);
	if (!status)
		printf("%s: removed; %s is free again\n", dev->name, node);
	return status;
}

/* The dm device of that number: is it one that attach has put below? */
static bool find_real(const struct snap_dev *dev, struct snap_swap *swap)
{
	struct snap_dev real;
	char name[BOW_DM_NAME];

	if (!device_dm_name(dev->lower, name, sizeof(name)) ||
	    snap_dev_read(name, &real) ||
	    strncmp(real.uuid, SNAP_REAL_PREFIX, strlen(SNAP_REAL_PREFIX)))
		return false;
	snprintf(swap->real, sizeof(swap->real), "%s", real.name);
	snprintf(swap->real_uuid, sizeof(swap->real_uuid), "%s", real.uuid);
	return true;
}

static int swap_back(const struct request *req, struct snap_swap *swap,
		     const struct snap_dev *dev)
{
	int status = BOW_OK;

	if (!swap->old_table || !swap->new_table)
		return fail(BOW_SYSTEM, "%s: no table to be had", dev->name);
	if (!req->flags.dry_run)
		status = snap_swap(swap);
	if (status)
		return status;
	if (req->flags.dry_run)
		printf("would detach %s from %s\n", dev->name,
		       *swap->real ? swap->real : dev->lower_text);
	else
		printf("%s: detached, suspended for %.1f ms\n", dev->name,
		       swap->ms);
	return BOW_OK;
}

static int swap_table(const struct request *req, const struct snap_dev *dev)
{
	struct snap_swap swap = { .name = dev->name, .wait = req->wait };
	char linear[BOW_DM_NAME], *below = NULL, *table;
	int status;

	snprintf(linear, sizeof(linear), "0 %llu linear %s 0\n",
		 (unsigned long long)dev->sectors, dev->lower_text);
	table = snap_table_read(dev->name);
	swap.old_table = table;
	swap.new_table = linear;
	if (find_real(dev, &swap)) {
		below = snap_table_read(swap.real);
		swap.new_table = below;
	}
	status = swap_back(req, &swap, dev);
	snap_table_free(table);
	snap_table_free(below);
	return status;
}

static int detach(const struct request *req)
{
	struct snap_dev dev;
	int status = bow_dm_open();

	if (!status)
		status = snap_lock();
	if (!status)
		status = snap_origin_read(req->name, &dev);
	if (!status)
		status = check_idle(&dev);
	if (!status)
		status = check_no_files(&dev);
	if (status)
		return status;
	return was_created(&dev) ? remove_created(req, &dev) :
				   swap_table(req, &dev);
}

static const struct option options[] = {
	{ "dry-run", no_argument, NULL, OPT_DRY_RUN },
	{ "test-wait", required_argument, NULL, OPT_TEST_WAIT },
	BOW_COMMON_OPTIONS
};

static int take_option(int c, void *data)
{
	struct request *req = data;

	if (c != OPT_TEST_WAIT)
		return bow_common_option(&cmd_detach, c);
	req->wait = critical_point(optarg);
	return req->wait ? -1 :
		bow_usage_error(&cmd_detach, "--test-wait wants to know where");
}

static int run(int argc, char **argv)
{
	struct request req = { 0 };
	int status = bow_parse(&cmd_detach, argc, argv, options, &req.flags,
			       take_option, &req, "one name, please", &req.name);

	return status >= 0 ? status : detach(&req);
}

const struct command cmd_detach = {
	.name = "detach",
	.summary = "make an origin the plain device that it was",
	.usage =
	"[options] <name>\n\n"
	"Give the device the table back that it had before 'blksnap attach'; it may be\n"
	"mounted and busy. A device that was made by 'attach --create' is removed, and\n"
	"must not be in use. Refused while there are snapshots.\n\n"
	"Options:\n"
	"      --dry-run   check everything, change nothing\n"
	"  -h, --help      this text\n"
	"  -V, --version   the version\n\n"
	"Exit status: 0 done, 2 usage, 8 system error, 16 refused.\n",
	.run = run,
};
