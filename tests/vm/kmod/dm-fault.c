// SPDX-License-Identifier: GPL-2.0-only
/*
 * For tests only: a linear target that lets the I/O fail that it is told to.
 *
 *	<start> <len> fault <device>
 *
 * Messages:
 *	fail <what> <first> <sectors> <skip> <count> <how>
 *		what	read, write, flush; data: the first two; any: all three
 *		first, sectors	where: what touches these; not looked at for a flush
 *		skip	so many that match are let through first
 *		count	so many fail after that; 0: all of them
 *		how	drop: nothing is done; done: all is done, and an error
 *			returned; torn: the first half of a write is done
 *	heal	nothing fails
 *
 * There is one rule at a time; a new one starts counting at 0. Status: how many
 * matched, how many of them failed.
 */
#include <linux/bio.h>
#include <linux/device-mapper.h>
#include <linux/module.h>
#include <linux/spinlock.h>

enum what { READS, WRITES, FLUSHES, DATA, ANY, NOTHING };
enum how { DROP, DONE, TORN };

static const char * const what_names[] = { "read", "write", "flush", "data", "any" };
static const char * const how_names[] = { "drop", "done", "torn" };

struct fault {
	struct dm_dev *dev;
	spinlock_t lock;		/* guards the rest */
	enum what what;
	enum how how;
	u64 first;
	u64 sectors;
	u64 skip;
	u64 count;
	u64 matched;
	u64 failed;
	u64 rest;			/* the second half of a torn write starts here */
};

struct fault_bio {
	bool fail;			/* when it is done */
};

static bool is_what(const struct fault *fault, const struct bio *bio)
{
	bool flush = !bio_sectors(bio) && (bio->bi_opf & REQ_PREFLUSH);

	switch (fault->what) {
	case READS:
		return bio_op(bio) == REQ_OP_READ;
	case WRITES:
		return op_is_write(bio_op(bio)) && bio_sectors(bio);
	case FLUSHES:
		return flush;
	case DATA:
		return bio_sectors(bio);
	case ANY:
		return true;
	default:
		return false;
	}
}

static bool matches(const struct fault *fault, const struct bio *bio)
{
	if (!is_what(fault, bio))
		return false;
	return !bio_sectors(bio) ||
	       (bio->bi_iter.bi_sector < fault->first + fault->sectors &&
		bio_end_sector(bio) > fault->first);
}

/* Counts; true if this one is to fail. */
static bool is_chosen(struct fault *fault, const struct bio *bio)
{
	if (!matches(fault, bio))
		return false;
	fault->matched++;
	if (fault->matched <= fault->skip)
		return false;
	if (fault->count && fault->matched > fault->skip + fault->count)
		return false;
	fault->failed++;
	return true;
}

/* True if the bio ends here. */
static bool fail_bio(struct fault *fault, struct bio *bio)
{
	struct fault_bio *pb = dm_per_bio_data(bio, sizeof(*pb));

	if (fault->how == TORN && bio_op(bio) == REQ_OP_WRITE && bio_sectors(bio) > 1) {
		dm_accept_partial_bio(bio, bio_sectors(bio) / 2);
		fault->rest = bio_end_sector(bio);
	} else if (fault->how != DONE) {
		return true;
	}
	pb->fail = true;
	return false;
}

static int fault_map(struct dm_target *ti, struct bio *bio)
{
	struct fault_bio *pb = dm_per_bio_data(bio, sizeof(*pb));
	struct fault *fault = ti->private;
	unsigned long flags;
	bool end = false;

	pb->fail = false;
	bio_set_dev(bio, fault->dev->bdev);
	spin_lock_irqsave(&fault->lock, flags);
	if (fault->rest && bio_op(bio) == REQ_OP_WRITE &&
	    bio->bi_iter.bi_sector == fault->rest) {
		fault->rest = 0;
		end = true;
	} else if (is_chosen(fault, bio)) {
		end = fail_bio(fault, bio);
	}
	spin_unlock_irqrestore(&fault->lock, flags);
	return end ? DM_MAPIO_KILL : DM_MAPIO_REMAPPED;
}

static int fault_end_io(struct dm_target *ti, struct bio *bio, blk_status_t *error)
{
	struct fault_bio *pb = dm_per_bio_data(bio, sizeof(*pb));

	if (pb->fail)
		*error = BLK_STS_IOERR;
	return DM_ENDIO_DONE;
}

static int set_rule(struct fault *fault, char **argv)
{
	int what = match_string(what_names, ARRAY_SIZE(what_names), argv[1]);
	int how = match_string(how_names, ARRAY_SIZE(how_names), argv[6]);
	u64 n[4];
	int i;

	if (what < 0 || how < 0)
		return -EINVAL;
	for (i = 0; i < 4; i++)
		if (kstrtou64(argv[2 + i], 10, &n[i]))
			return -EINVAL;
	spin_lock_irq(&fault->lock);
	fault->what = what;
	fault->how = how;
	fault->first = n[0];
	fault->sectors = n[1];
	fault->skip = n[2];
	fault->count = n[3];
	fault->matched = 0;
	fault->failed = 0;
	fault->rest = 0;
	spin_unlock_irq(&fault->lock);
	return 0;
}

static int fault_message(struct dm_target *ti, unsigned int argc, char **argv,
			 char *result, unsigned int maxlen)
{
	struct fault *fault = ti->private;

	if (argc == 7 && !strcmp(argv[0], "fail"))
		return set_rule(fault, argv);
	if (argc != 1 || strcmp(argv[0], "heal"))
		return -EINVAL;
	spin_lock_irq(&fault->lock);
	fault->what = NOTHING;
	fault->rest = 0;
	spin_unlock_irq(&fault->lock);
	return 0;
}

static void fault_status(struct dm_target *ti, status_type_t type,
			 unsigned int status_flags, char *result, unsigned int maxlen)
{
	struct fault *fault = ti->private;
	unsigned int sz = 0;

	switch (type) {
	case STATUSTYPE_INFO:
		DMEMIT("%llu %llu", fault->matched, fault->failed);
		break;
	case STATUSTYPE_TABLE:
		DMEMIT("%s", fault->dev->name);
		break;
	default:
		*result = '\0';
		break;
	}
}

static int fault_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct fault *fault;

	if (argc != 1 || ti->begin) {
		ti->error = "One device, from its beginning";
		return -EINVAL;
	}
	fault = kzalloc(sizeof(*fault), GFP_KERNEL);
	if (!fault)
		return -ENOMEM;
	if (dm_get_device(ti, argv[0], dm_table_get_mode(ti->table), &fault->dev)) {
		ti->error = "Cannot open the device";
		kfree(fault);
		return -EINVAL;
	}
	spin_lock_init(&fault->lock);
	fault->what = NOTHING;
	ti->private = fault;
	ti->num_flush_bios = 1;
	ti->num_discard_bios = 1;
	ti->per_io_data_size = sizeof(struct fault_bio);
	return 0;
}

static void fault_dtr(struct dm_target *ti)
{
	struct fault *fault = ti->private;

	dm_put_device(ti, fault->dev);
	kfree(fault);
}

static int fault_iterate_devices(struct dm_target *ti,
				 iterate_devices_callout_fn fn, void *data)
{
	struct fault *fault = ti->private;

	return fn(ti, fault->dev, 0, ti->len, data);
}

static struct target_type fault_target = {
	.name = "fault",
	.version = { 1, 0, 0 },
	.module = THIS_MODULE,
	.ctr = fault_ctr,
	.dtr = fault_dtr,
	.map = fault_map,
	.end_io = fault_end_io,
	.message = fault_message,
	.status = fault_status,
	.iterate_devices = fault_iterate_devices,
};

static int __init dm_fault_init(void)
{
	return dm_register_target(&fault_target);
}

static void __exit dm_fault_exit(void)
{
	dm_unregister_target(&fault_target);
}

module_init(dm_fault_init);
module_exit(dm_fault_exit);

MODULE_DESCRIPTION("I/O errors on demand, for tests");
MODULE_AUTHOR("The dm-cow developers");
MODULE_LICENSE("GPL");
