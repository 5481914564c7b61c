// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blksnap monitor: watch over the space in all stores, and make them larger.
 *
 * The kernel raises an event when less than the mark of an image is left in its
 * store. All images get our mark; whenever there is an event of any dm device, a new
 * table included, everything is looked at again. Nothing is done by time.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "dev.h"
#include "snap.h"

#define CONTROL "/dev/mapper/control"
#define DEFAULT_PERCENT 20U
#define MIN_STEP (64ULL << 20)

/* What is remembered of a store that could not be made larger. */
struct trouble {
	dev_t store;
	u64 retry_below;		/* sectors left */
};

struct monitor {
	u64 low_bytes;			/* or... */
	unsigned int low_percent;	/* ...of the store, if that is 0 */
	u64 step, limit;		/* bytes; 0: not said */
	bool once;
	struct bow_flags flags;

	struct snap_list list;
	struct trouble *troubles;
	unsigned int nr_troubles;
	bool grown, low;		/* in this pass; some are low for good */

	/* What was told in the last pass is not told again as long as it is so. */
	char **told, **telling;
	unsigned int nr_told, nr_telling;
};

/* ---- what is told ------------------------------------------------------------------ */

static void print_event(const struct monitor *mon, const char *event, const char *subject,
			const char *text)
{
	struct json_object *obj;

	error_msg("%s: %s", subject, text);
	if (!mon->flags.json)
		return;
	obj = json_report();
	json_add_string(obj, "event", event);
	json_add_string(obj, "name", subject);
	json_add_string(obj, "text", text);
	puts(json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PLAIN |
						 JSON_C_TO_STRING_NOSLASHESCAPE));
	fflush(stdout);
	json_object_put(obj);
}

static bool remember(struct monitor *mon, const char *subject, const char *text)
{
	char **telling = realloc(mon->telling, (mon->nr_telling + 1) * sizeof(*telling));
	unsigned int i;

	if (!telling)
		return false;
	mon->telling = telling;
	if (asprintf(&telling[mon->nr_telling], "%s: %s", subject, text) < 0)
		return false;
	for (i = 0; i < mon->nr_told; i++)
		if (!strcmp(mon->told[i], telling[mon->nr_telling]))
			break;
	mon->nr_telling++;
	return i < mon->nr_told;
}

/* Something that goes on: once. */
static void tell(struct monitor *mon, const char *event, const char *subject,
		 const char *text)
{
	if (!remember(mon, subject, text))
		print_event(mon, event, subject, text);
}

static void end_telling(struct monitor *mon)
{
	while (mon->nr_told)
		free(mon->told[--mon->nr_told]);
	free(mon->told);
	mon->told = mon->telling;
	mon->nr_told = mon->nr_telling;
	mon->telling = NULL;
	mon->nr_telling = 0;
}

/* ---- one store ---------------------------------------------------------------------- */

static struct trouble *find_trouble(const struct monitor *mon, dev_t store)
{
	unsigned int i;

	for (i = 0; i < mon->nr_troubles; i++)
		if (mon->troubles[i].store == store)
			return &mon->troubles[i];
	return NULL;
}

/* Not again before half of what is left is used up too; with 0 not at all. */
static void note_trouble(struct monitor *mon, dev_t store, u64 retry_below)
{
	struct trouble *trouble = find_trouble(mon, store), *troubles;

	if (!trouble) {
		troubles = realloc(mon->troubles, (mon->nr_troubles + 1) * sizeof(*troubles));
		if (!troubles)
			return;
		mon->troubles = troubles;
		trouble = &troubles[mon->nr_troubles++];
		trouble->store = store;
	}
	trouble->retry_below = retry_below;
}

static u64 left_of(const struct snap_dev *image)
{
	return image->store_sectors > image->store_used ?
	       image->store_sectors - image->store_used : 0;
}

/* With less than that left, in sectors, something is to be done. */
static u64 mark_of(const struct monitor *mon, const struct snap_dev *image)
{
	const struct trouble *trouble = find_trouble(mon, image->store);
	u64 mark = mon->low_bytes ? mon->low_bytes >> 9 :
		   image->store_sectors * mon->low_percent / 100;

	return trouble ? min(mark, trouble->retry_below) : mark;
}

/* How much to add, in bytes; 0 if there is a reason not to, which has been told. */
static u64 step_of(struct monitor *mon, const struct snap_dev *image, const char *name,
		   const struct snap_dev *file)
{
	u64 size = image->store_sectors << 9;
	u64 step = mon->step ? mon->step : max(size / 4, (u64)MIN_STEP);

	if (!file)
		tell(mon, "low", name, "space is short, and it is not made of files: extend it by other means");
	else if (!strcmp(image->mode, "persistent"))
		tell(mon, "low", name, "space is short, and the file of a persistent snapshot cannot be made larger");
	else if (!mon->limit)
		tell(mon, "low", name, "space is short; without --limit nothing is done about that");
	else if (size >= mon->limit)
		tell(mon, "low", name, "space is short, and the limit is reached");
	else
		return min(step, mon->limit - size);
	return 0;
}

/* On an origin it may have cost as much as it has brought. */
static void check_gain(struct monitor *mon, const struct snap_dev *before,
		       const struct snap_dev *file, const char *name)
{
	struct snap_dev now;

	if (!file->on_origin || snap_dev_read(before->name, &now) ||
	    left_of(&now) > left_of(before))
		return;
	tell(mon, "low", name, "to make it larger brings nothing, as snapshots need what is in those places; next time make it as large as needed when they are taken");
	note_trouble(mon, before->store, 0);
}

static void grow_store(struct monitor *mon, const struct snap_dev *image, const char *name)
{
	struct snap_growth growth = {
		.list = &mon->list, .dev = snap_file_of(&mon->list, image->store),
	};
	char added[SIZE_TEXT], size[SIZE_TEXT], text[256];

	growth.bytes = step_of(mon, image, name, growth.dev);
	if (!growth.bytes) {
		mon->low = true;
		return;
	}
	if (snap_grow(&growth, false)) {
		mon->low = true;
		note_trouble(mon, image->store, left_of(image) / 2);
		return;
	}
	snprintf(text, sizeof(text), "grown by %s to %s", format_size(added, growth.added),
		 format_size(size, (image->store_sectors << 9) + growth.added));
	print_event(mon, "grown", name, text);
	mon->grown = true;
	check_gain(mon, image, growth.dev, name);
}

static void look_at_store(struct monitor *mon, const struct snap_dev *image)
{
	const struct snap_dev *file = snap_file_of(&mon->list, image->store);
	char node[USER_TEXT];

	if (left_of(image) < mark_of(mon, image))
		grow_store(mon, image, file ? file->path : device_node(image->store_text, node));
}

/* ---- all of them ---------------------------------------------------------------------- */

static bool is_live(const struct snap_dev *dev)
{
	return dev->kind == SNAP_IMAGE && !strcmp(dev->state, "active");
}

static bool is_first_of_store(const struct monitor *mon, unsigned int n)
{
	const struct snap_dev *devs = mon->list.devs;
	unsigned int i;

	for (i = 0; i < n; i++)
		if (is_live(&devs[i]) && devs[i].store == devs[n].store)
			return false;
	return true;
}

/* So that the kernel tells us when. */
static void set_mark(struct monitor *mon, const struct snap_dev *image)
{
	u64 mark = mark_of(mon, image);
	char text[64];
	int r;

	if (image->low_water == mark)
		return;
	snprintf(text, sizeof(text), "low_water %llu", (unsigned long long)mark);
	r = bow_dm_message(image->name, text);
	if (r)
		tell(mon, "failed", image->name, strerror(-r));
}

/* Their numbers may come to be those of other stores. */
static void forget_troubles(struct monitor *mon)
{
	const struct snap_dev *devs = mon->list.devs;
	unsigned int i, j;

	for (i = mon->nr_troubles; i--; ) {
		for (j = 0; j < mon->list.nr; j++)
			if (is_live(&devs[j]) && devs[j].store == mon->troubles[i].store)
				break;
		if (j == mon->list.nr)
			mon->troubles[i] = mon->troubles[--mon->nr_troubles];
	}
}

static void look_at(struct monitor *mon, unsigned int n)
{
	const struct snap_dev *dev = &mon->list.devs[n];
	char text[64];

	if (is_live(dev) && is_first_of_store(mon, n))
		look_at_store(mon, dev);
	if (dev->kind == SNAP_ORIGIN && dev->tracking_lost)
		tell(mon, "untracked", dev->name,
		     "the tracking device has failed: after the next snapshot, and after a reboot, everything counts as changed");
	if (is_live(dev)) {
		set_mark(mon, dev);
	} else if (dev->kind == SNAP_IMAGE && strcmp(dev->state, "new")) {
		snprintf(text, sizeof(text), "the snapshot is lost: %s", dev->state);
		tell(mon, "lost", dev->name, text);
	}
}

static int one_pass(struct monitor *mon)
{
	unsigned int i;
	int status = snap_lock();

	mon->grown = mon->low = false;
	if (!status)
		status = snap_list_read(&mon->list);
	if (!status)
		forget_troubles(mon);
	for (i = 0; !status && i < mon->list.nr; i++)
		look_at(mon, i);
	snap_list_free(&mon->list);
	snap_unlock();
	end_telling(mon);
	return status;
}

/* Until there is nothing left to do. */
static int look_around(struct monitor *mon)
{
	int status;

	do
		status = one_pass(mon);
	while (!status && mon->grown);
	return status;
}

/* ---- events ---------------------------------------------------------------------------- */

/* From now on: whatever happens is seen by the next poll. */
static int arm(int fd)
{
	struct dm_ioctl io = {
		.version = { 4, 37, 0 }, .data_size = sizeof(io),
	};

	if (ioctl(fd, DM_DEV_ARM_POLL, &io))
		return fail(BOW_SYSTEM, CONTROL ": %s", strerror(errno));
	return BOW_OK;
}

static int wait_for_event(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	if (poll(&pfd, 1, -1) < 0 && errno != EINTR)
		return fail(BOW_SYSTEM, CONTROL ": %s", strerror(errno));
	return BOW_OK;
}

static int watch(struct monitor *mon)
{
	int fd = open(CONTROL, O_RDWR | O_CLOEXEC), status = BOW_OK;

	if (fd < 0)
		return fail(BOW_SYSTEM, CONTROL ": %s", strerror(errno));
	while (!status) {
		status = arm(fd);
		if (!status)
			status = look_around(mon);
		if (!status)
			status = wait_for_event(fd);
	}
	close(fd);
	return status;
}

/* ---- options ---------------------------------------------------------------------------- */

static const struct option options[] = {
	{ "low-water", required_argument, NULL, OPT_LOW_WATER },
	{ "step", required_argument, NULL, OPT_STEP },
	{ "limit", required_argument, NULL, OPT_LIMIT },
	{ "once", no_argument, NULL, OPT_ONCE },
	{ "json", no_argument, NULL, OPT_JSON },
	BOW_COMMON_OPTIONS
};

static bool parse_low_water(struct monitor *mon, const char *text)
{
	char rest;

	mon->low_bytes = 0;
	if (strchr(text, '%'))
		return sscanf(text, "%3u%%%c", &mon->low_percent, &rest) == 1 &&
		       mon->low_percent && mon->low_percent < 100;
	return !parse_size(text, &mon->low_bytes) && mon->low_bytes >> 9;
}

static int take_option(int c, void *data)
{
	struct monitor *mon = data;

	switch (c) {
	case OPT_LOW_WATER:
		return parse_low_water(mon, optarg) ? -1 :
			bow_usage_error(&cmd_monitor, "--low-water wants a number of bytes, as 2G, or 1% to 99%");
	case OPT_STEP:
		return !parse_size(optarg, &mon->step) && mon->step ? -1 :
			bow_usage_error(&cmd_monitor, "--step wants a number of bytes, as 2G");
	case OPT_LIMIT:
		return !parse_size(optarg, &mon->limit) && mon->limit ? -1 :
			bow_usage_error(&cmd_monitor, "--limit wants a number of bytes, as 20G");
	case OPT_ONCE:
		mon->once = true;
		return -1;
	}
	return bow_common_option(&cmd_monitor, c);
}

static int run(int argc, char **argv)
{
	struct monitor mon = { .low_percent = DEFAULT_PERCENT };
	int status = bow_parse_options(&cmd_monitor, argc, argv, options, &mon.flags,
				       take_option, &mon);

	if (status >= 0)
		return status;
	if (optind != argc)
		return bow_usage_error(&cmd_monitor, "no arguments, please");
	status = bow_dm_open();
	if (!status)
		status = snap_need_targets();
	if (status)
		return status;
	if (!mon.once)
		return watch(&mon);
	status = look_around(&mon);
	return status ? status : mon.low ? BOW_DONE : BOW_OK;
}

const struct command cmd_monitor = {
	.name = "monitor",
	.summary = "watch over the space in stores, make them larger",
	.usage =
	"[options]\n\n"
	"Wait for snapshots whose stores run short of space, and make stores that are\n"
	"files larger, up to a limit. Stays in the foreground; what happens is told on\n"
	"the standard error.\n\n"
	"Options:\n"
	"      --low-water <size>   what is too little: bytes, or a percentage of the\n"
	"                           store; default: 20%\n"
	"      --limit <size>       of a store; without it none is made larger\n"
	"      --step <size>        to add; default: a quarter of what there is, at least\n"
	"                           64M\n"
	"      --once               do now what is to be done, and end\n"
	"      --json               print each event as one line of JSON as well\n"
	"  -h, --help               this text\n"
	"  -V, --version            the version\n\n"
	"Exit status: 0 done, 1 with --once: a store is short of space and was not made\n"
	"larger, 2 usage, 8 system error.\n",
	.run = run,
};
