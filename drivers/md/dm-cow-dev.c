// SPDX-License-Identifier: GPL-2.0-only
/*
 * The core's worker, and the registry of devices that have one.
 */
#include <linux/completion.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched/mm.h>

#include "dm-cow-dev.h"

/* ---- the worker --------------------------------------------------------- */

struct call {
	struct list_head node;
	struct cow_exclusive exclusive;
	struct cow_dev *dev;
	int (*fn)(struct cow_dev *dev, void *arg);
	void *arg;
	bool want_exclusive;
	int result;
	struct completion done;
};

static void run_call(struct call *call)
{
	call->result = call->fn(call->dev, call->arg);
	complete(&call->done);
}

static void run_exclusive_call(struct cow *cow, struct cow_exclusive *exclusive)
{
	run_call(container_of(exclusive, struct call, exclusive));
}

static void take_calls(struct cow_dev *dev)
{
	struct call *call, *tmp;
	LIST_HEAD(calls);

	spin_lock_irq(&dev->lock);
	list_splice_init(&dev->calls, &calls);
	spin_unlock_irq(&dev->lock);
	list_for_each_entry_safe(call, tmp, &calls, node) {
		call->exclusive.run = run_exclusive_call;
		if (call->want_exclusive)
			cow_run_exclusive(&dev->cow, &call->exclusive);
		else
			run_call(call);
	}
}

static void take_writes(struct cow_dev *dev)
{
	struct cow_waiter *waiter, *tmp;
	LIST_HEAD(arrived);

	spin_lock_irq(&dev->lock);
	list_splice_init(&dev->arrived, &arrived);
	spin_unlock_irq(&dev->lock);
	list_for_each_entry_safe(waiter, tmp, &arrived, node) {
		cow_linger_arrived(dev);
		cow_write_arrived(&dev->cow, waiter);
	}
}

#define TURNS 16		/* then others on this processor may work as well */
#define WIDE_PAGES 4

/*
 * One copy at a time is done soonest where the write came from, without waking
 * another processor; many are done soonest beside whoever sends more of them.
 */
static void note_width(struct cow_dev *dev)
{
	unsigned int pages = dev->copier.pages;

	dev->width = max(dev->width, pages);
	if (dev->width > WIDE_PAGES)
		WRITE_ONCE(dev->wide, true);
	if (pages)
		return;
	if (dev->width && dev->width <= WIDE_PAGES)
		WRITE_ONCE(dev->wide, false);
	dev->width = 0;
}

static void work_once(struct cow_dev *dev)
{
	struct blk_plug plug;

	/* Neighbouring copies and released writes go down merged. */
	blk_start_plug(&plug);
	cow_copy_collect(dev);
	cow_bio_collect(dev);
	if (dev->ops->work)
		dev->ops->work(dev);
	take_writes(dev);
	take_calls(dev);
	cow_turn(&dev->cow);
	blk_finish_plug(&plug);
	note_width(dev);
}

static void cow_dev_work(struct work_struct *work)
{
	struct cow_dev *dev = container_of(work, struct cow_dev, work);
	unsigned int noio = memalloc_noio_save();
	int kicks, turns = TURNS;

	do {
		/* What was there before a kick is seen once the kick is. */
		kicks = atomic_read_acquire(&dev->kicks);
		work_once(dev);
		kicks = atomic_sub_return(kicks, &dev->kicks);
	} while (kicks && --turns);
	/* Nobody else does as long as kicks is not 0. */
	if (kicks)
		cow_dev_queue(dev);
	memalloc_noio_restore(noio);
}

void cow_dev_write(struct cow_dev *dev, struct cow_waiter *waiter)
{
	unsigned long flags;

	spin_lock_irqsave(&dev->lock, flags);
	list_add_tail(&waiter->node, &dev->arrived);
	spin_unlock_irqrestore(&dev->lock, flags);
	cow_dev_kick(dev);
}
EXPORT_SYMBOL_GPL(cow_dev_write);

int cow_dev_call(struct cow_dev *dev, int (*fn)(struct cow_dev *dev, void *arg),
		 void *arg, bool exclusive)
{
	struct call call = {
		.dev = dev,
		.fn = fn,
		.arg = arg,
		.want_exclusive = exclusive,
	};

	init_completion(&call.done);
	spin_lock_irq(&dev->lock);
	list_add_tail(&call.node, &dev->calls);
	spin_unlock_irq(&dev->lock);
	cow_dev_kick(dev);
	wait_for_completion(&call.done);
	return call.result;
}
EXPORT_SYMBOL_GPL(cow_dev_call);

static int nothing(struct cow_dev *dev, void *arg)
{
	return 0;
}

void cow_dev_drain(struct cow_dev *dev)
{
	cow_dev_call(dev, nothing, NULL, true);
}
EXPORT_SYMBOL_GPL(cow_dev_drain);

/* ---- what the core asks of its surroundings ----------------------------- */

static void copy_ends(struct cow_dev *dev)
{
	if (dev->ops->copy_ends)
		dev->ops->copy_ends(dev);
}

static struct cow_op *dev_op_alloc(struct cow *cow, u32 nr)
{
	struct cow_dev *dev = cow_to_dev(cow);
	struct cow_op *op;

	if (dev->ops->copy_begins && !dev->ops->copy_begins(dev))
		return NULL;
	op = cow_copy_alloc(cow, nr);
	if (!op)
		copy_ends(dev);
	return op;
}

static void dev_op_free(struct cow_op *op)
{
	struct cow_dev *dev = cow_to_dev(op->cow);

	cow_copy_free(op);
	copy_ends(dev);
}

static void dev_release(struct cow *cow, struct cow_waiter *waiter, int error)
{
	if (!error)
		cow_linger_released(cow_to_dev(cow));
	cow_to_dev(cow)->ops->release(cow_to_dev(cow), waiter, error);
}

static void dev_hide_hold(struct cow *cow, u32 index)
{
	cow_to_dev(cow)->ops->hide_hold(cow_to_dev(cow), index);
}

static void dev_hide_release(struct cow *cow, u32 index)
{
	cow_to_dev(cow)->ops->hide_release(cow_to_dev(cow), index);
}

static void dev_give_up(struct cow *cow)
{
	cow_to_dev(cow)->ops->give_up(cow_to_dev(cow));
}

static void dev_event(struct cow *cow, enum cow_event event)
{
	const struct cow_dev_ops *ops = cow_to_dev(cow)->ops;

	if (ops->event)
		ops->event(cow_to_dev(cow), event);
}

static u64 dev_take(struct cow *cow, u64 want, u64 *dest)
{
	return cow_to_dev(cow)->ops->take(cow_to_dev(cow), want, dest);
}

static int dev_keep(struct cow *cow, const struct cow_op *op)
{
	return cow_to_dev(cow)->ops->keep(cow_to_dev(cow), op);
}

static void dev_abandon(struct cow *cow, int error)
{
	cow_to_dev(cow)->ops->abandon(cow_to_dev(cow), error);
}

static const struct cow_env_ops dev_env_ops = {
	.op_alloc = dev_op_alloc,
	.op_free = dev_op_free,
	.op_start = cow_copy_start,
	.page_write = cow_bio_page_write,
	.flush = cow_bio_flush,
	.linger = cow_linger,
	.release = dev_release,
	.hide_hold = dev_hide_hold,
	.hide_release = dev_hide_release,
	.give_up = dev_give_up,
	.event = dev_event,
	.take = dev_take,
	.keep = dev_keep,
	.abandon = dev_abandon,
};

/* For drives that only say that they have it, or take longer for it than for a flush. */
static bool use_fua = true;
module_param_named(fua, use_fua, bool, 0644);
MODULE_PARM_DESC(fua, "Use FUA in place of a flush for one or two copies, where a device has it");

void cow_dev_set_dest(struct cow_dev *dev, struct block_device *bdev)
{
	dev->dest_bdev = bdev;
	dev->cow.fua = READ_ONCE(use_fua) && bdev_fua(bdev);
}
EXPORT_SYMBOL_GPL(cow_dev_set_dest);

int cow_dev_init(struct cow_dev *dev, struct block_device *bdev, u64 sectors,
		 u32 block_sectors, const struct cow_dev_ops *ops)
{
	int r;

	dev->bdev = bdev;
	dev->ops = ops;
	INIT_LIST_HEAD(&dev->list);
	INIT_LIST_HEAD(&dev->arrived);
	INIT_LIST_HEAD(&dev->calls);
	init_llist_head(&dev->read_done);
	init_llist_head(&dev->sum_done);
	init_llist_head(&dev->write_done);
	spin_lock_init(&dev->lock);
	INIT_WORK(&dev->work, cow_dev_work);
	cow_bio_io_init(dev, sectors);
	cow_linger_init(dev);
	r = cow_init(&dev->cow, sectors, block_sectors, &dev->io, &dev_env_ops);
	if (r)
		return r;
	cow_dev_set_dest(dev, bdev);
	dev->near_wq = alloc_workqueue("dm-cow", WQ_MEM_RECLAIM, 0);
	dev->wide_wq = alloc_workqueue("dm-cow-wide", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!dev->near_wq || !dev->wide_wq)
		r = -ENOMEM;
	if (!r)
		r = cow_bio_init(dev);
	if (!r)
		r = cow_copier_init(dev);
	if (r)
		cow_dev_exit(dev);
	return r;
}
EXPORT_SYMBOL_GPL(cow_dev_init);

static u64 standing_memory(const struct cow_dev *dev)
{
	const struct cow *cow = &dev->cow;

	return sizeof(*dev) + cow_map_memory(&cow->map) + cow_copier_reserve(dev) +
	       ((u64)cow->geo.block_sectors << 9) + 2 * COW_PAGE_SIZE +
	       READ_ONCE(cow->nr_freemap) * sizeof(*cow->freemap);
}

u64 cow_dev_memory(const struct cow_dev *dev)
{
	return standing_memory(dev) + cow_copier_bytes(dev);
}
EXPORT_SYMBOL_GPL(cow_dev_memory);

u64 cow_dev_memory_peak(const struct cow_dev *dev)
{
	return standing_memory(dev) + READ_ONCE(dev->copier.peak);
}
EXPORT_SYMBOL_GPL(cow_dev_memory_peak);

void cow_dev_exit(struct cow_dev *dev)
{
	/*
	 * All I/O has ended, but who reported the end of the last one may still
	 * be about to wake the worker: checksum_work() or a completion, the latter
	 * in a read section of RCU.
	 */
	cow_copier_flush(dev);
	cow_linger_exit(dev);
	synchronize_rcu();
	/* While there are kicks it may still queue itself, and in the other queue. */
	while (atomic_read(&dev->kicks))
		flush_work(&dev->work);
	if (dev->near_wq)
		destroy_workqueue(dev->near_wq);
	if (dev->wide_wq)
		destroy_workqueue(dev->wide_wq);
	cow_copier_exit(dev);
	cow_bio_exit(dev);
	cow_exit(&dev->cow);
}
EXPORT_SYMBOL_GPL(cow_dev_exit);

/* ---- the registry ------------------------------------------------------- */

/* Guards the list, and the users of every device on it. */
static DEFINE_MUTEX(registry_mutex);
static LIST_HEAD(registry);

void cow_registry_lock(void)
{
	mutex_lock(&registry_mutex);
}
EXPORT_SYMBOL_GPL(cow_registry_lock);

void cow_registry_unlock(void)
{
	mutex_unlock(&registry_mutex);
}
EXPORT_SYMBOL_GPL(cow_registry_unlock);

struct cow_dev *cow_registry_find(struct block_device *bdev)
{
	struct cow_dev *dev;

	lockdep_assert_held(&registry_mutex);
	list_for_each_entry(dev, &registry, list)
		if (dev->bdev->bd_dev == bdev->bd_dev)
			return dev;
	return NULL;
}
EXPORT_SYMBOL_GPL(cow_registry_find);

struct cow_dev *cow_registry_find_disk(const struct gendisk *disk)
{
	struct cow_dev *dev;

	lockdep_assert_held(&registry_mutex);
	list_for_each_entry(dev, &registry, list)
		if (dev->md && dm_disk(dev->md) == disk)
			return dev;
	return NULL;
}
EXPORT_SYMBOL_GPL(cow_registry_find_disk);

void cow_registry_add(struct cow_dev *dev)
{
	lockdep_assert_held(&registry_mutex);
	dev->users = 1;
	list_add(&dev->list, &registry);
}
EXPORT_SYMBOL_GPL(cow_registry_add);

void cow_registry_put(struct cow_dev *dev)
{
	bool last;

	mutex_lock(&registry_mutex);
	last = !--dev->users;
	if (last)
		list_del(&dev->list);
	mutex_unlock(&registry_mutex);
	if (last)
		dev->ops->destroy(dev);
}
EXPORT_SYMBOL_GPL(cow_registry_put);

/* ---- what the constructors of all targets check ------------------------- */

int cow_dev_check(struct dm_target *ti, struct block_device *bdev)
{
	if (ti->begin || bdev_nr_sectors(bdev) != ti->len) {
		ti->error = "Target must span the whole device and begin at 0";
		return -EINVAL;
	}
	if (bdev_is_zoned(bdev)) {
		ti->error = "Zoned devices are not supported";
		return -EINVAL;
	}
	return 0;
}
EXPORT_SYMBOL_GPL(cow_dev_check);

int cow_dev_may_share(struct dm_target *ti, const struct cow_dev *dev,
		      const struct cow_dev_ops *ops)
{
	lockdep_assert_held(&registry_mutex);
	if (dev->ops != ops || (dev->md && dev->md != dm_table_get_md(ti->table))) {
		ti->error = "Device is in use by another target of this kind";
		return -EBUSY;
	}
	if (dev->cow.geo.sectors != ti->len) {
		ti->error = "The size of the device cannot be changed by a reload";
		return -EINVAL;
	}
	return 0;
}
EXPORT_SYMBOL_GPL(cow_dev_may_share);

/* ---- module ------------------------------------------------------------- */

static int __init dm_cow_init(void)
{
	return cow_copy_module_init();
}

static void __exit dm_cow_exit(void)
{
	cow_copy_module_exit();
}

module_init(dm_cow_init);
module_exit(dm_cow_exit);

MODULE_DESCRIPTION("Copy-on-write core for device-mapper targets");
MODULE_AUTHOR("The dm-cow developers");
MODULE_LICENSE("GPL");
MODULE_VERSION(DM_COW_VERSION);
MODULE_SOFTDEP("pre: crc32c");
