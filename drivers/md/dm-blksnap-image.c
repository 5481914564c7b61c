// SPDX-License-Identifier: GPL-2.0-only
/*
 * The target blksnap: an origin as it was when the image was first resumed.
 */
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>

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

static struct snap_image_bio *bio_to_pb(struct bio *bio)
{
	return dm_per_bio_data(bio, sizeof(struct snap_image_bio));
}

static struct bio *request_to_bio(struct snap_request *request)
{
	struct snap_image_bio *pb = container_of(request, struct snap_image_bio, request);

	return dm_bio_from_per_bio_data(pb, sizeof(*pb));
}

/* ---- where a bio goes --------------------------------------------------- */

/* What is backed up from now on is not what the origin had. */
static void mark(struct snap_image *image, const struct bio *bio)
{
	struct snap_cbt *cbt = &image->origin->cbt;

	if (image->number && READ_ONCE(cbt->restarts) == image->restarts)
		snap_cbt_mark_image(cbt, image->number, bio->bi_iter.bi_sector,
				    bio_sectors(bio));
}

void snap_image_marked(struct snap_origin *origin, struct snap_request *request)
{
	unsigned long flags;

	spin_lock_irqsave(&origin->arrived_lock, flags);
	list_add_tail(&request->node, &origin->arrived);
	spin_unlock_irqrestore(&origin->arrived_lock, flags);
	cow_dev_kick(&origin->dev);
}

/* All is decided by the origin's worker, so that nothing changes meanwhile. */
static int image_map(struct dm_target *ti, struct bio *bio)
{
	struct snap_image *image = ((struct image_target *)ti->private)->image;
	struct snap_origin *origin = image->origin;
	struct snap_request *request = &bio_to_pb(bio)->request;

	request->reader = -1;
	request->blank = false;
	if (!bio_sectors(bio)) {
		/* A flush: private blocks do not outlive a reboot anyway. */
		bio_endio(bio);
		return DM_MAPIO_SUBMITTED;
	}
	request->epoch = &image->epoch;
	bio_to_pb(bio)->iter = bio->bi_iter;
	if (op_is_write(bio_op(bio)))
		mark(image, bio);
	request->block = bio->bi_iter.bi_sector >> ilog2(image->epoch.block_sectors);
	request->is_write = op_is_write(bio_op(bio));
	if (request->is_write &&
	    !snap_keep_passes(origin->keep, bio->bi_iter.bi_sector, bio_sectors(bio)))
		snap_keep_image_write(origin->keep, request);
	else
		snap_image_marked(origin, request);
	return DM_MAPIO_SUBMITTED;
}

/* Bytes of what was read, from @offset on. */
static void zero_bytes(struct bio *bio, struct bvec_iter iter, u32 offset, u32 len)
{
	struct bio_vec bv;

	bio_advance_iter(bio, &iter, offset);
	iter.bi_size = len;
	__bio_for_each_segment(bv, bio, iter, iter)
		memzero_page(bv.bv_page, bv.bv_offset, bv.bv_len);
}

/* What belongs to no snapshot has been read all the same. */
static void blank_bio(const struct snap_epoch *epoch, struct bio *bio)
{
	struct bvec_iter iter = bio_to_pb(bio)->iter;
	u64 sector = iter.bi_sector, end = sector + (iter.bi_size >> SECTOR_SHIFT);
	u64 start, nr;

	while ((nr = snap_epoch_blanks(epoch, sector, end - sector, &start))) {
		zero_bytes(bio, iter, (start - iter.bi_sector) << SECTOR_SHIFT,
			   nr << SECTOR_SHIFT);
		sector = start + nr;
	}
}

static int image_end_io(struct dm_target *ti, struct bio *bio, blk_status_t *error)
{
	struct snap_image *image = ((struct image_target *)ti->private)->image;
	struct snap_origin *origin = image->origin;
	struct snap_request *request = &bio_to_pb(bio)->request;
	enum snap_state state;

	/* Pairs with snap_abandon(): what came later may have been read. */
	state = smp_load_acquire(&image->epoch.state);
	if (!*error && bio_op(bio) == REQ_OP_READ && state != SNAP_ACTIVE)
		*error = BLK_STS_IOERR;
	if (!*error && request->blank)
		blank_bio(&image->epoch, bio);
	if (snap_read_ends(&origin->snap, request)) {
		cow_dev_kick(&origin->dev);
		wake_up(&origin->readers_wait);
	}
	return DM_ENDIO_DONE;
}

static struct block_device *place_bdev(struct snap *snap, const struct snap_place *place)
{
	return place->store ? place->store->opened.bdev : snap_to_origin(snap)->dev.bdev;
}

/* Has somebody else got the store? What is there now is not ours. */
static bool is_taken(const struct snap_place *place)
{
	return place->store && READ_ONCE(place->store->taken);
}

static void image_fail(struct snap *snap, struct snap_request *request, int error)
{
	struct bio *bio = request_to_bio(request);

	bio->bi_status = errno_to_blk_status(error);
	bio_endio(bio);
}

static void image_send(struct snap *snap, struct snap_request *request,
		       const struct snap_place *place)
{
	struct bio *bio = request_to_bio(request);
	u32 block_sectors = request->epoch->block_sectors;
	u32 offset = bio->bi_iter.bi_sector & (block_sectors - 1);

	if (is_taken(place)) {
		image_fail(snap, request, -EIO);
		return;
	}
	bio_set_dev(bio, place_bdev(snap, place));
	bio->bi_iter.bi_sector = place->block * block_sectors + offset;
	dm_submit_bio_remap(bio, NULL);
}

/* kcopyd's thread: of a copy, or of a part of it that was blanked. */
static void copy_done(int read_err, unsigned long write_err, void *context)
{
	struct snap_image_bio *pb = context;
	struct snap_origin *origin = epoch_to_image(pb->request.epoch)->origin;

	pb->error = read_err || write_err ? -EIO : 0;
	rcu_read_lock();	/* cow_dev_exit() waits for us */
	llist_add(&pb->copied, &origin->copied);
	cow_dev_kick(&origin->dev);
	rcu_read_unlock();
}

/*
 * What of a copy must be blanked next? False if all is done. The worker's: it may
 * wait for one of kcopyd's jobs to end, which kcopyd's own thread may not.
 */
static bool blank_copy(struct snap_origin *origin, struct snap_image_bio *pb)
{
	struct snap_epoch *epoch = pb->request.epoch;
	u64 first = pb->request.block * epoch->block_sectors, start, nr;
	struct dm_io_region to = { .bdev = epoch->store->opened.bdev };

	nr = snap_epoch_blanks(epoch, first + pb->blanked,
			       epoch->block_sectors - pb->blanked, &start);
	if (!nr)
		return false;
	pb->blanked = start + nr - first;
	to.sector = pb->request.dest * epoch->block_sectors + (start - first);
	to.count = nr;
	dm_kcopyd_zero(origin->kcopyd, 1, &to, 0, copy_done, pb);
	return true;
}

static void image_copy(struct snap *snap, struct snap_request *request,
		       const struct snap_place *place)
{
	struct snap_image_bio *pb = container_of(request, struct snap_image_bio, request);
	struct snap_epoch *epoch = request->epoch;
	u32 sectors = cow_run_sectors(&snap->cow->geo, request->block, 1);
	struct dm_io_region from = {
		.bdev = place_bdev(snap, place),
		.sector = place->block * epoch->block_sectors,
		.count = sectors,
	};
	struct dm_io_region to = {
		.bdev = epoch->store->opened.bdev,
		.sector = request->dest * epoch->block_sectors,
		.count = sectors,
	};

	pb->blanked = 0;
	if (is_taken(place)) {
		copy_done(1, 0, pb);
		return;
	}
	dm_kcopyd_copy(snap_to_origin(snap)->kcopyd, &from, 1, &to, 0, copy_done, pb);
}

static void image_changed(struct snap *snap, struct snap_epoch *epoch)
{
	snap_store_tell_image(epoch_to_image(epoch));
}

static u64 image_take(struct snap *snap, struct snap_store *store, u64 want,
		      u64 *dest)
{
	return snap_store_take(store, snap->cow->geo.block_sectors, want, dest);
}

static u64 image_left(struct snap *snap, struct snap_store *store)
{
	return snap_store_left(store, snap->cow->geo.block_sectors);
}

const struct snap_ops snap_image_ops = {
	.take = image_take,
	.left = image_left,
	.send = image_send,
	.fail = image_fail,
	.copy = image_copy,
	.changed = image_changed,
};

void snap_image_work(struct snap_origin *origin)
{
	struct llist_node *copied = llist_del_all(&origin->copied);
	struct snap_request *request, *tmp;
	struct snap_image_bio *pb, *next;
	LIST_HEAD(arrived);

	if (!origin->paused) {
		spin_lock_irq(&origin->arrived_lock);
		list_splice_init(&origin->arrived, &arrived);
		spin_unlock_irq(&origin->arrived_lock);
	}
	llist_for_each_entry_safe(pb, next, copied, copied)
		if (pb->error || !blank_copy(origin, pb))
			snap_copied(&origin->snap, &pb->request, pb->error);
	if (copied)
		wake_up(&origin->readers_wait);
	list_for_each_entry_safe(request, tmp, &arrived, node)
		snap_request_arrived(&origin->snap, request);
	cow_range_pool_fill(&origin->snap.pool, SNAP_SPARE_RANGES);
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

static void image_free(struct snap_image *image)
{
	snap_epoch_exit(&image->epoch);
	snap_store_put(image->epoch.store);
	kfree(image);
}

/* The worker's. */
static int check_company(struct cow_dev *dev, void *arg)
{
	const struct snap_image *image = arg;

	return snap_may_arm(&dev_to_origin(dev)->snap, &image->epoch) ? 0 : -EBUSY;
}

static const char *bad_company(const struct snap_image *image)
{
	return image->epoch.persistent ?
	       "A persistent snapshot must be the origin's only one: remove the others" :
	       "The origin has a persistent snapshot, which must be its only one";
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
	r = cow_dev_call(&image->origin->dev, check_company, image, false);
	if (r)
		ti->error = (char *)bad_company(image);
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
	r = snap_origin_blank_files(image->origin, image);
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

/* ---- arming and removing ------------------------------------------------ */

static int arm(struct cow_dev *dev, void *arg)
{
	struct snap_origin *origin = dev_to_origin(dev);
	struct snap_image *image = arg;
	int r = 0;

	if (snap_block_size_differs(&origin->snap, image->epoch.block_sectors)) {
		DMERR("%s: block size is not that of the other snapshots",
		      dm_device_name(image->md));
		return -EINVAL;
	}
	if (check_company(dev, image)) {
		DMERR("%s: %s", dm_device_name(image->md), bad_company(image));
		return -EBUSY;
	}
	dev->dest_bdev = image->epoch.store->opened.bdev;
	if (image->epoch.persistent)
		r = snap_log_arm(origin, image);
	else
		snap_arm(&origin->snap, &image->epoch);
	if (r)
		return r;
	/* What was resumed ended an epoch that nobody has the number of. */
	image->number = image->resume ? 0 : snap_cbt_next(&origin->cbt);
	image->restarts = origin->cbt.restarts;
	/* Pairs with origin_map(). */
	smp_store_release(&origin->armed, true);
	return 0;
}

/* The origin's lock is held. */
static int arm_once(struct snap_image *image)
{
	struct snap_origin *origin = image->origin;
	int r;

	if (READ_ONCE(image->epoch.state) != SNAP_NEW)
		return 0;
	if (!origin->frozen || !origin->live) {
		DMERR("%s: suspend the origin first", dm_device_name(image->md));
		return -EBUSY;
	}
	if (image->file_changes != origin->file_changes) {
		DMERR("%s: a file became a store of its origin, or ceased to be one: begin again",
		      dm_device_name(image->md));
		return -EAGAIN;
	}
	r = cow_dev_call(&origin->dev, arm, image, true);
	if (!r)	/* The map of before: nobody looks at it, the origin is suspended. */
		cow_map_exit(&image->epoch.map);
	return r;
}

static int image_preresume(struct dm_target *ti)
{
	struct snap_image *image = ((struct image_target *)ti->private)->image;
	struct snap_origin *origin = image->origin;
	unsigned int noio = memalloc_noio_save();
	int r;

	mutex_lock(&origin->lock);
	r = arm_once(image);
	mutex_unlock(&origin->lock);
	memalloc_noio_restore(noio);
	if (r)
		return r;
	snap_store_add_image(image, ti);
	return 0;
}

struct removal {
	struct snap_image *image;
	struct list_head dead;
	bool last;
};

static int remove_image(struct cow_dev *dev, void *arg)
{
	struct snap_origin *origin = dev_to_origin(dev);
	struct removal *removal = arg;

	if (removal->image)
		snap_remove(&origin->snap, &removal->image->epoch, &removal->dead);
	else
		snap_sweep(&origin->snap, &removal->dead);
	removal->last = list_empty(&origin->snap.epochs) && !list_empty(&removal->dead);
	if (removal->last)
		WRITE_ONCE(origin->armed, false);
	return 0;
}

/* Without snapshots no map is needed. The origin's lock is held: nothing arms. */
static void drop_map(struct snap_origin *origin)
{
	struct cow_map map = origin->dev.cow.map;

	/* Whoever saw origin->armed has looked at the map. */
	synchronize_rcu();
	memset(&origin->dev.cow.map, 0, sizeof(map));
	cow_map_exit(&map);
}

/* Of an image, or of nobody. */
static void remove_and_free(struct snap_origin *origin, struct snap_image *image)
{
	struct removal removal = { .image = image };
	struct snap_epoch *epoch, *tmp;

	INIT_LIST_HEAD(&removal.dead);
	mutex_lock(&origin->lock);
	cow_dev_call(&origin->dev, remove_image, &removal, true);
	if (removal.last)
		drop_map(origin);
	mutex_unlock(&origin->lock);
	/* If not among these, it is freed with an older one; not ours any more. */
	list_for_each_entry_safe(epoch, tmp, &removal.dead, node)
		image_free(epoch_to_image(epoch));
}

void snap_image_sweep(struct snap_origin *origin)
{
	remove_and_free(origin, NULL);
}

static void image_put(struct snap_image *image)
{
	snap_store_forget_image(image);
	forget_image(image);
	remove_and_free(image->origin, image);
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
