// SPDX-License-Identifier: GPL-2.0-only
/*
 * For tests only: a linear target that offers secure erase, whatever lies below, and
 * does not erase anything. Its status is how often it was asked to.
 *
 *	<start> <len> secure <device>
 */
#include <linux/atomic.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/device-mapper.h>
#include <linux/module.h>

struct secure {
	struct dm_dev *dev;
	atomic_t asked;
};

static int secure_map(struct dm_target *ti, struct bio *bio)
{
	struct secure *secure = ti->private;

	if (bio_op(bio) == REQ_OP_SECURE_ERASE) {
		atomic_inc(&secure->asked);
		bio_endio(bio);
		return DM_MAPIO_SUBMITTED;
	}
	bio_set_dev(bio, secure->dev->bdev);
	return DM_MAPIO_REMAPPED;
}

static void secure_status(struct dm_target *ti, status_type_t type,
			  unsigned int status_flags, char *result, unsigned int maxlen)
{
	struct secure *secure = ti->private;
	unsigned int sz = 0;

	if (type == STATUSTYPE_INFO)
		DMEMIT("%d", atomic_read(&secure->asked));
	else if (type == STATUSTYPE_TABLE)
		DMEMIT("%s", secure->dev->name);
}

static void secure_dtr(struct dm_target *ti)
{
	struct secure *secure = ti->private;

	dm_put_device(ti, secure->dev);
	kfree(secure);
}

static int secure_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct secure *secure;

	if (argc != 1) {
		ti->error = "Argument: device";
		return -EINVAL;
	}
	secure = kzalloc(sizeof(*secure), GFP_KERNEL);
	if (!secure) {
		ti->error = "Cannot allocate the target";
		return -ENOMEM;
	}
	if (dm_get_device(ti, argv[0], dm_table_get_mode(ti->table), &secure->dev)) {
		ti->error = "Cannot open the device";
		kfree(secure);
		return -ENODEV;
	}
	ti->private = secure;
	ti->num_flush_bios = 1;
	ti->num_secure_erase_bios = 1;
	return 0;
}

/* Of the device below nothing is asked: it would say that it cannot. */
static int secure_iterate_devices(struct dm_target *ti, iterate_devices_callout_fn fn,
				  void *data)
{
	return 0;
}

static void secure_io_hints(struct dm_target *ti, struct queue_limits *limits)
{
	limits->max_secure_erase_sectors = UINT_MAX;
	limits->discard_granularity = limits->logical_block_size;
}

static struct target_type secure_target = {
	.name = "secure",
	.version = { 1, 0, 0 },
	.module = THIS_MODULE,
	.ctr = secure_ctr,
	.dtr = secure_dtr,
	.map = secure_map,
	.status = secure_status,
	.iterate_devices = secure_iterate_devices,
	.io_hints = secure_io_hints,
};

static int __init dm_secure_init(void)
{
	return dm_register_target(&secure_target);
}

static void __exit dm_secure_exit(void)
{
	dm_unregister_target(&secure_target);
}

module_init(dm_secure_init);
module_exit(dm_secure_exit);

MODULE_DESCRIPTION("A disk that offers secure erase, for tests");
MODULE_AUTHOR("The dm-cow developers");
MODULE_LICENSE("GPL");
