// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blksnap take: snapshots of several origins at one instant.
 *
 * Whatever can fail or take time comes before the first suspend: the images are
 * there, with tables that allocate and open all they need. In between there is
 * a resume of each image, which arms it. If anything fails all images go.
 */
#include <errno.h>
#include <libdevmapper.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <uuid/uuid.h>

#include "critical.h"
#include "snap.h"

#define DEFAULT_BLOCK_BYTES 65536U
#define MIN_BLOCK_BYTES 4096U
#define MAX_BLOCK_BYTES (1U << 20)

#define DEFAULT_TIMEOUT 30U	/* seconds, to suspend all */
#define MAX_TIMEOUT 3600U

struct image {
	struct snap_dev origin;
	unsigned int depth;		/* of the origin, in layers */
	u64 block_bytes;
	char name[BOW_DM_NAME];
	char uuid[BOW_DM_NAME + 2];
	char table[BOW_DM_NAME];
};

struct request {
	const struct command *cmd;
	const char *name;		/* or NULL: the time */
	const char *store_path;
	u64 block_bytes;		/* 0: not said */
	u64 timeout;			/* seconds */
	bool force;
	bool persistent;
	bool resume;			/* another command: go on with one */
	enum critical_point wait;
	struct bow_flags flags;

	char set_name[SNAP_SET_NAME];
	char set_uuid[UUID_TEXT];
	struct snap_store store;
	struct image *images;
	unsigned int nr;
};

/* ---- names ------------------------------------------------------------------------- */

static bool is_taken(const struct snap_list *list, const char *set_name)
{
	unsigned int i;

	for (i = 0; i < list->nr; i++)
		if (!strcmp(list->devs[i].set_name, set_name))
			return true;
	return false;
}

/* The time, and a number behind it if that second has a snapshot already. */
static void name_by_time(struct request *req, const struct snap_list *list)
{
	time_t now = time(NULL);
	char text[TIME_TEXT];
	unsigned int n;
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(text, sizeof(text), "%Y%m%d-%H%M%S", &tm);
	snprintf(req->set_name, sizeof(req->set_name), "%s", text);
	for (n = 2; is_taken(list, req->set_name); n++)
		snprintf(req->set_name, sizeof(req->set_name), "%s.%u", text, n);
}

static int choose_set(struct request *req, const struct snap_list *list)
{
	uuid_t uuid;

	uuid_generate_random(uuid);
	uuid_unparse_lower(uuid, req->set_uuid);
	if (!req->name) {
		name_by_time(req, list);
		return BOW_OK;
	}
	snprintf(req->set_name, sizeof(req->set_name), "%s", req->name);
	if (is_taken(list, req->set_name))
		return fail(BOW_REFUSED, "there is a snapshot '%s' already; choose another name, or 'blksnap remove %s'",
			    req->set_name, req->set_name);
	return BOW_OK;
}

static int name_image(const struct request *req, struct image *image,
		      unsigned int n)
{
	int len = snprintf(image->name, sizeof(image->name), "%s-%s",
			   image->origin.name, req->set_name);

	if (len >= (int)sizeof(image->name))
		return fail(BOW_REFUSED, "'%s-%s' is too long for a name; choose a shorter one for the snapshot",
			    image->origin.name, req->set_name);
	if (bow_dm_exists(image->name))
		return fail(BOW_REFUSED, "there is a dm device '%s' already; choose another name for the snapshot",
			    image->name);
	snprintf(image->uuid, sizeof(image->uuid), SNAP_UUID_PREFIX "%s-%u-%s",
		 req->set_uuid, n, req->set_name);
	return BOW_OK;
}

/* ---- checks -------------------------------------------------------------------------- */

static int check_origin(const struct request *req, struct image *image)
{
	const struct snap_dev *origin = &image->origin;
	u64 fixed = origin->block_bytes;	/* those lost count as well */
	int status = snap_check_settled(origin);

	if (status)
		return status;
	if (snap_device_sectors(origin->lower_text) != origin->sectors)
		return fail(BOW_REFUSED, "%s: the device below it has another size by now; 'blksnap detach %s', and attach it again when its size is settled",
			    origin->name, origin->name);
	if (fixed && req->block_bytes && req->block_bytes != fixed)
		return fail(BOW_REFUSED, "%s has snapshots with blocks of %llu bytes, and all of them must have the same; leave --block-size away",
			    origin->name, (unsigned long long)fixed);
	image->block_bytes = fixed ? fixed : req->block_bytes ? req->block_bytes :
			     DEFAULT_BLOCK_BYTES;
	return BOW_OK;
}

static int check_twice(const struct request *req, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (req->images[i].origin.number == req->images[n].origin.number)
			return fail(BOW_USAGE, "%s is named twice",
				    req->images[n].origin.name);
	return BOW_OK;
}

/* What was written since the log was left is not in it. */
static int check_unmounted(const struct snap_dev *origin)
{
	struct mount mnt;
	bool mounted = mount_of_device(origin->number, &mnt) == 1;

	mount_free(&mnt);
	if (mounted)
		return fail(BOW_REFUSED, "%s is mounted: what was written since then is not in the log, which must not be trusted any more; to end it, overwrite the first 4 KiB of the store",
			    origin->name);
	return BOW_OK;
}

/* After a reboot it is where no filesystem can be asked: it gets a note of its own place. */
static int check_own_file(struct request *req, const struct snap_dev *origin)
{
	struct snap_store *store = &req->store;

	if (!req->persistent || !store->is_file || store->origin != origin->number)
		return BOW_OK;
	if (store->shared)
		return fail(BOW_REFUSED, "%s is a store already; a persistent snapshot on its origin needs a new one",
			    store->path);
	store->inside_sectors = origin->sectors;
	return BOW_OK;
}

static int check_image(struct request *req, unsigned int n, const char *name)
{
	struct image *image = &req->images[n];
	int status = snap_origin_read(name, &image->origin);

	if (!status)
		status = check_twice(req, n);
	if (!status)
		status = check_origin(req, image);
	if (!status && req->resume)
		status = check_unmounted(&image->origin);
	if (!status)
		status = check_own_file(req, &image->origin);
	if (!status)
		status = snap_store_check_origin(&req->store, &image->origin);
	if (!status)
		status = name_image(req, image, n);
	if (status)
		return status;
	image->depth = snap_depth(image->origin.number);
	return BOW_OK;
}

/* Uppermost first: to freeze one may mean to write to those below it. */
static int by_depth(const void *a, const void *b)
{
	const struct image *x = a, *y = b;

	return (y->depth > x->depth) - (y->depth < x->depth);
}

static int refuse_carrier(const struct snap_store *store)
{
	static const char what[] = "carries a persistent snapshot; 'blksnap resume' goes on with it, 'blksnap restore' rolls back; if nobody wants it any more,";

	/* Of that very origin, most likely, which has been mounted since. */
	if (store->is_file && store->origin)
		return fail(BOW_REFUSED, "%s carries a persistent snapshot; if that is of the filesystem it lies on, which has been mounted since, it is not true any more: never restore it; 'dd if=/dev/zero of=%s bs=4096 count=1 conv=notrunc,fsync', and delete it",
			    store->path, store->path);
	if (store->is_file)
		return fail(BOW_REFUSED, "%s %s delete it", store->path, what);
	return fail(BOW_REFUSED, "%s %s 'dd if=/dev/zero of=%s bs=4096 count=1'", store->path,
		    what, store->path);
}

/* A log is of one origin, on a store of its own, and there must be one to go on with. */
static int check_log(const struct request *req)
{
	const struct snap_store *store = &req->store;

	if (store->carries_log && !req->resume)
		return refuse_carrier(store);
	if (req->persistent && store->in_use)
		return fail(BOW_REFUSED, "%s is the store of other snapshots; a persistent one needs its own",
			    store->path);
	if (req->resume && !store->carries_log)
		return fail(BOW_REFUSED, "%s: there is no snapshot in that store", store->path);
	/* What a journal still has of that might be written there after a crash. */
	if (req->persistent && store->written)
		return fail(BOW_REFUSED, "%s has been written to as a file; a persistent snapshot needs one that has only been allocated",
			    store->path);
	return BOW_OK;
}

static int check_all(struct request *req, char **names)
{
	struct snap_list list;
	unsigned int i;
	int status = snap_list_read(&list);

	if (status)
		return status;
	snap_file_tell_leftover(&list);
	status = choose_set(req, &list);
	if (!status)
		status = snap_store_check(&req->store, req->store_path, &list,
					  req->force || req->resume);
	if (!status)
		status = check_log(req);
	if (!status && req->persistent)
		status = snap_store_check_kept(&req->store, &list);
	req->store.durable = req->persistent;
	if (!status && req->resume)
		req->block_bytes = req->store.log_block_bytes;
	for (i = 0; i < req->nr && !status; i++)
		status = check_image(req, i, names[i]);
	if (!status && req->persistent)
		status = snap_store_check_above(&req->images[0].origin, &list);
	snap_list_free(&list);
	if (!status)
		qsort(req->images, req->nr, sizeof(*req->images), by_depth);
	return status;
}

/* ---- the take ---------------------------------------------------------------------------- */

/* Say what will not be as good as it sounds, and write out what is waiting. */
static void look_at_mount(const struct request *req, const struct snap_dev *origin)
{
	char user[USER_TEXT];
	struct mount mnt;
	bool mounted = mount_of_device(origin->number, &mnt) == 1;

	if (mounted && !strcmp(mnt.fstype, "btrfs"))
		warn_msg("%s: btrfs is not frozen by a suspend: the snapshot is as after a power cut",
			 origin->name);
	else if (!mounted && device_user(origin->number, user))
		warn_msg("%s is %s: filesystems above that are not frozen, the snapshot is as after a power cut",
			 origin->name, user);
	if (mounted && !req->flags.dry_run)
		mount_sync(&mnt);
	mount_free(&mnt);
}

static void look_at_secrets(const struct request *req, const struct snap_dev *origin)
{
	dev_t store = req->store.is_file ? req->store.below : req->store.number;

	if (snap_encrypted(origin->number) && !snap_encrypted(store))
		warn_msg("%s is encrypted and %s is not: old contents lie there in plain text, also when the snapshot is gone",
			 origin->name, req->store.path);
}

static void make_table(const struct request *req, struct image *image)
{
	snprintf(image->table, sizeof(image->table),
		 "0 %llu " SNAP_TARGET " %s %u:%u %s %llu%s\n",
		 (unsigned long long)image->origin.sectors,
		 image->origin.lower_text, major(req->store.number),
		 minor(req->store.number), req->persistent ? "persistent" : "transient",
		 (unsigned long long)image->block_bytes, req->resume ? " 1 resume" : "");
}

static int create_images(void *data)
{
	struct request *req = data;
	unsigned int i;
	int r;

	for (i = 0; i < req->nr; i++) {
		make_table(req, &req->images[i]);
		r = snap_create_inactive(req->images[i].name, req->images[i].uuid,
					 req->images[i].table);
		if (!r)
			continue;
		error_msg("cannot create %s: %s; the kernel log says why ('dmesg | tail')",
			  req->images[i].name, strerror(-r));
		bow_dm_print_log();
		return r;
	}
	return 0;
}

/* Of this take, that is: somebody else's snapshot is not ours to undo. */
static bool has_been_taken(const struct image *image)
{
	char *status = snap_status_read_uuid(image->uuid);
	char state[SNAP_WORD];
	bool taken = status && sscanf(status, "%*u %*u %*s %15s", state) == 1 &&
		     strcmp(state, "new");

	snap_table_free(status);
	return taken;
}

/* Some may never have been made. */
static void remove_images(void *data)
{
	struct request *req = data;
	bool logged = req->persistent && !req->resume && has_been_taken(&req->images[0]);
	unsigned int i;

	for (i = req->nr; i--; )
		snap_remove_uuid(req->images[i].uuid);
	/* Its log does not go with the image; what is resumed was there before. */
	if (logged)
		bow_dm_message(req->images[0].origin.name, "forget");
	snap_file_undo(&req->store);
	bow_dm_forget_log();
}

static int explain(const struct request *req, const struct critical *crit)
{
	unsigned int i;

	if (crit->stage == CRITICAL_SUSPEND && crit->error == ETIMEDOUT)
		error_msg("%s: cannot suspend: not all within %llu s; who writes to it may wait for another origin, or the disk is slow: try again, or with a longer --timeout",
			  crit->names[crit->index], (unsigned long long)req->timeout);
	else if (crit->stage == CRITICAL_SUSPEND)
		error_msg("%s: cannot suspend: %s; if its filesystem is frozen, 'fsfreeze --unfreeze' it first",
			  crit->names[crit->index], strerror(crit->error));
	if (crit->stage == CRITICAL_ACT)
		error_msg("%s: cannot start the snapshot: %s; the kernel log says why ('dmesg | tail')",
			  crit->actions[crit->index].name, strerror(crit->error));
	for (i = 0; i < req->nr; i++)
		if (bow_dm_exists(req->images[i].name))
			error_msg("%s is left over: 'dmsetup remove %s'",
				  req->images[i].name, req->images[i].name);
	if (req->store.is_file && !req->store.shared && bow_dm_exists(req->store.name))
		error_msg("%s goes with the snapshots that need it by now", req->store.path);
	if (req->resume)
		return fail(BOW_SYSTEM, "%s: not resumed; do not mount it: if 'blksnap check' finds the log good, 'blksnap restore' leads back until something is written",
			    req->images[0].origin.name);
	return fail(BOW_SYSTEM, "no snapshot was taken, of none of the origins");
}

static int take_now(struct request *req, double *ms)
{
	const char **names = calloc(req->nr, sizeof(*names));
	struct critical_action *actions = calloc(req->nr, sizeof(*actions));
	struct critical crit = {
		.names = names, .nr_names = req->nr,
		.actions = actions, .nr_actions = req->nr,
		.prepare = create_images, .undo = remove_images, .data = req,
		.wait = req->wait,
		/* One alone waits for nobody that it has suspended itself. */
		.suspend_ms = req->nr > 1 ? (unsigned int)req->timeout * 1000 : 0,
	};
	unsigned int i;
	int status = BOW_SYSTEM;

	for (i = 0; names && actions && i < req->nr; i++) {
		names[i] = req->images[i].origin.name;
		actions[i].name = req->images[i].name;
		/* It carries the origin's labels and UUIDs, which are the origin's. */
		actions[i].udev_flags = DM_UDEV_LOW_PRIORITY_FLAG;
	}
	if (names && actions)
		status = critical_run(&crit);
	if (!status && crit.error)
		status = explain(req, &crit);
	*ms = crit.ms;
	free(names);
	free(actions);
	return status;
}

/* ---- the report ----------------------------------------------------------------------------- */

static void report_json(const struct request *req, double ms)
{
	struct json_object *obj = json_report(), *list = json_object_new_array();
	struct json_object *image;
	char text[SIZE_TEXT];
	unsigned int i;

	json_add_string(obj, "snapshot", req->set_name);
	json_add_string(obj, "uuid", req->set_uuid);
	json_add_string(obj, "store", req->store.path);
	json_add_string(obj, "mode", req->persistent ? "persistent" : "transient");
	json_add_bool(obj, "dry_run", req->flags.dry_run);
	if (req->store.inside_sectors && req->store.first)
		json_add_number(obj, "store_sector", req->store.first);
	snprintf(text, sizeof(text), "%.1f", ms);
	json_object_object_add(obj, "suspended_ms",
			       json_object_new_double_s(ms, text));
	for (i = 0; i < req->nr; i++) {
		image = json_object_new_object();
		json_add_string(image, "name", req->images[i].name);
		json_add_string(image, "origin", req->images[i].origin.name);
		json_add_number(image, "size_bytes",
				req->images[i].origin.sectors << 9);
		json_add_number(image, "block_bytes", req->images[i].block_bytes);
		json_object_array_add(list, image);
	}
	json_object_object_add(obj, "images", list);
	json_print(obj);
}

static void report(const struct request *req, double ms)
{
	char path[USER_TEXT];
	unsigned int i;

	if (req->flags.json) {
		report_json(req, ms);
		return;
	}
	if (req->flags.dry_run)
		printf("%s: would be %s %u device(s)\n", req->set_name,
		       req->resume ? "resumed of" : "taken of", req->nr);
	else
		printf("%s: %s %u device(s), suspended for %.1f ms\n", req->set_name,
		       req->resume ? "resumed of" : "taken of", req->nr, ms);
	for (i = 0; i < req->nr; i++)
		printf("/dev/mapper/%s\n", req->images[i].name);
	if (req->store.inside_sectors && req->store.first)
		printf("to roll back, unmounted: blksnap restore --sector %llu %s\n",
		       (unsigned long long)req->store.first,
		       device_node(req->images[0].origin.lower_text, path));
}

/* On its own origin it must not share a block with anything else. */
static int fit_blocks(struct request *req)
{
	struct image *image = &req->images[0];
	u64 most = (req->store.grain & -req->store.grain) << 9;

	if (!req->store.inside_sectors || image->block_bytes <= most)
		return BOW_OK;
	if (req->block_bytes)
		return fail(BOW_REFUSED, "%s lies in pieces that are multiples of %llu bytes only; leave --block-size away",
			    req->store.path, (unsigned long long)most);
	image->block_bytes = most;
	return BOW_OK;
}

/* A signal must not leave a file behind that nobody knows of. */
static int open_and_take(struct request *req, double *ms)
{
	sigset_t old;
	int status;

	block_signals(&old);
	status = snap_file_open(&req->store);
	if (!status)
		status = fit_blocks(req);
	if (!status)
		status = take_now(req, ms);
	/* It may have failed before there was anything else to undo. */
	if (status)
		remove_images(req);
	if (req->store.create)
		snap_note("");
	sigprocmask(SIG_SETMASK, &old, NULL);
	return status;
}

static int take(struct request *req, char **names)
{
	double ms = 0;
	unsigned int i;
	int status = snap_begin();

	if (!status)
		status = check_all(req, names);
	if (status)
		return status;
	for (i = 0; i < req->nr; i++) {
		look_at_secrets(req, &req->images[i].origin);
		look_at_mount(req, &req->images[i].origin);
	}
	if (!req->flags.dry_run)
		status = open_and_take(req, &ms);
	if (!status)
		report(req, ms);
	return status;
}

static const struct option options[] = {
	{ "name", required_argument, NULL, 'n' },
	{ "store", required_argument, NULL, OPT_STORE },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "block-size", required_argument, NULL, OPT_BLOCK_SIZE },
	{ "persistent", no_argument, NULL, OPT_PERSISTENT },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "dry-run", no_argument, NULL, OPT_DRY_RUN },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "test-wait", required_argument, NULL, OPT_TEST_WAIT },
	BOW_COMMON_OPTIONS
};

static bool valid_block_size(const char *text, u64 *bytes)
{
	return !parse_size(text, bytes) && is_power_of_2(*bytes) &&
	       *bytes >= MIN_BLOCK_BYTES && *bytes <= MAX_BLOCK_BYTES;
}

static int take_option(int c, void *data)
{
	struct request *req = data;

	switch (c) {
	case 'n':
		req->name = optarg;
		if (snap_valid_name(optarg, SNAP_SET_NAME))
			return -1;
		return bow_usage_error(req->cmd, "the name may have letters, digits, '_', '.', '+' and '-', and is at most 63 long");
	case OPT_STORE:
		req->store_path = optarg;
		return -1;
	case OPT_SIZE:
		if (!parse_size(optarg, &req->store.wanted_bytes) && req->store.wanted_bytes)
			return -1;
		return bow_usage_error(&cmd_take, "--size wants a number of bytes, as 2G");
	case OPT_BLOCK_SIZE:
		if (valid_block_size(optarg, &req->block_bytes))
			return -1;
		return bow_usage_error(&cmd_take, "--block-size wants a power of two from 4K to 1M");
	case OPT_TIMEOUT:
		if (!parse_number(optarg, &req->timeout) && req->timeout &&
		    req->timeout <= MAX_TIMEOUT)
			return -1;
		return bow_usage_error(&cmd_take, "--timeout wants a number of seconds, 1 to 3600");
	case OPT_PERSISTENT:
		req->persistent = true;
		return -1;
	case OPT_FORCE:
		req->force = true;
		return -1;
	case OPT_TEST_WAIT:	/* for tests: time to interfere */
		req->wait = critical_point(optarg);
		return req->wait ? -1 :
			bow_usage_error(req->cmd, "--test-wait wants to know where");
	}
	return bow_common_option(req->cmd, c);
}

static int take_named(struct request *req, char **names, unsigned int nr)
{
	int status;

	req->nr = nr;
	req->images = calloc(nr, sizeof(*req->images));
	if (!req->images)
		return fail(BOW_SYSTEM, "out of memory");
	status = take(req, names);
	free(req->images);
	return status;
}

static int run(int argc, char **argv)
{
	struct request req = { .cmd = &cmd_take, .timeout = DEFAULT_TIMEOUT };
	int status = bow_parse_options(&cmd_take, argc, argv, options, &req.flags,
				       take_option, &req);

	if (status >= 0)
		return status;
	if (optind == argc)
		return bow_usage_error(&cmd_take, "one origin at least, please");
	if (!req.store_path)
		return bow_usage_error(&cmd_take, "--store is needed: a block device or file for old contents");
	if (req.persistent && argc - optind > 1)
		return bow_usage_error(&cmd_take, "one origin, please: each persistent snapshot has a store of its own; take one after the other, or without --persistent all at one instant");
	return take_named(&req, argv + optind, (unsigned int)(argc - optind));
}

const struct command cmd_take = {
	.name = "take",
	.summary = "take a snapshot of origins, all at one instant",
	.usage =
	"[options] --store <device or file> <origin>...\n\n"
	"Freeze all origins, snapshot them, go on. The contents as they were then are in\n"
	"/dev/mapper/<origin>-<name>, one for each origin; what is written there is kept\n"
	"apart. They are gone after a reboot, but for one that is persistent.\n\n"
	"Options:\n"
	"  -n, --name <name>         of the snapshot; default: the time\n"
	"      --store <where>       old contents are kept: a block device of its own, a\n"
	"                            file, or the store of other snapshots\n"
	"      --size <size>         make the file, so large; it goes with the last\n"
	"                            snapshot that it is the store of\n"
	"      --block-size <size>   4K to 1M, a power of two; default: 64K, or that of\n"
	"                            the origin's other snapshots\n"
	"      --persistent          write a log, so that it survives a reboot: the only\n"
	"                            snapshot of one origin, in a device or file of its\n"
	"                            own\n"
	"      --timeout <seconds>   give up if not all can be suspended; default: 30\n"
	"      --force               use the store even if it has contents\n"
	"      --dry-run             check everything, change nothing\n"
	"      --json                report as JSON\n"
	"  -h, --help                this text\n"
	"  -V, --version             the version\n\n"
	"Exit status: 0 done, 2 usage, 8 system error, 16 refused; if it is not 0, no\n"
	"snapshot was taken of any origin.\n",
	.run = run,
};

/* ---- after a reboot ------------------------------------------------------------------------- */

static const struct option resume_options[] = {
	{ "name", required_argument, NULL, 'n' },
	{ "store", required_argument, NULL, OPT_STORE },
	{ "dry-run", no_argument, NULL, OPT_DRY_RUN },
	{ "json", no_argument, NULL, OPT_JSON },
	BOW_COMMON_OPTIONS
};

static int run_resume(int argc, char **argv)
{
	struct request req = {
		.cmd = &cmd_resume, .timeout = DEFAULT_TIMEOUT, .persistent = true,
		.resume = true,
	};
	int status = bow_parse_options(&cmd_resume, argc, argv, resume_options, &req.flags,
				       take_option, &req);

	if (status >= 0)
		return status;
	if (optind + 1 != argc)
		return bow_usage_error(&cmd_resume, "one origin, please");
	if (!req.store_path)
		return bow_usage_error(&cmd_resume, "--store is needed: where the snapshot is");
	return take_named(&req, argv + optind, 1);
}

const struct command cmd_resume = {
	.name = "resume",
	.summary = "go on with a persistent snapshot after a reboot",
	.usage =
	"[options] --store <device or file> <origin>\n\n"
	"Make the image of the snapshot that is in the store again, and go on keeping what\n"
	"the origin overwrites. To be done before anything is written to the origin, that is,\n"
	"between 'blksnap attach' and the mount.\n\n"
	"Options:\n"
	"  -n, --name <name>    of the snapshot from now on; default: the time\n"
	"      --store <where>  the store of that snapshot\n"
	"      --dry-run        check everything, change nothing\n"
	"      --json           report as JSON\n"
	"  -h, --help           this text\n"
	"  -V, --version        the version\n\n"
	"Exit status: 0 done, 2 usage, 8 system error, 16 refused. If it is not 0, do not\n"
	"mount the origin: if the log is good, see 'blksnap check', 'blksnap restore' still\n"
	"leads back until something is written.\n",
	.run = run_resume,
};
