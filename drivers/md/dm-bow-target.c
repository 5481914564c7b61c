// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bow target as device-mapper sees it.
 */
#include <linux/module.h>
#include <linux/sched/mm.h>

#include "dm-bow.h"

#define DM_MSG_PREFIX "bow"

static const char * const state_names[] = {
	[BOW_TRIM] = "trim",
	[BOW_CHECKPOINT] = "checkpoint",
	[BOW_COMMITTED] = "committed",
	[BOW_FAILED] = "failed",
};

static const char * const on_full_names[] = {
	[COW_FULL_FAIL] = "fail",
	[COW_FULL_HOLD] = "hold",
	[COW_FULL_COMMIT] = "commit",
};

/* ---- arguments ---------------------------------------------------------- */

static int parse_block_size(struct dm_arg_set *as, struct bow_target *bt,
			    char **error)
{
	static const struct dm_arg arg = {
		COW_MIN_BLOCK_SECTORS << 9, COW_MAX_BLOCK_SECTORS << 9,
		"block_size must be a power of two from 4096 to 1048576",
	};
	unsigned int bytes;
	int r = dm_read_arg(&arg, as, &bytes, error);

	if (!r && !is_power_of_2(bytes)) {
		*error = arg.error;
		r = -EINVAL;
	}
	bt->block_sectors = bytes >> 9;
	return r;
}

static int parse_on_full(struct dm_arg_set *as, struct bow_target *bt,
			 char **error)
{
	const char *value = dm_shift_arg(as);
	int r = value ? match_string(on_full_names, ARRAY_SIZE(on_full_names), value) :
			-EINVAL;

	if (r < 0) {
		*error = "on_full must be fail, hold or commit";
		return -EINVAL;
	}
	bt->on_full = r;
	return 0;
}

static int parse_low_water(struct dm_arg_set *as, struct bow_target *bt,
			   char **error)
{
	const char *value = dm_shift_arg(as);

	if (value && !kstrtou64(value, 10, &bt->low_water))
		return 0;
	*error = "low_water must be a number of blocks";
	return -EINVAL;
}

static int parse_feature(struct dm_arg_set *as, struct bow_target *bt,
			 char **error)
{
	const char *name = dm_shift_arg(as);

	if (!strcasecmp(name, "block_size"))
		return parse_block_size(as, bt, error);
	if (!strcasecmp(name, "on_full"))
		return parse_on_full(as, bt, error);
	if (!strcasecmp(name, "low_water"))
		return parse_low_water(as, bt, error);
	if (!strcasecmp(name, "resume")) {
		bt->resume = true;
		return 0;
	}
	*error = "Unknown feature argument";
	return -EINVAL;
}

static int parse_features(struct dm_arg_set *as, struct bow_target *bt,
			  char **error)
{
	static const struct dm_arg arg = { 0, 7, "Bad number of feature arguments" };
	struct dm_arg_set features;
	unsigned int count;
	int r;

	if (!as->argc)
		return 0;
	r = dm_read_arg_group(&arg, as, &count, error);
	if (r)
		return r;
	features = (struct dm_arg_set) { count, as->argv };
	dm_consume_args(as, count);
	while (features.argc && !r)
		r = parse_feature(&features, bt, error);
	if (!r && as->argc) {
		*error = "Too many arguments";
		r = -EINVAL;
	}
	return r;
}

/* ---- constructor -------------------------------------------------------- */

static int check_device(struct dm_target *ti, struct bow_target *bt)
{
	struct block_device *bdev = bt->dev->bdev;
	int r = cow_dev_check(ti, bdev);

	if (r)
		return r;
	if (bdev_logical_block_size(bdev) > COW_PAGE_SIZE) {
		ti->error = "Logical block size is larger than 4096";
		return -EINVAL;
	}
	return 0;
}

static struct bow *bow_new(struct dm_target *ti, struct bow_target *bt)
{
	struct bow *bow = kzalloc(sizeof(*bow), GFP_KERNEL);

	if (!bow)
		return NULL;
	if (cow_dev_init(&bow->dev, bt->dev->bdev, ti->len, bt->block_sectors,
			 &bow_dev_ops)) {
		kfree(bow);
		return NULL;
	}
	bow->dev.md = dm_table_get_md(ti->table);
	bow->state = BOW_TRIM;
	mutex_init(&bow->lock);
	mutex_init(&bow->event_lock);
	spin_lock_init(&bow->hide_lock);
	init_waitqueue_head(&bow->hide_wait);
	return bow;
}

/* After a resume one more bit a block tells what may be reclaimed. */
static u64 discarded_bytes(const struct bow *bow)
{
	return DIV_ROUND_UP_ULL(bow->dev.cow.geo.nr_blocks, BITS_PER_LONG) *
	       sizeof(long);
}

static int alloc_discarded(struct bow *bow)
{
	unsigned long *bits;

	if (bow->discarded)
		return 0;
	bits = vzalloc(discarded_bytes(bow));
	if (!bits)
		return -ENOMEM;
	/*
	 * The map of a live table may look at it at once, and another table of
	 * the same device may be under construction: the first one wins.
	 */
	if (cmpxchg(&bow->discarded, NULL, bits))
		vfree(bits);
	return 0;
}

static int share_bow(struct dm_target *ti, struct bow_target *bt,
		     struct cow_dev *dev)
{
	int r = cow_dev_may_share(ti, dev, &bow_dev_ops);

	if (r)
		return r;
	if (dev->cow.geo.block_sectors != bt->block_sectors) {
		ti->error = "block_size cannot be changed by a reload";
		return -EINVAL;
	}
	dev->users++;
	bt->bow = dev_to_bow(dev);
	return 0;
}

/* Tables of one device share what is known about its lower device. */
static int get_bow(struct dm_target *ti, struct bow_target *bt)
{
	struct cow_dev *dev;
	int r = 0;

	cow_registry_lock();
	dev = cow_registry_find(bt->dev->bdev);
	if (dev) {
		r = share_bow(ti, bt, dev);
	} else {
		bt->bow = bow_new(ti, bt);
		if (bt->bow)
			cow_registry_add(&bt->bow->dev);
	}
	cow_registry_unlock();
	if (r)
		return r;
	if (!bt->bow) {
		ti->error = "Cannot allocate the state map";
		return -ENOMEM;
	}
	return 0;
}

static bool carries_log(struct bow *bow)
{
	struct cow_disk_page *page = cow_zalloc(sizeof(*page));
	struct cow_head head;
	bool found;

	found = page && !cow_read(&bow->dev.io, 0, page, COW_PAGE_SECTORS) &&
		cow_head_decode(page, bow->dev.io.sectors, &head) != COW_LOG_NO_MAGIC;
	cow_free(page);
	return found;
}

/* A good place to say no: here the message reaches the user. */
static int check_log(struct dm_target *ti, struct bow_target *bt)
{
	struct bow *bow = bt->bow;

	if (bt->resume && alloc_discarded(bow)) {
		ti->error = "Cannot allocate the map of discards";
		return -ENOMEM;
	}
	if (!READ_ONCE(bow->started) && !bt->resume && carries_log(bow)) {
		ti->error = "Device carries a log: restore, commit or resume it";
		return -EBUSY;
	}
	return 0;
}

static void bow_put(struct dm_target *ti, struct bow_target *bt)
{
	struct bow *bow = bt->bow;

	if (bow) {
		mutex_lock(&bow->event_lock);
		if (bow->event_target == ti)
			bow->event_target = NULL;
		mutex_unlock(&bow->event_lock);
		cow_registry_put(&bow->dev);
	}
	if (bt->dev)
		dm_put_device(ti, bt->dev);
	kfree(bt);
}

static void bow_dtr(struct dm_target *ti)
{
	bow_put(ti, ti->private);
}

static void set_up_target(struct dm_target *ti, struct bow_target *bt)
{
	ti->private = bt;
	ti->num_flush_bios = 1;
	ti->num_discard_bios = 1;
	ti->discards_supported = true;
	ti->accounts_remapped_io = true;
	ti->per_io_data_size = sizeof(struct bow_bio);
}

static int bow_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct dm_arg_set as = { argc, argv };
	struct bow_target *bt;
	int r;

	if (!argc) {
		ti->error = "Device argument is missing";
		return -EINVAL;
	}
	bt = kzalloc(sizeof(*bt), GFP_KERNEL);
	if (!bt) {
		ti->error = "Cannot allocate the target";
		return -ENOMEM;
	}
	bt->block_sectors = COW_MIN_BLOCK_SECTORS;
	r = dm_get_device(ti, dm_shift_arg(&as), dm_table_get_mode(ti->table),
			  &bt->dev);
	if (r)
		ti->error = "Cannot open the device";
	if (!r)
		r = parse_features(&as, bt, &ti->error);
	if (!r)
		r = check_device(ti, bt);
	if (!r)
		r = get_bow(ti, bt);
	if (!r)
		r = check_log(ti, bt);
	if (r)
		bow_put(ti, bt);
	else
		set_up_target(ti, bt);
	return r;
}

/* ---- suspend and resume ------------------------------------------------- */

/* Writes held for space would keep the suspend waiting for ever. */
static void bow_presuspend(struct dm_target *ti)
{
	struct bow_target *bt = ti->private;

	bow_allow_holding(bt->bow, false,
			  dm_noflush_suspending(ti) ? -EAGAIN : -ENOSPC);
}

static void bow_presuspend_undo(struct dm_target *ti)
{
	struct bow_target *bt = ti->private;

	bow_allow_holding(bt->bow, true, 0);
}

static void bow_postsuspend(struct dm_target *ti)
{
	struct bow *bow = ((struct bow_target *)ti->private)->bow;

	cow_dev_drain(&bow->dev);
	mutex_lock(&bow->lock);
	bow->frozen = true;
	mutex_unlock(&bow->lock);
}

static int first_start(struct bow *bow, bool resume)
{
	unsigned int noio = memalloc_noio_save();
	int r = bow_start(bow, resume);

	memalloc_noio_restore(noio);
	WRITE_ONCE(bow->started, !r);	/* constructors look at it too */
	return r;
}

static int bow_preresume(struct dm_target *ti)
{
	struct bow_target *bt = ti->private;
	struct bow *bow = bt->bow;
	int r = 0;

	mutex_lock(&bow->lock);
	if (!bow->started)
		r = first_start(bow, bt->resume);
	if (!r) {
		WRITE_ONCE(bow->dev.cow.on_full, bt->on_full);
		WRITE_ONCE(bow->dev.cow.low_water, bt->low_water);
		bow->frozen = false;
	}
	mutex_unlock(&bow->lock);
	if (r)
		return r;
	mutex_lock(&bow->event_lock);
	bow->event_target = ti;
	mutex_unlock(&bow->event_lock);
	bow_allow_holding(bow, true, 0);
	return 0;
}

/* ---- messages ----------------------------------------------------------- */

static int do_message(struct bow *bow, const char *verb)
{
	if (!strcasecmp(verb, "checkpoint"))
		return bow_checkpoint(bow);
	if (!strcasecmp(verb, "commit"))
		return bow_commit(bow);
	if (!strcasecmp(verb, "reclaim"))
		return bow_do_reclaim(bow);
	DMERR("%s: unknown message %s", bow_name(bow), verb);
	return -EINVAL;
}

static int bow_message(struct dm_target *ti, unsigned int argc, char **argv,
		       char *result, unsigned int maxlen)
{
	struct bow *bow = ((struct bow_target *)ti->private)->bow;
	unsigned int noio;
	int r;

	if (argc != 1) {
		DMERR("%s: a message is one word", bow_name(bow));
		return -EINVAL;
	}
	/* An allocation here must not wait for this very device. */
	noio = memalloc_noio_save();
	mutex_lock(&bow->lock);
	r = do_message(bow, argv[0]);
	mutex_unlock(&bow->lock);
	memalloc_noio_restore(noio);
	return r;
}

/* ---- status ------------------------------------------------------------- */

/* The worker counts on meanwhile: each figure was right a moment ago. */

static const char *mode_name(const struct cow *cow)
{
	/* As the figures. */
	if (data_race(cow->failed))
		return "failed";
	/* As the figures. */
	return data_race(cow->full) ? "full" : "rw";
}

static void emit_info(struct bow *bow, char *result, unsigned int maxlen)
{
	const struct cow *cow = &bow->dev.cow;
	/* Figures need not belong together. */
	const struct cow_stats stats = data_race(cow->stats);
	/* Nor with this one. */
	u64 initial = data_race(cow->nr_initial_free);
	u64 nr_free = cow_map_nr_free(&cow->map);
	u64 used = nr_free + stats.copied_blocks;
	u64 loose = initial > used ? initial - used : 0;
	u64 bits = READ_ONCE(bow->discarded) ? discarded_bytes(bow) : 0;
	unsigned int sz = 0;

	DMEMIT("%s %u %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %s %s %llu %llu %llu",
	       state_names[READ_ONCE(bow->state)], cow->geo.block_sectors,
	       cow->geo.nr_blocks, nr_free, stats.backup, loose, stats.changed,
	       stats.log_blocks, stats.copies, stats.collisions, stats.groups,
	       stats.flushes, on_full_names[READ_ONCE(cow->on_full)], mode_name(cow),
	       cow_dev_memory(&bow->dev) + bits,
	       cow_dev_memory_peak(&bow->dev) + bits, stats.ahead_blocks);
}

static unsigned int count_features(const struct bow_target *bt)
{
	return 2 * (bt->block_sectors != COW_MIN_BLOCK_SECTORS) +
	       2 * (bt->on_full != COW_FULL_FAIL) + 2 * !!bt->low_water + bt->resume;
}

static void emit_table(const struct bow_target *bt, char *result,
		       unsigned int maxlen)
{
	unsigned int sz = 0, features = count_features(bt);

	DMEMIT("%s", bt->dev->name);
	if (features)
		DMEMIT(" %u", features);
	if (bt->block_sectors != COW_MIN_BLOCK_SECTORS)
		DMEMIT(" block_size %u", bt->block_sectors << 9);
	if (bt->on_full != COW_FULL_FAIL)
		DMEMIT(" on_full %s", on_full_names[bt->on_full]);
	if (bt->low_water)
		DMEMIT(" low_water %llu", bt->low_water);
	if (bt->resume)
		DMEMIT(" resume");
}

static void emit_ima(struct dm_target *ti, const struct bow_target *bt,
		     char *result, unsigned int maxlen)
{
	unsigned int sz = 0;

	DMEMIT_TARGET_NAME_VERSION(ti->type);
	DMEMIT(",device=%s,block_size=%u,on_full=%s,low_water=%llu,resume=%s;",
	       bt->dev->name, bt->block_sectors << 9, on_full_names[bt->on_full],
	       bt->low_water, bt->resume ? "y" : "n");
}

static void bow_status(struct dm_target *ti, status_type_t type,
		       unsigned int status_flags, char *result,
		       unsigned int maxlen)
{
	struct bow_target *bt = ti->private;

	switch (type) {
	case STATUSTYPE_INFO:
		emit_info(bt->bow, result, maxlen);
		break;
	case STATUSTYPE_TABLE:
		emit_table(bt, result, maxlen);
		break;
	case STATUSTYPE_IMA:
		emit_ima(ti, bt, result, maxlen);
		break;
	}
}

/* ---- limits ------------------------------------------------------------- */

static int bow_iterate_devices(struct dm_target *ti,
			       iterate_devices_callout_fn fn, void *data)
{
	struct bow_target *bt = ti->private;

	return fn(ti, bt->dev, 0, ti->len, data);
}

/* Discards are offered even where the device has none: they tell us what is free. */
static void bow_io_hints(struct dm_target *ti, struct queue_limits *limits)
{
	struct bow_target *bt = ti->private;

	limits->discard_granularity = bt->block_sectors << 9;
	limits->discard_alignment = 0;
	limits->max_discard_sectors = UINT_MAX >> 9;
	limits->max_hw_discard_sectors = UINT_MAX >> 9;
}

static struct target_type bow_target_type = {
	.name = "bow",
	.version = { 1, 0, 0 },
	.features = DM_TARGET_SINGLETON | DM_TARGET_ALWAYS_WRITEABLE | DM_TARGET_NOWAIT,
	.module = THIS_MODULE,
	.ctr = bow_ctr,
	.dtr = bow_dtr,
	.map = bow_map_bio,
	.end_io = bow_end_io,
	.presuspend = bow_presuspend,
	.presuspend_undo = bow_presuspend_undo,
	.postsuspend = bow_postsuspend,
	.preresume = bow_preresume,
	.message = bow_message,
	.status = bow_status,
	.iterate_devices = bow_iterate_devices,
	.io_hints = bow_io_hints,
};

static int __init dm_bow_init(void)
{
	return dm_register_target(&bow_target_type);
}

static void __exit dm_bow_exit(void)
{
	dm_unregister_target(&bow_target_type);
}

module_init(dm_bow_init);
module_exit(dm_bow_exit);

MODULE_DESCRIPTION(DM_NAME " backup-on-write target");
MODULE_AUTHOR("The dm-cow developers");
MODULE_LICENSE("GPL");
MODULE_VERSION(DM_COW_VERSION);
