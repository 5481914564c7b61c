// SPDX-License-Identifier: GPL-2.0-only
/*
 * The target blksnap-origin: passes everything, but with a snapshot held the
 * first write to a block waits until its old contents are kept.
 */
#include <linux/module.h>
#include <linux/sched/mm.h>

#include "dm-blksnap.h"

#define DM_MSG_PREFIX "blksnap-origin"

/* What one table line asks for. */
struct origin_target {
	struct dm_dev *dev;
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

static int origin_map(struct dm_target *ti, struct bio *bio)
{
	struct snap_origin *origin = ((struct origin_target *)ti->private)->origin;
	int r;

	if (!bio_sectors(bio) || !op_is_write(bio_op(bio)))
		return pass(origin, bio);
	snap_cbt_mark(&origin->cbt, bio->bi_iter.bi_sector, bio_sectors(bio));
	rcu_read_lock();	/* drop_map() waits for us before the map goes */
	if (smp_load_acquire(&origin->armed))
		r = map_armed(origin, bio);
	else
		r = pass(origin, bio);
	rcu_read_unlock();
	return r;
}

/* ---- what the core asks for --------------------------------------------- */

/* Has the waiter no bio? */
static bool is_touch(struct cow_dev *dev, struct cow_waiter *waiter)
{
	struct snap_touch *touch = READ_ONCE(dev_to_origin(dev)->touch);

	if (!touch || waiter != &touch->waiter)
		return false;
	complete(&touch->done);
	return true;
}

static void origin_release(struct cow_dev *dev, struct cow_waiter *waiter, int error)
{
	struct bio *bio;

	if (is_touch(dev, waiter))
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

static void origin_event(struct cow_dev *dev, enum cow_event event)
{
}

static u64 origin_take(struct cow_dev *dev, u64 want, u64 *dest)
{
	return snap_take(&dev_to_origin(dev)->snap, want, dest);
}

static int origin_keep(struct cow_dev *dev, const struct cow_op *op)
{
	return snap_keep(&dev_to_origin(dev)->snap, op);
}

static void origin_abandon(struct cow_dev *dev, int error)
{
	struct snap_origin *origin = dev_to_origin(dev);

	WRITE_ONCE(origin->armed, false);
	snap_abandon(&origin->snap, error == -ENOSPC ? SNAP_OVERFLOW :
		     error == -ENODEV ? SNAP_DETACHED : SNAP_FAILED);
	DMWARN("%s: snapshots are lost: %s", dm_device_name(dev->md),
	       error == -ENOSPC ? "the store is full" :
	       error == -ENODEV ? "the origin is detached" : "I/O error or no memory");
}

static void origin_work(struct cow_dev *dev)
{
	snap_image_work(dev_to_origin(dev));
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

	cow_dev_exit(dev);
	origin_free(origin);
}

const struct cow_dev_ops snap_origin_dev_ops = {
	.release = origin_release,
	.event = origin_event,
	.take = origin_take,
	.keep = origin_keep,
	.abandon = origin_abandon,
	.work = origin_work,
	.destroy = origin_destroy,
};

/* ---- files on the origin's own filesystem -------------------------------- */

/* Copy what a write to these sectors would; the lock is held. */
static void touch(struct snap_origin *origin, u64 sector, u64 nr)
{
	struct cow_dev *dev = &origin->dev;
	struct snap_touch touch;

	init_completion(&touch.done);
	touch.waiter.first = cow_sector_to_block(&dev->cow.geo, sector);
	touch.waiter.last = cow_sector_to_block(&dev->cow.geo, sector + nr - 1);
	WRITE_ONCE(origin->touch, &touch);
	cow_dev_write(dev, &touch.waiter);
	wait_for_completion(&touch.done);
	WRITE_ONCE(origin->touch, NULL);
}

static u64 extent_sectors(const struct snap_pin *pin, unsigned int i)
{
	return (i + 1 < pin->nr ? pin->extents[i + 1].start : pin->sectors) -
	       pin->extents[i].start;
}

/* The worker's: is there room for all that is to be kept? */
static int check_room(struct cow_dev *dev, void *arg)
{
	struct snap_origin *origin = dev_to_origin(dev);
	const struct snap_pin *pin = &((struct snap_file *)arg)->pin;
	u64 needed = 0;
	unsigned int i;

	for (i = 0; i < pin->nr; i++)
		needed += snap_count_needed(&origin->snap, pin->extents[i].place,
					    extent_sectors(pin, i));
	return needed > snap_left(&origin->snap) ? -ENOSPC : 0;
}

/* What images show there changes without a write, when they begin to be blank or end. */
static void mark_file(struct snap_origin *origin, const struct snap_pin *pin)
{
	unsigned int i;

	for (i = 0; i < pin->nr; i++)
		snap_cbt_mark(&origin->cbt, pin->extents[i].place, extent_sectors(pin, i));
}

int snap_origin_add_file(struct snap_origin *origin, struct snap_file *file)
{
	const struct snap_pin *pin = &file->pin;
	unsigned int i;
	int r = 0;

	mutex_lock(&origin->lock);
	if (!origin->live)
		r = -ENODEV;
	else if (READ_ONCE(origin->armed))
		r = cow_dev_call(&origin->dev, check_room, file, false);
	for (i = 0; !r && i < pin->nr && READ_ONCE(origin->armed); i++)
		touch(origin, pin->extents[i].place, extent_sectors(pin, i));
	if (!r) {
		list_add(&file->of_origin, &origin->files);
		origin->file_changes++;
		mark_file(origin, pin);
	}
	mutex_unlock(&origin->lock);
	return r;
}

void snap_origin_forget_file(struct snap_origin *origin, struct snap_file *file)
{
	mutex_lock(&origin->lock);
	list_del(&file->of_origin);
	origin->file_changes++;
	mark_file(origin, &file->pin);
	mutex_unlock(&origin->lock);
}

static int blank_file(struct snap_image *image, const struct snap_pin *pin)
{
	unsigned int i;
	int r = 0;

	for (i = 0; !r && i < pin->nr; i++)
		r = snap_epoch_blank(&image->epoch, pin->extents[i].place,
				     extent_sectors(pin, i));
	return r;
}

int snap_origin_blank_files(struct snap_origin *origin, struct snap_image *image)
{
	const struct snap_file *file;
	unsigned int noio;
	int r = 0;

	mutex_lock(&origin->lock);
	/* Memory must not wait for the origin, whose suspend may wait for us. */
	noio = memalloc_noio_save();
	image->file_changes = origin->file_changes;
	list_for_each_entry(file, &origin->files, of_origin) {
		r = blank_file(image, &file->pin);
		if (r)
			break;
	}
	memalloc_noio_restore(noio);
	mutex_unlock(&origin->lock);
	return r;
}

/* ---- constructor -------------------------------------------------------- */

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
	origin->dev.md = dm_table_get_md(ti->table);
	if (snap_cbt_init(&origin->cbt, ti->len, ot->cbt_sectors))
		DMWARN("%s: no memory to track changed blocks", dm_device_name(origin->dev.md));
	origin->kcopyd = dm_kcopyd_client_create(NULL);
	if (IS_ERR(origin->kcopyd)) {
		origin->kcopyd = NULL;
		origin_destroy(&origin->dev);
		return NULL;
	}
	return origin;
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
	dev->users++;
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
		ot->origin = origin_new(ti, ot);
		if (ot->origin)
			cow_registry_add(&ot->origin->dev);
	}
	if (!r && ot->origin)
		ot->origin->targets++;
	/* Only now: whoever pins a file later finds us. */
	if (!r && ot->origin && snap_file_on(dm_disk(ot->origin->dev.md), ot->origin)) {
		ti->error = "A store's file is on this device: remove those snapshots first";
		r = -EBUSY;
	}
	cow_registry_unlock();
	if (!r && !ot->origin) {
		ti->error = "Cannot allocate the origin";
		r = -ENOMEM;
	}
	return r;
}

static int unpause(struct cow_dev *dev, void *arg)
{
	dev_to_origin(dev)->paused = false;
	cow_dev_kick(dev);
	return 0;
}

static int abandon_all(struct cow_dev *dev, void *arg)
{
	if (!dev->cow.passing)
		origin_abandon(dev, -ENODEV);
	return unpause(dev, NULL);
}

/* If this was the table in use, the device is written to without anybody asking us. */
static void put_live(struct dm_target *ti, struct snap_origin *origin)
{
	mutex_lock(&origin->lock);
	if (origin->live == ti) {
		WRITE_ONCE(origin->live, NULL);
		cow_dev_call(&origin->dev, abandon_all, NULL, false);
		snap_cbt_restart(&origin->cbt);
	}
	mutex_unlock(&origin->lock);
}

static void put_origin(struct dm_target *ti, struct snap_origin *origin)
{
	put_live(ti, origin);
	cow_registry_lock();
	origin->targets--;
	cow_registry_unlock();
	cow_registry_put(&origin->dev);
}

static void origin_put(struct dm_target *ti, struct origin_target *ot)
{
	if (ot->origin)
		put_origin(ti, ot->origin);
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

static int parse_features(struct dm_target *ti, unsigned int argc, char **argv,
			  struct origin_target *ot)
{
	unsigned int bytes;

	if (!argc)
		return 0;
	if (argc != 3 || strcmp(argv[0], "2") || strcasecmp(argv[1], "cbt_block_size") ||
	    kstrtouint(argv[2], 10, &bytes) || !is_power_of_2(bytes) ||
	    bytes < SNAP_CBT_MIN_SECTORS << SECTOR_SHIFT ||
	    bytes > SNAP_CBT_MAX_SECTORS << SECTOR_SHIFT) {
		ti->error = "Optional: 2 cbt_block_size, a power of two from 4096 to 536870912";
		return -EINVAL;
	}
	ot->cbt_sectors = bytes >> SECTOR_SHIFT;
	return 0;
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
	r = parse_features(ti, argc - 1, argv + 1, ot);
	if (!r) {
		r = dm_get_device(ti, argv[0], dm_table_get_mode(ti->table), &ot->dev);
		if (r)
			ti->error = "Cannot open the device";
	}
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
 * already. So images wait, from now until they are resumed with us or lost.
 */
static void origin_postsuspend(struct dm_target *ti)
{
	struct snap_origin *origin = ((struct origin_target *)ti->private)->origin;

	cow_dev_call(&origin->dev, pause, NULL, true);
	wait_event(origin->readers_wait, no_readers(origin));
	mutex_lock(&origin->lock);
	origin->frozen = true;
	mutex_unlock(&origin->lock);
}

static int origin_preresume(struct dm_target *ti)
{
	struct snap_origin *origin = ((struct origin_target *)ti->private)->origin;

	mutex_lock(&origin->lock);
	origin->frozen = false;
	WRITE_ONCE(origin->live, ti);
	mutex_unlock(&origin->lock);
	cow_dev_call(&origin->dev, unpause, NULL, false);
	return 0;
}

/* ---- messages ----------------------------------------------------------- */

static int mark(struct snap_origin *origin, const char *first, const char *count)
{
	u64 size = origin->dev.cow.geo.sectors, sector, nr;

	if (kstrtou64(first, 10, &sector) || kstrtou64(count, 10, &nr) || !nr ||
	    sector >= size || nr > size - sector)
		return -EINVAL;
	if (!origin->cbt.entries)
		return -EOPNOTSUPP;
	mutex_lock(&origin->lock);	/* no take meanwhile */
	snap_cbt_mark(&origin->cbt, sector, nr);
	mutex_unlock(&origin->lock);
	return 0;
}

static int origin_message(struct dm_target *ti, unsigned int argc, char **argv,
			  char *result, unsigned int maxlen)
{
	struct snap_origin *origin = ((struct origin_target *)ti->private)->origin;

	if (argc == 3 && !strcasecmp(argv[0], "mark"))
		return mark(origin, argv[1], argv[2]);
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
	figures.memory += snap_cbt_memory(&origin->cbt);
	DMEMIT("%s %u %u %llu %llu %llu %llu %llu %llu %pUb %u",
	       READ_ONCE(origin->armed) ? "active" : "idle", figures.images,
	       figures.block_sectors << 9, READ_ONCE(dev->cow.stats.copied_blocks),
	       READ_ONCE(dev->cow.stats.copies), READ_ONCE(dev->cow.stats.groups),
	       cow_dev_memory(dev) + figures.memory,
	       cow_dev_memory_peak(dev) + figures.memory,
	       origin->cbt.entries ? 512ULL << origin->cbt.shift : 0,
	       origin->cbt.generation, READ_ONCE(origin->cbt.epoch));
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
		DMEMIT("%s", ot->dev->name);
		if (ot->cbt_sectors)
			DMEMIT(" 2 cbt_block_size %u", ot->cbt_sectors << SECTOR_SHIFT);
		break;
	case STATUSTYPE_IMA:
		DMEMIT_TARGET_NAME_VERSION(ti->type);
		DMEMIT(",device=%s,cbt_block_size=%llu;", ot->dev->name,
		       512ULL << ot->origin->cbt.shift);
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
MODULE_ALIAS("dm-blksnap-origin");
