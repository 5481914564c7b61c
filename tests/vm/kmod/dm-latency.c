// SPDX-License-Identifier: GPL-2.0-only
/*
 * For measurements only: a linear target that takes its time, as a disk would.
 *
 *	<start> <len> latency <device> <read us> <write us> <flush us>
 *
 * Each bio ends so much later than the device below has ended it, however many are on
 * their way. If that device has no FUA a write with FUA takes a flush longer, as the
 * block layer makes one of it there.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/device-mapper.h>
#include <linux/hrtimer.h>
#include <linux/module.h>

struct latency {
	struct dm_dev *dev;
	unsigned int read_us;
	unsigned int write_us;
	unsigned int flush_us;
};

struct latency_bio {
	struct hrtimer timer;
	struct bio *bio;
	unsigned int us;		/* 0: done with it */
};

static unsigned int time_of(const struct latency *latency, const struct bio *bio)
{
	unsigned int us;

	if (bio_op(bio) == REQ_OP_READ)
		return latency->read_us;
	us = bio_sectors(bio) ? latency->write_us : 0;
	if (bio->bi_opf & REQ_PREFLUSH)
		us += latency->flush_us;
	if (bio->bi_opf & REQ_FUA && !bdev_fua(latency->dev->bdev))
		us += latency->flush_us;
	return us;
}

static int latency_map(struct dm_target *ti, struct bio *bio)
{
	struct latency_bio *pb = dm_per_bio_data(bio, sizeof(*pb));
	struct latency *latency = ti->private;

	pb->bio = bio;
	pb->us = time_of(latency, bio);
	bio_set_dev(bio, latency->dev->bdev);
	return DM_MAPIO_REMAPPED;
}

static enum hrtimer_restart end_wait(struct hrtimer *timer)
{
	bio_endio(container_of(timer, struct latency_bio, timer)->bio);
	return HRTIMER_NORESTART;
}

/* Called for a second time when it has waited. */
static int latency_end_io(struct dm_target *ti, struct bio *bio, blk_status_t *error)
{
	struct latency_bio *pb = dm_per_bio_data(bio, sizeof(*pb));
	u64 ns = pb->us * NSEC_PER_USEC;

	if (!ns)
		return DM_ENDIO_DONE;
	pb->us = 0;
	hrtimer_init(&pb->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
	pb->timer.function = end_wait;
	hrtimer_start(&pb->timer, ns_to_ktime(ns), HRTIMER_MODE_REL_SOFT);
	return DM_ENDIO_INCOMPLETE;
}

static void latency_dtr(struct dm_target *ti)
{
	struct latency *latency = ti->private;

	dm_put_device(ti, latency->dev);
	kfree(latency);
}

static int parse(struct dm_target *ti, struct latency *latency, char **argv)
{
	if (kstrtouint(argv[1], 10, &latency->read_us) ||
	    kstrtouint(argv[2], 10, &latency->write_us) ||
	    kstrtouint(argv[3], 10, &latency->flush_us))
		return -EINVAL;
	return dm_get_device(ti, argv[0], dm_table_get_mode(ti->table), &latency->dev);
}

static int latency_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct latency *latency;
	int r;

	if (argc != 4) {
		ti->error = "Arguments: device, microseconds of a read, a write, a flush";
		return -EINVAL;
	}
	latency = kzalloc(sizeof(*latency), GFP_KERNEL);
	if (!latency) {
		ti->error = "Cannot allocate the target";
		return -ENOMEM;
	}
	r = parse(ti, latency, argv);
	if (r) {
		ti->error = "Cannot open the device, or bad numbers";
		kfree(latency);
		return r;
	}
	ti->private = latency;
	ti->num_flush_bios = 1;
	ti->per_io_data_size = sizeof(struct latency_bio);
	return 0;
}

static int latency_iterate_devices(struct dm_target *ti, iterate_devices_callout_fn fn,
				   void *data)
{
	struct latency *latency = ti->private;

	return fn(ti, latency->dev, 0, ti->len, data);
}

static struct target_type latency_target = {
	.name = "latency",
	.version = { 1, 0, 0 },
	.module = THIS_MODULE,
	.ctr = latency_ctr,
	.dtr = latency_dtr,
	.map = latency_map,
	.end_io = latency_end_io,
	.iterate_devices = latency_iterate_devices,
};

static int __init dm_latency_init(void)
{
	return dm_register_target(&latency_target);
}

static void __exit dm_latency_exit(void)
{
	dm_unregister_target(&latency_target);
}

module_init(dm_latency_init);
module_exit(dm_latency_exit);

MODULE_DESCRIPTION("A disk that takes its time, for measurements");
MODULE_AUTHOR("The dm-cow developers");
MODULE_LICENSE("GPL");
