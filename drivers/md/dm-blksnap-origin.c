// SPDX-License-Identifier: GPL-2.0-only
/*
 * The target blksnap-origin: passes everything, but with a snapshot held the
 * first write to a block waits until its old contents are kept.
 */
#include <linux/module.h>

#include "dm-blksnap.h"

#define DM_MSG_PREFIX "blksnap-origin"

/* What one table line asks for. */
struct origin_target {
	struct dm_dev *dev;
	struct dm_dev *tracking;	/* or NULL; the claim to what the keep has opened */
	u32 cbt_sectors;		/* 0: not said */
	struct snap_origin *origin;
};

/* ---- where a bio goes --------------------------------------------------- */

static int pass(struct snap_origin *origin, struct bio *bio)
{
	bio_set_dev(bio, origin->dev.bdev);
	return DM_MAPIO_REMAPPED;
}

static struct bio *waiter_to_bio(struct cow_waiter *waiter)
{
	return dm_bio_from_per_bio_data(waiter, sizeof(*waiter));
}

static bool must_wait(struct snap_origin *origin, const struct bio *bio,
		      struct cow_waiter *waiter)
{
	const struct cow *cow = &origin->dev.cow;
	u64 first, nr;

	cow_bio_touches(&cow->geo, bio, &first, &nr);
	waiter->first = first;
	waiter->last = first + nr - 1;
	return !cow_map_passes(&cow->map, first, nr);
}

static int map_armed(struct snap_origin *origin, struct bio *bio)
{
	struct cow_waiter *waiter = dm_per_bio_data(bio, sizeof(*waiter));

	if (bio_op(bio) == REQ_OP_DISCARD) {
		/* Advice; what is discarded now may be needed by an image. */
		bio_endio(bio);
		return DM_MAPIO_SUBMITTED;
	}
	if (!must_wait(origin, bio, waiter))
		return pass(origin, bio);
	if (bio->bi_opf & REQ_NOWAIT)
		bio_wouldblock_error(bio);
	else
		cow_dev_write(&origin->dev, waiter);
	return DM_MAPIO_SUBMITTED;
}

static int map_write(struct snap_origin *origin, struct bio *bio)
{
	int r;

	rcu_read_lock();	/* drop_map() waits for us before the map goes */
	if (smp_load_acquire(&origin->armed)) {
		r = map_armed(origin, bio);
	} else {
		if (!READ_ONCE(origin->written))
			WRITE_ONCE(origin->written, true);
		r = pass(origin, bio);
	}
	rcu_read_unlock();
	return r;
}

/* Until it is durable that something changes there. */
static int wait_for_mark(struct snap_origin *origin, struct bio *bio)
{
	if (bio->bi_opf & REQ_NOWAIT)
		bio_wouldblock_error(bio);
	else
		snap_keep_write(origin->keep, dm_per_bio_data(bio, sizeof(struct cow_waiter)));
	return DM_MAPIO_SUBMITTED;
}

void snap_origin_marked(struct snap_origin *origin, struct cow_waiter *waiter)
{
	struct bio *bio = waiter_to_bio(waiter);

	if (map_write(origin, bio) == DM_MAPIO_REMAPPED)
		dm_submit_bio_remap(bio, NULL);
}

static int origin_map(struct dm_target *ti, struct bio *bio)
{
	struct snap_origin *origin = ((struct origin_target *)ti->private)->origin;
	u64 sector = bio->bi_iter.bi_sector;

	if (!bio_sectors(bio) || !op_is_write(bio_op(bio)))
		return pass(origin, bio);
	snap_cbt_mark(&origin->cbt, sector, bio_sectors(bio));
	if (!snap_keep_passes(origin->keep, sector, bio_sectors(bio)))
		return wait_for_mark(origin, bio);
	return map_write(origin, bio);
}

/* ---- what the core asks for --------------------------------------------- */

static void origin_release(struct cow_dev *dev, struct cow_waiter *waiter, int error)
{
	struct bio *bio;

	if (snap_inside_touched(dev, waiter))
		return;
	bio = waiter_to_bio(waiter);
	if (WARN_ON_ONCE(error)) {
		bio->bi_status = errno_to_blk_status(error);
		bio_endio(bio);
		return;
	}
	pass(dev_to_origin(dev), bio);
	dm_submit_bio_remap(bio, NULL);
}

static u64 origin_take(struct cow_dev *dev, u64 want, u64 *dest)
{
	return snap_take(&dev_to_origin(dev)->snap, want, dest);
}

static int origin_keep(struct cow_dev *dev, const struct cow_op *op)
{
	return snap_keep(&dev_to_origin(dev)->snap, op);
}

/* An epoch may have no image that could be told. */
void snap_origin_tell(struct snap_origin *origin)
{
	mutex_lock(&origin->event_lock);
	if (origin->told)
		dm_table_event(origin->told->table);
	mutex_unlock(&origin->event_lock);
}

static void set_told(struct snap_origin *origin, struct dm_target *ti)
{
	mutex_lock(&origin->event_lock);
	origin->told = ti;
	mutex_unlock(&origin->event_lock);
}

static void origin_abandon(struct cow_dev *dev, int error)
{
	struct snap_origin *origin = dev_to_origin(dev);
	bool stale = origin->stale && snap_is_held(&origin->snap);

	WRITE_ONCE(origin->armed, false);
	snap_abandon(&origin->snap, stale ? SNAP_STALE :
		     error == -ENOSPC ? SNAP_OVERFLOW :
		     error == -ENODEV ? SNAP_DETACHED :
		     error == -ECANCELED ? SNAP_FORGOTTEN : SNAP_FAILED);
	snap_origin_tell(origin);
	if (error == -ECANCELED)
		return;
	DMWARN("%s: snapshots are lost: %s", dm_device_name(dev->md),
	       error == -ENOSPC ? "the store is full" :
	       error == -ENODEV ? "the origin is detached" :
	       error == -ENOMEM ? "no memory" : "I/O error");
}

static void origin_event(struct cow_dev *dev, enum cow_event event)
{
	if (event == COW_EVENT_STALE)
		snap_log_stale(dev_to_origin(dev));
	snap_origin_tell(dev_to_origin(dev));
}

static bool origin_copy_begins(struct cow_dev *dev)
{
	return snap_spare_promise(dev_to_origin(dev));
}

static void origin_copy_ends(struct cow_dev *dev)
{
	snap_copy_ends(&dev_to_origin(dev)->snap);
}

static void origin_work(struct cow_dev *dev)
{
	snap_image_work(dev_to_origin(dev));
	snap_spare_turn(dev_to_origin(dev));
}

static void origin_free(struct snap_origin *origin)
{
	if (origin->kcopyd)
		dm_kcopyd_client_destroy(origin->kcopyd);
	snap_exit(&origin->snap);
	snap_cbt_exit(&origin->cbt);
	kfree(origin);
}

static void origin_destroy(struct cow_dev *dev)
{
	struct snap_origin *origin = dev_to_origin(dev);

	/* It may be about to wake the worker. */
	if (origin->keep)
		snap_keep_free(origin->keep);
	snap_spare_exit(origin);
	cow_dev_exit(dev);
	origin_free(origin);
}

const struct cow_dev_ops snap_origin_dev_ops = {
	.release = origin_release,
	.event = origin_event,
	.take = origin_take,
	.keep = origin_keep,
	.abandon = origin_abandon,
	.copy_begins = origin_copy_begins,
	.copy_ends = origin_copy_ends,
	.work = origin_work,
	.destroy = origin_destroy,
};

struct snap_origin *snap_origin_find(struct block_device *bdev)
{
	struct cow_dev *dev = cow_registry_find(bdev);

	return dev && dev->ops == &snap_origin_dev_ops ? dev_to_origin(dev) : NULL;
}

/* ---- constructor -------------------------------------------------------- */

static int open_keep(struct dm_target *ti, struct snap_origin *origin, struct origin_target *ot)
{
	struct snap_keep *keep;
	int r;

	if (!ot->tracking)
		return 0;
	keep = origin->cbt.entries ? snap_keep_new(origin, ot->tracking->bdev->bd_dev) :
				     ERR_PTR(-ENOMEM);
	r = PTR_ERR_OR_ZERO(keep);
	if (!r)
		origin->keep = keep;
	else
		ti->error = r == -EBUSY ? "Another origin's tracking device, or a store" :
			    r == -ENOSPC ? "The tracking device is too small" :
			    "Cannot open the tracking device, or no memory for it";
	return r;
}

static struct snap_origin *origin_new(struct dm_target *ti, struct origin_target *ot)
{
	struct snap_origin *origin = kzalloc(sizeof(*origin), GFP_KERNEL);

	if (!origin)
		return NULL;
	mutex_init(&origin->lock);
	mutex_init(&origin->event_lock);
	spin_lock_init(&origin->arrived_lock);
	INIT_LIST_HEAD(&origin->images);
	INIT_LIST_HEAD(&origin->files);
	INIT_LIST_HEAD(&origin->arrived);
	init_llist_head(&origin->copied);
	init_waitqueue_head(&origin->readers_wait);
	origin->frozen = true;
	if (cow_dev_init(&origin->dev, ot->dev->bdev, ti->len, 0, &snap_origin_dev_ops)) {
		kfree(origin);
		return NULL;
	}
	snap_init(&origin->snap, &origin->dev.cow, &snap_image_ops);
	snap_spare_init(origin);
	origin->dev.md = dm_table_get_md(ti->table);
	if (snap_cbt_init(&origin->cbt, ti->len, ot->cbt_sectors))
		DMWARN("%s: no memory to track changed blocks", dm_device_name(origin->dev.md));
	origin->kcopyd = dm_kcopyd_client_create(NULL);
	if (IS_ERR(origin->kcopyd))
		origin->kcopyd = NULL;
	if (!origin->kcopyd || open_keep(ti, origin, ot)) {
		origin_destroy(&origin->dev);
		return NULL;
	}
	return origin;
}

static dev_t keep_device(const struct snap_origin *origin)
{
	return origin->keep ? origin->keep->opened.bdev->bd_dev : 0;
}

static int share_origin(struct dm_target *ti, struct origin_target *ot,
			struct cow_dev *dev)
{
	int r = cow_dev_may_share(ti, dev, &snap_origin_dev_ops);

	if (r)
		return r;
	if (ot->cbt_sectors && ot->cbt_sectors != 1U << dev_to_origin(dev)->cbt.shift) {
		ti->error = "cbt_block_size cannot be changed by a reload";
		return -EINVAL;
	}
	if (keep_device(dev_to_origin(dev)) != (ot->tracking ? ot->tracking->bdev->bd_dev : 0)) {
		ti->error = "tracking cannot be changed by a reload";
		return -EINVAL;
	}
	dev->users++;
	dev->md = dm_table_get_md(ti->table);
	ot->origin = dev_to_origin(dev);
	return 0;
}

static int get_origin(struct dm_target *ti, struct origin_target *ot)
{
	struct cow_dev *dev;
	int r = 0;

	cow_registry_lock();
	dev = cow_registry_find(ot->dev->bdev);
	if (dev) {
		r = share_origin(ti, ot, dev);
	} else {
		ti->error = "Cannot allocate the origin";
		ot->origin = origin_new(ti, ot);
		if (ot->origin)
			cow_registry_add(&ot->origin->dev);
		else
			r = -ENOMEM;
	}
	if (!r)
		ot->origin->targets++;
	/* Only now: whoever pins a file later finds us. */
	if (!r && snap_file_on(dm_disk(ot->origin->dev.md), ot->origin)) {
		ti->error = "A store's file is on this device: remove those snapshots first";
		r = -EBUSY;
	}
	cow_registry_unlock();
	return r;
}

static int unpause(struct cow_dev *dev, void *arg)
{
	dev_to_origin(dev)->paused = false;
	cow_dev_kick(dev);
	return 0;
}

/* Nobody writes to a device that is being removed. */
static bool is_being_removed(struct dm_target *ti)
{
	struct mapped_device *md = dm_table_get_md(ti->table);

	md = dm_get_md(disk_devt(dm_disk(md)));
	if (md)
		dm_put(md);
	return !md;
}

static int abandon_all(struct cow_dev *dev, void *arg)
{
	const bool *removed = arg;

	if (!dev->cow.unlogged && *removed)
		snap_log_leave(dev_to_origin(dev));
	else if (!dev->cow.unlogged)
		cow_apart_end(&dev->cow, -ENODEV);
	else if (!dev->cow.passing)
		origin_abandon(dev, -ENODEV);
	return unpause(dev, NULL);
}

/* If this was the table in use, the device is written to without anybody asking us. */
static void put_live(struct dm_target *ti, struct snap_origin *origin)
{
	bool removed = is_being_removed(ti), live;

	mutex_lock(&origin->lock);
	live = origin->live == ti;
	if (live) {
		WRITE_ONCE(origin->live, NULL);
		set_told(origin, NULL);
		cow_dev_call(&origin->dev, abandon_all, &removed, true);
		if (origin->keep)
			snap_keep_close(origin->keep);
		snap_cbt_restart(&origin->cbt);
	}
	mutex_unlock(&origin->lock);
	if (live)
		snap_image_sweep(origin);
}

static void put_origin(struct dm_target *ti, struct snap_origin *origin)
{
	put_live(ti, origin);
	cow_registry_lock();
	/* Images may keep the origin for longer than its device lives. */
	if (!--origin->targets)
		origin->dev.md = NULL;
	cow_registry_unlock();
	cow_registry_put(&origin->dev);
}

static void origin_put(struct dm_target *ti, struct origin_target *ot)
{
	if (ot->origin)
		put_origin(ti, ot->origin);
	if (ot->tracking)
		dm_put_device(ti, ot->tracking);
	if (ot->dev)
		dm_put_device(ti, ot->dev);
	kfree(ot);
}

static void origin_dtr(struct dm_target *ti)
{
	origin_put(ti, ti->private);
}

static void set_up_target(struct dm_target *ti, struct origin_target *ot)
{
	ti->private = ot;
	ti->num_flush_bios = 1;
	ti->num_discard_bios = 1;
	ti->num_write_zeroes_bios = 1;
	ti->accounts_remapped_io = true;
	ti->per_io_data_size = sizeof(struct cow_waiter);
}

static int parse_block_size(struct dm_target *ti, const char *value, struct origin_target *ot)
{
	unsigned int bytes;

	if (kstrtouint(value, 10, &bytes) || !is_power_of_2(bytes) ||
	    bytes < SNAP_CBT_MIN_SECTORS << SECTOR_SHIFT ||
	    bytes > SNAP_CBT_MAX_SECTORS << SECTOR_SHIFT) {
		ti->error = "cbt_block_size is a power of two from 4096 to 536870912";
		return -EINVAL;
	}
	ot->cbt_sectors = bytes >> SECTOR_SHIFT;
	return 0;
}

static int parse_tracking(struct dm_target *ti, const char *value, struct origin_target *ot)
{
	int r;

	if (ot->tracking) {
		ti->error = "tracking is given twice";
		return -EINVAL;
	}
	r = dm_get_device(ti, value, dm_table_get_mode(ti->table), &ot->tracking);
	if (r) {
		ti->error = "Cannot open the tracking device";
		return r;
	}
	if (ot->tracking->bdev == ot->dev->bdev ||
	    ot->tracking->bdev->bd_disk == dm_disk(dm_table_get_md(ti->table))) {
		ti->error = "The tracking device must not be the origin";
		return -EINVAL;
	}
	return 0;
}

static int parse_features(struct dm_target *ti, unsigned int argc, char **argv,
			  struct origin_target *ot)
{
	unsigned int nr, i;
	int r = 0;

	if (!argc)
		return 0;
	if (kstrtouint(argv[0], 10, &nr) || nr != argc - 1 || nr & 1) {
		ti->error = "Optional: the number of words, cbt_block_size and tracking";
		return -EINVAL;
	}
	for (i = 1; i < argc && !r; i += 2) {
		ti->error = "Optional features are cbt_block_size and tracking";
		if (!strcasecmp(argv[i], "cbt_block_size"))
			r = parse_block_size(ti, argv[i + 1], ot);
		else if (!strcasecmp(argv[i], "tracking"))
			r = parse_tracking(ti, argv[i + 1], ot);
		else
			r = -EINVAL;
	}
	return r;
}

static int origin_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct origin_target *ot;
	int r;

	if (!argc) {
		ti->error = "Arguments: device, optional features";
		return -EINVAL;
	}
	ot = kzalloc(sizeof(*ot), GFP_KERNEL);
	if (!ot) {
		ti->error = "Cannot allocate the target";
		return -ENOMEM;
	}
	r = dm_get_device(ti, argv[0], dm_table_get_mode(ti->table), &ot->dev);
	if (r)
		ti->error = "Cannot open the device";
	if (!r)
		r = parse_features(ti, argc - 1, argv + 1, ot);
	if (!r)
		r = cow_dev_check(ti, ot->dev->bdev);
	if (!r)
		r = get_origin(ti, ot);
	if (r)
		origin_put(ti, ot);
	else
		set_up_target(ti, ot);
	return r;
}

/* ---- suspend and resume ------------------------------------------------- */

static int pause(struct cow_dev *dev, void *arg)
{
	dev_to_origin(dev)->paused = true;
	return 0;
}

static bool no_readers(const struct snap_origin *origin)
{
	const struct cow *cow = &origin->dev.cow;

	return !atomic_read(&cow->readers[0]) && !atomic_read(&cow->readers[1]);
}

/*
 * The next table may be somebody else's, and we are only told when it is live
 * already. So images wait, from now until they are resumed with us or lost. Until then
 * there is no log, and nobody is to believe what the tracking device says: after a power
 * cut nobody could tell whether it was true. Unless there is no next table.
 */
static void origin_postsuspend(struct dm_target *ti)
{
	struct snap_origin *origin = ((struct origin_target *)ti->private)->origin;
	bool removed = is_being_removed(ti);

	cow_dev_call(&origin->dev, pause, NULL, true);
	wait_event(origin->readers_wait, no_readers(origin));
	mutex_lock(&origin->lock);
	origin->frozen = true;
	if (!removed)
		cow_dev_call(&origin->dev, snap_log_withdraw, NULL, true);
	if (origin->keep && origin->live == ti)
		snap_keep_pause(origin->keep, removed);
	mutex_unlock(&origin->lock);
}

static int origin_preresume(struct dm_target *ti)
{
	struct snap_origin *origin = ((struct origin_target *)ti->private)->origin;

	mutex_lock(&origin->lock);
	cow_dev_call(&origin->dev, snap_log_reinstate, NULL, true);
	origin->frozen = false;
	WRITE_ONCE(origin->live, ti);
	set_told(origin, ti);
	if (origin->keep)
		snap_keep_resume(origin->keep);
	snap_inside_mark(origin);
	mutex_unlock(&origin->lock);
	cow_dev_call(&origin->dev, unpause, NULL, false);
	return 0;
}

/* ---- messages ----------------------------------------------------------- */

void snap_origin_mark(struct snap_origin *origin, u64 sector, u64 nr)
{
	snap_cbt_mark(&origin->cbt, sector, nr);
	if (origin->keep)
		snap_keep_want(origin->keep, sector, nr);
}

void snap_origin_record_marks(struct snap_origin *origin)
{
	if (origin->keep)
		snap_keep_record(origin->keep);
}

static int mark(struct snap_origin *origin, const char *first, const char *count)
{
	u64 size = origin->dev.cow.geo.sectors, sector, nr;

	if (kstrtou64(first, 10, &sector) || kstrtou64(count, 10, &nr) || !nr ||
	    sector >= size || nr > size - sector)
		return -EINVAL;
	if (!origin->cbt.entries)
		return -EOPNOTSUPP;
	mutex_lock(&origin->lock);	/* no take meanwhile */
	snap_origin_mark(origin, sector, nr);
	snap_origin_record_marks(origin);
	mutex_unlock(&origin->lock);
	return 0;
}

static int origin_message(struct dm_target *ti, unsigned int argc, char **argv,
			  char *result, unsigned int maxlen)
{
	struct snap_origin *origin = ((struct origin_target *)ti->private)->origin;

	if (argc == 3 && !strcasecmp(argv[0], "mark"))
		return mark(origin, argv[1], argv[2]);
	if (argc == 1 && !strcasecmp(argv[0], "forget"))
		return snap_log_forget(origin);
	if (argc == 1 && !strcasecmp(argv[0], "save"))
		return origin->keep ? snap_keep_save(origin->keep) : -EOPNOTSUPP;
	DMERR("%s: unknown message", dm_device_name(origin->dev.md));
	return -EINVAL;
}

/* ---- status ------------------------------------------------------------- */

struct origin_figures {
	unsigned int images;
	u32 block_sectors;
	u64 memory;
};

static int count_images(struct cow_dev *dev, void *arg)
{
	struct origin_figures *figures = arg;
	const struct snap_epoch *epoch;

	list_for_each_entry(epoch, &dev_to_origin(dev)->snap.epochs, node) {
		figures->images += epoch->has_image;
		figures->block_sectors = epoch->block_sectors;
		figures->memory += epoch->kept.bytes + epoch->own.bytes;
	}
	return 0;
}

static void emit_info(struct snap_origin *origin, char *result, unsigned int maxlen)
{
	struct cow_dev *dev = &origin->dev;
	struct origin_figures figures = { };
	unsigned int sz = 0;

	cow_dev_call(dev, count_images, &figures, false);
	figures.memory += snap_cbt_memory(&origin->cbt) + snap_keep_memory(origin->keep) +
			  SNAP_SPARE_BYTES;
	DMEMIT("%s %u %u %llu %llu %llu %llu %llu %llu %pUb %u %s %s %llu",
	       READ_ONCE(origin->armed) ? "active" : "idle", figures.images,
	       figures.block_sectors << 9, READ_ONCE(dev->cow.stats.copied_blocks),
	       READ_ONCE(dev->cow.stats.copies), READ_ONCE(dev->cow.stats.groups),
	       cow_dev_memory(dev) + figures.memory,
	       cow_dev_memory_peak(dev) + figures.memory,
	       origin->cbt.entries ? 512ULL << origin->cbt.shift : 0,
	       origin->cbt.generation, READ_ONCE(origin->cbt.epoch),
	       snap_log_state(origin), snap_keep_state(origin->keep),
	       READ_ONCE(dev->cow.stats.ahead_blocks));
}

static void emit_table(const struct origin_target *ot, char *result, unsigned int maxlen)
{
	unsigned int nr = (ot->cbt_sectors ? 2 : 0) + (ot->tracking ? 2 : 0), sz = 0;

	DMEMIT("%s", ot->dev->name);
	if (nr)
		DMEMIT(" %u", nr);
	if (ot->cbt_sectors)
		DMEMIT(" cbt_block_size %u", ot->cbt_sectors << SECTOR_SHIFT);
	if (ot->tracking)
		DMEMIT(" tracking %s", ot->tracking->name);
}

static void origin_status(struct dm_target *ti, status_type_t type,
			  unsigned int status_flags, char *result,
			  unsigned int maxlen)
{
	struct origin_target *ot = ti->private;
	unsigned int sz = 0;

	switch (type) {
	case STATUSTYPE_INFO:
		emit_info(ot->origin, result, maxlen);
		break;
	case STATUSTYPE_TABLE:
		emit_table(ot, result, maxlen);
		break;
	case STATUSTYPE_IMA:
		DMEMIT_TARGET_NAME_VERSION(ti->type);
		DMEMIT(",device=%s,cbt_block_size=%llu,tracking=%s;", ot->dev->name,
		       512ULL << ot->origin->cbt.shift,
		       ot->tracking ? ot->tracking->name : "none");
		break;
	}
}

static int origin_iterate_devices(struct dm_target *ti,
				  iterate_devices_callout_fn fn, void *data)
{
	struct origin_target *ot = ti->private;

	return fn(ti, ot->dev, 0, ti->len, data);
}

struct target_type snap_origin_target_type = {
	.name = "blksnap-origin",
	.version = { 1, 0, 0 },
	.features = DM_TARGET_SINGLETON | DM_TARGET_NOWAIT,
	.module = THIS_MODULE,
	.ctr = origin_ctr,
	.dtr = origin_dtr,
	.map = origin_map,
	.postsuspend = origin_postsuspend,
	.preresume = origin_preresume,
	.message = origin_message,
	.status = origin_status,
	.iterate_devices = origin_iterate_devices,
};

static struct target_type * const plain_targets[] = {
	&snap_origin_target_type, &snap_image_target_type, &snap_map_target_type,
};

static void unregister_plain(unsigned int nr)
{
	while (nr--)
		dm_unregister_target(plain_targets[nr]);
}

static int __init dm_blksnap_init(void)
{
	unsigned int nr;
	int r = 0;

	for (nr = 0; nr < ARRAY_SIZE(plain_targets); nr++) {
		r = dm_register_target(plain_targets[nr]);
		if (r)
			break;
	}
	if (!r)
		r = snap_file_init();
	if (r)
		unregister_plain(nr);
	return r;
}

static void __exit dm_blksnap_exit(void)
{
	snap_file_exit();
	unregister_plain(ARRAY_SIZE(plain_targets));
}

module_init(dm_blksnap_init);
module_exit(dm_blksnap_exit);

MODULE_DESCRIPTION(DM_NAME " snapshots of many devices at one instant");
MODULE_AUTHOR("The dm-cow developers");
MODULE_LICENSE("GPL");
MODULE_VERSION(DM_COW_VERSION);
MODULE_ALIAS("dm-blksnap-origin");
MODULE_ALIAS("dm-blksnap-file");
MODULE_ALIAS("dm-blksnap-map");
