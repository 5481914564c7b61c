// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory for the index of what is kept, when there is little.
 *
 * What a copy adds to the index stays there for as long as the snapshot does, so no
 * memory comes back from copies that end. And it must not be waited for when a copy has
 * been made: the write that waits for that may be one that makes memory free. So
 *
 *	- an entry is put by for each copy before it begins, and SNAP_SPARE_RANGES more;
 *	- the worker puts by what comes without waiting, in each of its turns;
 *	- if half of the rest is used up, another thread makes an effort: it takes what
 *	  comes without I/O, again and again. It holds nothing up;
 *	- without an entry a copy waits, and the write with it. Those that are under way,
 *	  and writes to blocks that have been copied, go on, and make memory free if that
 *	  is what they are for. Nobody else's I/O waits for that thread, and it waits for
 *	  none;
 *	- if none has come for SNAP_SPARE_WAIT there will not be any: the snapshots are lost,
 *	  and the write is let go.
 *
 * Nothing is taken from what the kernel keeps for emergencies.
 */
#include "dm-blksnap.h"

/* Mostly longer than devices need for what is under way. */
#define SNAP_SPARE_WAIT (5 * HZ)
#define SNAP_SPARE_AGAIN_MS 10

static void refill(struct work_struct *work)
{
	struct snap_spare *spare = container_of(to_delayed_work(work), struct snap_spare, work);
	struct snap_origin *origin = container_of(spare, struct snap_origin, spare);
	struct cow_range_pool got;

	cow_range_pool_init(&got);
	cow_range_pool_fill(&got, SNAP_SPARE_RANGES / 2, true);
	spin_lock(&spare->lock);
	cow_range_pool_move(&got, &spare->got);
	spin_unlock(&spare->lock);
	/* Even with nothing: who has waited for long enough is looked for in its turn. */
	cow_dev_kick(&origin->dev);
}

static void want_refill(struct snap_origin *origin)
{
	struct snap_spare *spare = &origin->spare;

	spin_lock(&spare->lock);
	if (!spare->ended)
		queue_delayed_work(origin->dev.copier.wq, &spare->work,
				   msecs_to_jiffies(SNAP_SPARE_AGAIN_MS));
	spin_unlock(&spare->lock);
}

static void fetch(struct snap_origin *origin)
{
	struct snap_spare *spare = &origin->spare;

	spin_lock(&spare->lock);
	cow_range_pool_move(&spare->got, &origin->snap.pool);
	spin_unlock(&spare->lock);
}

bool snap_spare_promise(struct snap_origin *origin)
{
	if (snap_copy_begins(&origin->snap)) {
		origin->spare.since = jiffies;
		return true;
	}
	origin->spare.waiting = true;
	want_refill(origin);
	return false;
}

void snap_spare_turn(struct snap_origin *origin)
{
	struct snap_spare *spare = &origin->spare;
	struct cow *cow = &origin->dev.cow;

	fetch(origin);
	if (!snap_fill(&origin->snap) && snap_is_short(&origin->snap) && !cow->passing)
		want_refill(origin);
	if (!spare->waiting || !snap_is_out(&origin->snap))
		spare->since = jiffies;
	else if (!cow->passing && time_after(jiffies, spare->since + SNAP_SPARE_WAIT))
		cow_lose(cow, -ENOMEM);
	spare->waiting = false;
}

void snap_spare_init(struct snap_origin *origin)
{
	struct snap_spare *spare = &origin->spare;

	INIT_DELAYED_WORK(&spare->work, refill);
	spin_lock_init(&spare->lock);
	cow_range_pool_init(&spare->got);
}

void snap_spare_exit(struct snap_origin *origin)
{
	struct snap_spare *spare = &origin->spare;

	spin_lock(&spare->lock);
	spare->ended = true;
	spin_unlock(&spare->lock);
	/* The worker has been called for what it got, and will fetch that in its last turn. */
	cancel_delayed_work_sync(&spare->work);
}
