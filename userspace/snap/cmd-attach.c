// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blksnap attach: make a device an origin.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "snap-swap.h"

struct request {
	const char *name;
	const char *device;		/* with --create */
	bool create;
	const char *tracking;		/* or NULL */
	char features[64];		/* of the table: "", or what follows the device */
	enum critical_point wait;
	struct bow_flags flags;
};

static void report(const struct request *req, const char *lower, double ms)
{
	struct json_object *obj;
	char text[SIZE_TEXT];

	if (req->flags.json) {
		obj = json_report();
		json_add_string(obj, "name", req->name);
		json_add_string(obj, "lower", lower);
		json_add_bool(obj, "created", req->create);
		json_add_string(obj, "tracking", req->tracking);
		json_add_bool(obj, "dry_run", req->flags.dry_run);
		snprintf(text, sizeof(text), "%.1f", ms);
		json_object_object_add(obj, "suspended_ms",
				       json_object_new_double_s(ms, text));
		json_print(obj);
		return;
	}
	if (req->flags.dry_run)
		printf("would %s %s over %s\n", req->create ? "create" : "attach",
		       req->name, lower);
	else if (req->create)
		printf("/dev/mapper/%s\n", req->name);
	else
		printf("%s: attached over %s, suspended for %.1f ms\n",
		       req->name, lower, ms);
}

/* Neither may one wait for the other; see snap-tracking.c. */
static int check_tracking(struct request *req, const char *name, dev_t device)
{
	dev_t number;
	int status = snap_tracking_check_device(name, device);

	if (status || !req->tracking)
		return status;
	status = snap_tracking_check(req->tracking, device, &number);
	if (!status)
		snprintf(req->features, sizeof(req->features), " 2 tracking %u:%u",
			 major(number), minor(number));
	return status;
}

/* ---- a device that nobody uses: a new dm device over it --------------------------- */

static int check_device(const struct request *req, u64 *bytes, dev_t *number)
{
	char user[USER_TEXT] = "in use";
	struct stat st;
	int fd, status = BOW_OK;

	if (stat(req->device, &st))
		return fail(BOW_SYSTEM, "%s: %s", req->device, strerror(errno));
	if (!S_ISBLK(st.st_mode))
		return fail(BOW_USAGE, "%s is not a block device", req->device);
	fd = open(req->device, O_RDWR | O_EXCL | O_CLOEXEC);
	if (fd < 0 && errno == EBUSY) {
		device_user(st.st_rdev, user);
		return fail(BOW_REFUSED, "%s is %s; if that is a dm device, attach it as it is: 'blksnap attach <name>', else unmount it first",
			    req->device, user);
	}
	if (fd < 0 || ioctl(fd, BLKGETSIZE64, bytes))
		status = fail(BOW_SYSTEM, "%s: %s", req->device, strerror(errno));
	if (fd >= 0)
		close(fd);
	*number = st.st_rdev;
	return status;
}

static int create_origin(const struct request *req, u64 bytes, dev_t number)
{
	char table[BOW_DM_NAME], uuid[BOW_DM_NAME];
	int r;

	snprintf(table, sizeof(table), "0 %llu " SNAP_ORIGIN_TARGET " %u:%u%s\n",
		 (unsigned long long)bytes >> 9, major(number), minor(number), req->features);
	snap_make_uuid(uuid, SNAP_ORIGIN_PREFIX);
	r = snap_create(req->name, uuid, table, false);
	if (!r)
		return BOW_OK;
	error_msg("cannot create %s: %s; the kernel log says why ('dmesg | tail')",
		  req->name, strerror(-r));
	bow_dm_print_log();
	return BOW_SYSTEM;
}

static int attach_new(struct request *req)
{
	dev_t number = 0;
	u64 bytes = 0;
	int status = check_device(req, &bytes, &number);

	if (!status && bow_dm_exists(req->name))
		status = fail(BOW_REFUSED, "there is a dm device '%s' already; choose another name",
			      req->name);
	if (!status)
		status = check_tracking(req, req->device, number);
	if (!status && !req->flags.dry_run)
		status = create_origin(req, bytes, number);
	if (!status)
		report(req, req->device, 0);
	return status;
}

/* ---- a live dm device: another table ------------------------------------------------ */

/*
 * For a moment there are two of each target on the same devices. These keep
 * nothing but what is in the table.
 */
static bool may_be_twice(const char *type)
{
	static const char * const types[] = {
		"linear", "striped", "crypt", "delay", "flakey", "error", "zero",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(type, types[i]))
			return true;
	return false;
}

static int check_targets(const char *name, const char *table)
{
	const char *line;
	char type[64];

	for (line = table; *line; line = strchr(line, '\n') + 1) {
		if (sscanf(line, "%*u %*u %63s", type) != 1)
			return fail(BOW_SYSTEM, "%s: its table is not understood",
				    name);
		if (!may_be_twice(type))
			return fail(BOW_REFUSED, "%s: its table has a target '%s', which cannot be moved below another device while it is in use; attach what it lies on, or put a linear device above it before it is mounted",
				    name, type);
	}
	return BOW_OK;
}

static int check_live(const struct snap_dev *dev)
{
	int status;

	if (dev->kind == SNAP_ORIGIN)
		return fail(BOW_REFUSED, "%s is attached already; 'blksnap take' takes snapshots of it",
			    dev->name);
	if (dev->kind == SNAP_IMAGE)
		return fail(BOW_REFUSED, "%s is a snapshot; attach its origin", dev->name);
	if (!strncmp(dev->uuid, SNAP_UUID_PREFIX, strlen(SNAP_UUID_PREFIX)))
		return fail(BOW_REFUSED, "%s belongs to an attached device", dev->name);
	status = snap_check_settled(dev);
	if (status)
		return status;
	if (dev->read_only)
		return fail(BOW_REFUSED, "%s is read-only: what is on it stays as it is",
			    dev->name);
	return BOW_OK;
}

/* One linear line over all of a device: then nothing is needed between. */
static bool is_whole_device(const char *table, char lower[32])
{
	unsigned long long length, offset;
	int end = 0;

	return sscanf(table, "0 %llu linear %31s %llu\n%n", &length, lower,
		      &offset, &end) == 3 && end && !table[end] && !offset &&
	       snap_device_sectors(lower) == length;
}

static int name_real(struct snap_swap *swap)
{
	int n = snprintf(swap->real, sizeof(swap->real), "%s" SNAP_REAL_SUFFIX,
			 swap->name);

	snap_make_uuid(swap->real_uuid, SNAP_REAL_PREFIX);
	swap->create_real = true;
	if (n >= (int)sizeof(swap->real))
		return fail(BOW_REFUSED, "%s: the name is too long, there must be room for '"
			    SNAP_REAL_SUFFIX "'; 'dmsetup rename' helps", swap->name);
	if (bow_dm_exists(swap->real))
		return fail(BOW_REFUSED, "there is a dm device '%s' already, the name that is needed for what is below %s; rename it or remove it",
			    swap->real, swap->name);
	return BOW_OK;
}

/* Nobody else has loaded a table meanwhile? */
static int check_result(const struct request *req)
{
	struct snap_dev dev;
	int status = snap_dev_read(req->name, &dev);

	if (!status && dev.kind != SNAP_ORIGIN)
		status = fail(BOW_SYSTEM, "%s is not attached: somebody else has changed its table; try again",
			      req->name);
	return status;
}

static int swap_table(const struct request *req, struct snap_swap *swap)
{
	char lower[32], table[BOW_DM_NAME];
	int status = BOW_OK;

	if (is_whole_device(swap->old_table, lower)) {
		snprintf(table, sizeof(table), "0 %llu " SNAP_ORIGIN_TARGET " %s%s\n",
			 (unsigned long long)snap_table_end(swap->old_table),
			 lower, req->features);
		swap->new_table = table;
	} else {
		status = name_real(swap);
	}
	if (!status && !req->flags.dry_run) {
		status = snap_swap(swap);
		if (!status)
			status = check_result(req);
	}
	if (!status)
		report(req, *swap->real ? swap->real : lower, swap->ms);
	return status;
}

static int attach_live(struct request *req)
{
	static struct snap_dev dev;
	struct snap_swap swap = { .wait = req->wait, .features = req->features };
	char *table;
	int status = snap_dev_read(req->name, &dev);

	if (!status)
		status = check_live(&dev);
	if (!status)
		status = check_tracking(req, dev.name, dev.number);
	if (status)
		return status;
	req->name = dev.name;
	swap.name = dev.name;
	table = snap_table_read(dev.name);
	swap.old_table = table;
	if (!table || !*table)
		status = fail(BOW_REFUSED, "%s has no table", dev.name);
	if (!status)
		status = check_targets(dev.name, table);
	if (!status)
		status = swap_table(req, &swap);
	snap_table_free(table);
	return status;
}

static int attach(struct request *req)
{
	int status = snap_begin();

	if (status)
		return status;
	return req->create ? attach_new(req) : attach_live(req);
}

static const struct option options[] = {
	{ "create", no_argument, NULL, OPT_CREATE },
	{ "dry-run", no_argument, NULL, OPT_DRY_RUN },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "test-wait", required_argument, NULL, OPT_TEST_WAIT },
	{ "tracking", required_argument, NULL, OPT_TRACKING },
	BOW_COMMON_OPTIONS
};

static int take_option(int c, void *data)
{
	struct request *req = data;

	switch (c) {
	case OPT_CREATE:
		req->create = true;
		return -1;
	case OPT_TRACKING:
		req->tracking = optarg;
		return -1;
	case OPT_TEST_WAIT:
		req->wait = critical_point(optarg);
		return req->wait ? -1 :
			bow_usage_error(&cmd_attach, "--test-wait wants to know where");
	}
	return bow_common_option(&cmd_attach, c);
}

static int run(int argc, char **argv)
{
	struct request req = { 0 };
	int status = bow_parse_options(&cmd_attach, argc, argv, options,
				       &req.flags, take_option, &req);

	if (status >= 0)
		return status;
	if (optind + 1 + req.create != argc)
		return bow_usage_error(&cmd_attach, req.create ?
				       "with --create, a new name and a device, please" :
				       "one name, please");
	req.name = argv[optind];
	req.device = argv[argc - 1];
	if (req.create && !snap_valid_name(req.name, BOW_DM_NAME))
		return bow_usage_error(&cmd_attach, "the name may have letters, digits, '_', '.', '+' and '-', and is at most 127 long");
	return attach(&req);
}

const struct command cmd_attach = {
	.name = "attach",
	.summary = "make a dm device an origin, mounted and busy as it is",
	.usage =
	"[options] <name>\n"
	"       blksnap attach --create [options] <name> <device>\n\n"
	"Make the dm device <name> an origin: snapshots can be taken of it. It may be\n"
	"mounted and busy. With --create, make the dm device <name> over a device that\n"
	"is not in use, to be used in place of it.\n\n"
	"Options:\n"
	"      --create    make a new dm device over <device>\n"
	"      --tracking <device>\n"
	"                  keep there what has changed, over a reboot\n"
	"      --dry-run   check everything, change nothing\n"
	"      --json      report as JSON\n"
	"  -h, --help      this text\n"
	"  -V, --version   the version\n\n"
	"Exit status: 0 done, 2 usage, 8 system error, 16 refused.\n",
	.run = run,
};
