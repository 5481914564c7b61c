// SPDX-License-Identifier: GPL-2.0-only
/*
 * The target blksnap: an origin as it was when the image was first resumed.
 */
#include <linux/module.h>

#include "dm-blksnap.h"

#define DM_MSG_PREFIX "blksnap"

/* What one table line asks for. */
struct image_target {
	struct dm_dev *dev;		/* below the origin */
	struct dm_dev *store;		/* the claim to... */
	struct snap_store *opened;	/* ...this, whose epochs may outlive it */
	u32 block_sectors;
	u64 low_water;			/* sectors; 0: not said */
	bool persistent;
	bool resume;
	struct snap_image *image;
};

static const char * const state_names[] = {
	[SNAP_NEW] = "new",
	[SNAP_ACTIVE] = "active",
	[SNAP_OVERFLOW] = "overflow",
	[SNAP_FAILED] = "failed",
	[SNAP_DETACHED] = "detached",
	[SNAP_FORGOTTEN] = "forgotten",
	[SNAP_STALE] = "stale",
};

const char *snap_state_name(enum snap_state state)
{
	return state_names[state];
}

/* ---- constructor -------------------------------------------------------- */

/* One of them: how many words it is, 0 if it is none. */
static unsigned int parse_feature(unsigned int argc, char **argv, struct image_target *it)
{
	if (argc > 1 && !strcasecmp(argv[0], "low_water") &&
	    !kstrtou64(argv[1], 10, &it->low_water))
		return 2;
	if (it->persistent && !strcasecmp(argv[0], "resume")) {
		it->resume = true;
		return 1;
	}
	return 0;
}

static int parse_features(struct dm_target *ti, unsigned int argc, char **argv,
			  struct image_target *it)
{
	unsigned int count, nr, i;

	if (!argc)
		return 0;
	if (kstrtouint(argv[0], 10, &count) || count != argc - 1) {
		ti->error = "The number of optional features is wrong";
		return -EINVAL;
	}
	for (i = 1; i < argc; i += nr) {
		nr = parse_feature(argc - i, argv + i, it);
		if (!nr) {
			ti->error = "Optional: low_water <sectors>; if persistent: resume";
			return -EINVAL;
		}
	}
	return 0;
}

static int parse_mode(struct dm_target *ti, const char *mode, struct image_target *it)
{
	it->persistent = !strcasecmp(mode, "persistent");
	if (it->persistent || !strcasecmp(mode, "transient"))
		return 0;
	ti->error = "A snapshot is transient or persistent";
	return -EINVAL;
}

static int parse_arguments(struct dm_target *ti, unsigned int argc, char **argv,
			   struct image_target *it)
{
	unsigned int bytes;

	if (argc < 4) {
		ti->error = "Arguments: device, store, mode, block size, optional features";
		return -EINVAL;
	}
	if (parse_mode(ti, argv[2], it))
		return -EINVAL;
	if (kstrtouint(argv[3], 10, &bytes) || !is_power_of_2(bytes) ||
	    bytes < COW_MIN_BLOCK_SECTORS << 9 || bytes > COW_MAX_BLOCK_SECTORS << 9) {
		ti->error = "Block size must be a power of two from 4096 to 1048576";
		return -EINVAL;
	}
	it->block_sectors = bytes >> 9;
	return parse_features(ti, argc - 4, argv + 4, it);
}

static int open_devices(struct dm_target *ti, struct image_target *it, char **argv)
{
	int r = dm_get_device(ti, argv[0], dm_table_get_mode(ti->table), &it->dev);

	if (r) {
		ti->error = "Cannot open the device below the origin";
		return r;
	}
	r = dm_get_device(ti, argv[1], dm_table_get_mode(ti->table), &it->store);
	if (!r) {
		it->opened = snap_store_get(it->store->bdev->bd_dev);
		r = PTR_ERR_OR_ZERO(it->opened);
		if (r)
			it->opened = NULL;
	}
	if (r)
		ti->error = r == -EBUSY ? "The store is in use, or an origin's tracking device" :
					  "Cannot open the store";
	return r;
}

static int check_devices(struct dm_target *ti, struct image_target *it)
{
	u32 store_block = bdev_logical_block_size(it->store->bdev) >> 9;
	int r = cow_dev_check(ti, it->dev->bdev);

	if (r)
		return r;
	if (it->store->bdev == it->dev->bdev) {
		ti->error = "The store must not be the origin";
		return -EINVAL;
	}
	if (store_block > COW_PAGE_SECTORS) {
		ti->error = "Logical blocks of the store must not be larger than 4096 bytes";
		return -EINVAL;
	}
	if (it->block_sectors < store_block || ti->len & (store_block - 1)) {
		ti->error = "The store has larger sectors than the origin ends with";
		return -EINVAL;
	}
	return 0;
}

/* The registry's lock is held. */
static struct snap_origin *find_origin(struct dm_target *ti, struct image_target *it)
{
	struct snap_origin *origin = snap_origin_find(it->dev->bdev);
	struct snap_image *image;

	if (!origin || !origin->targets) {
		ti->error = "The device has no blksnap-origin above it";
		return ERR_PTR(-ENODEV);
	}
	if (it->store->bdev->bd_disk == dm_disk(origin->dev.md)) {
		ti->error = "The store must not be the origin";
		return ERR_PTR(-EINVAL);
	}
	list_for_each_entry(image, &origin->images, list) {
		if (image->md == dm_table_get_md(ti->table)) {
			ti->error = "The table of an image cannot be replaced";
			return ERR_PTR(-EBUSY);
		}
	}
	return origin;
}

static int get_origin(struct dm_target *ti, struct image_target *it,
		      struct snap_image *image)
{
	struct snap_origin *origin;

	cow_registry_lock();
	origin = find_origin(ti, it);
	if (!IS_ERR(origin)) {
		origin->dev.users++;
		image->origin = origin;
		image->md = dm_table_get_md(ti->table);
		list_add(&image->list, &origin->images);
	}
	cow_registry_unlock();
	return PTR_ERR_OR_ZERO(origin);
}

static void forget_image(struct snap_image *image)
{
	cow_registry_lock();
	list_del(&image->list);
	cow_registry_unlock();
}

/* A good place to say no: here the message reaches the user. */
static int check_new(struct dm_target *ti, struct snap_image *image)
{
	int r = snap_store_carries_log(image->epoch.store);

	if (r < 0) {
		ti->error = "Cannot read the store";
		return r;
	}
	if (r && !image->resume) {
		ti->error = "The store carries a log: resume it, or end it by 'blksnap restore'";
		return -EBUSY;
	}
	if (!r && image->resume) {
		ti->error = "The store carries no log to be resumed";
		return -ENODATA;
	}
	r = cow_dev_call(&image->origin->dev, snap_image_check_company, image, false);
	if (r)
		ti->error = (char *)snap_image_bad_company(image);
	return r;
}

static const char *bad_file(int error)
{
	switch (error) {
	case -EBUSY:
		return "A file on the origin is another store: no persistent snapshot";
	case -EINVAL:
		return "The pieces of the store's file are no multiples of the block size";
	}
	return "Cannot allocate the snapshot";
}

static int epoch_new(struct dm_target *ti, struct image_target *it, struct snap_image *image)
{
	struct snap_epoch *epoch = &image->epoch;
	int r = snap_epoch_init(epoch, &image->origin->snap, it->opened, it->block_sectors);

	ti->error = "Cannot allocate the snapshot";
	if (r)
		return r;
	epoch->persistent = it->persistent;
	image->resume = it->resume;
	/* One that is about to go is in the way, and its disk may be the new store's. */
	if (epoch->persistent)
		snap_file_settle();
	r = snap_inside_blank(image->origin, image);
	if (r)
		ti->error = (char *)bad_file(r);
	else
		r = check_new(ti, image);
	if (!r) {
		r = snap_store_hold(it->opened, it->persistent);
		if (r)
			ti->error = "A persistent snapshot shares its store with nobody";
	}
	if (r)
		snap_epoch_exit(epoch);
	return r;
}

static struct snap_image *image_new(struct dm_target *ti, struct image_target *it)
{
	struct snap_image *image = kzalloc(sizeof(*image), GFP_KERNEL);
	int r;

	ti->error = "Cannot allocate the snapshot";
	if (!image)
		return ERR_PTR(-ENOMEM);
	image->low_water = it->low_water;
	r = get_origin(ti, it, image);
	if (r) {
		kfree(image);
		return ERR_PTR(r);
	}
	snap_image_sweep(image->origin);
	r = epoch_new(ti, it, image);
	if (!r)
		return image;
	forget_image(image);
	cow_registry_put(&image->origin->dev);
	kfree(image);
	return ERR_PTR(r);
}

static void image_put(struct snap_image *image)
{
	snap_store_forget_image(image);
	forget_image(image);
	snap_image_remove(image);
}

static void image_release(struct dm_target *ti, struct image_target *it)
{
	struct snap_origin *origin = it->image ? it->image->origin : NULL;

	if (it->image)
		image_put(it->image);
	if (it->store)
		dm_put_device(ti, it->store);
	if (it->opened && snap_store_unclaimed(it->opened) && origin && it->persistent)
		snap_log_lost(origin);
	if (origin)
		cow_registry_put(&origin->dev);
	if (it->dev)
		dm_put_device(ti, it->dev);
	kfree(it);
}

static void image_dtr(struct dm_target *ti)
{
	image_release(ti, ti->private);
}

static int set_up_target(struct dm_target *ti, struct image_target *it)
{
	struct snap_image *image = image_new(ti, it);

	if (IS_ERR(image))
		return PTR_ERR(image);
	it->image = image;
	ti->private = it;
	ti->num_flush_bios = 1;
	ti->flush_supported = true;
	ti->accounts_remapped_io = true;
	ti->per_io_data_size = sizeof(struct snap_image_bio);
	return dm_set_target_max_io_len(ti, it->block_sectors);
}

static int image_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct image_target *it;
	int r;

	it = kzalloc(sizeof(*it), GFP_KERNEL);
	if (!it) {
		ti->error = "Cannot allocate the target";
		return -ENOMEM;
	}
	r = parse_arguments(ti, argc, argv, it);
	if (!r)
		r = open_devices(ti, it, argv);
	if (!r)
		r = check_devices(ti, it);
	if (!r)
		r = set_up_target(ti, it);
	if (r)
		image_release(ti, it);
	return r;
}

/* ---- bios, and the first resume ------------------------------------------- */

static int image_map(struct dm_target *ti, struct bio *bio)
{
	return snap_image_map(((struct image_target *)ti->private)->image, bio);
}

static int image_end_io(struct dm_target *ti, struct bio *bio, blk_status_t *error)
{
	snap_image_end_io(((struct image_target *)ti->private)->image, bio, error);
	return DM_ENDIO_DONE;
}

static int image_preresume(struct dm_target *ti)
{
	struct snap_image *image = ((struct image_target *)ti->private)->image;
	int r = snap_image_arm(image);

	if (!r)
		snap_store_add_image(image, ti);
	return r;
}

/* ---- messages ----------------------------------------------------------- */

static int image_message(struct dm_target *ti, unsigned int argc, char **argv,
			 char *result, unsigned int maxlen)
{
	struct image_target *it = ti->private;
	u64 sectors;

	if (argc == 2 && !strcasecmp(argv[0], "low_water") &&
	    !kstrtou64(argv[1], 10, &sectors)) {
		snap_store_set_low_water(it->image, sectors);
		return 0;
	}
	DMERR("%s: unknown message", dm_device_name(it->image->md));
	return -EINVAL;
}

/* ---- status ------------------------------------------------------------- */

static void emit_info(struct snap_image *image, char *result, unsigned int maxlen)
{
	struct snap_epoch *epoch = &image->epoch;
	unsigned int sz = 0;

	DMEMIT("%s %llu %llu %llu %llu %llu %u %s", state_names[READ_ONCE(epoch->state)],
	       snap_store_used(epoch->store), bdev_nr_sectors(epoch->store->opened.bdev),
	       READ_ONCE(epoch->kept_blocks), READ_ONCE(epoch->own_blocks),
	       READ_ONCE(epoch->kept.bytes) + READ_ONCE(epoch->own.bytes),
	       READ_ONCE(image->origin->cbt.restarts) == image->restarts ?
	       image->number : 0, snap_store_is_low(image) ? "low" : "-");
}

static const char *mode_name(const struct image_target *it)
{
	return it->persistent ? "persistent" : "transient";
}

static void emit_table(const struct image_target *it, char *result, unsigned int maxlen)
{
	u64 low_water = READ_ONCE(it->image->low_water);
	unsigned int features = 2 * !!low_water + it->resume;
	unsigned int sz = 0;

	DMEMIT("%s %s %s %u", it->dev->name, it->store->name, mode_name(it),
	       it->block_sectors << SECTOR_SHIFT);
	if (features)
		DMEMIT(" %u", features);
	if (low_water)
		DMEMIT(" low_water %llu", low_water);
	if (it->resume)
		DMEMIT(" resume");
}

static void image_status(struct dm_target *ti, status_type_t type,
			 unsigned int status_flags, char *result,
			 unsigned int maxlen)
{
	struct image_target *it = ti->private;
	unsigned int sz = 0;

	switch (type) {
	case STATUSTYPE_INFO:
		emit_info(it->image, result, maxlen);
		break;
	case STATUSTYPE_TABLE:
		emit_table(it, result, maxlen);
		break;
	case STATUSTYPE_IMA:
		DMEMIT_TARGET_NAME_VERSION(ti->type);
		DMEMIT(",device=%s,store=%s,mode=%s,block_size=%u,low_water=%llu,resume=%s;",
		       it->dev->name, it->store->name, mode_name(it),
		       it->block_sectors << SECTOR_SHIFT,
		       READ_ONCE(it->image->low_water), it->resume ? "y" : "n");
		break;
	}
}

static int image_iterate_devices(struct dm_target *ti,
				 iterate_devices_callout_fn fn, void *data)
{
	struct image_target *it = ti->private;
	int r = fn(ti, it->dev, 0, ti->len, data);

	return r ? r : fn(ti, it->store, 0, bdev_nr_sectors(it->store->bdev), data);
}

struct target_type snap_image_target_type = {
	.name = "blksnap",
	.version = { 1, 0, 0 },
	.features = DM_TARGET_SINGLETON,
	.module = THIS_MODULE,
	.ctr = image_ctr,
	.dtr = image_dtr,
	.map = image_map,
	.end_io = image_end_io,
	.preresume = image_preresume,
	.message = image_message,
	.status = image_status,
	.iterate_devices = image_iterate_devices,
};
