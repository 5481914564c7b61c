// SPDX-License-Identifier: GPL-2.0-only
/*
 * trim -> checkpoint -> committed: what happens on the way. All work on the log
 * is done by the worker, with nothing else in flight.
 */
#include <linux/ktime.h>
#include <linux/uuid.h>

#include "dm-bow.h"
#include "dm-cow-finish.h"

#define DM_MSG_PREFIX "bow"

static void set_state(struct bow *bow, enum bow_state state)
{
	/* Whoever sees the state also sees the map and the hidden blocks of it. */
	smp_store_release(&bow->state, state);
}

/* ---- events ------------------------------------------------------------- */

static void raise_event(struct bow *bow)
{
	mutex_lock(&bow->event_lock);
	if (bow->event_target)
		dm_table_event(bow->event_target->table);
	mutex_unlock(&bow->event_lock);
}

static void bow_event(struct cow_dev *dev, enum cow_event event)
{
	struct bow *bow = dev_to_bow(dev);

	switch (event) {
	case COW_EVENT_LOW_WATER:
		DMWARN("%s: free space is below the low-water mark", bow_name(bow));
		break;
	case COW_EVENT_FULL:
		DMWARN("%s: no free space left for backups", bow_name(bow));
		break;
	case COW_EVENT_FAILED:
		DMERR("%s: the log cannot be written; the checkpoint stays as it is",
		      bow_name(bow));
		break;
	case COW_EVENT_STALE:	/* of a store only */
		break;
	}
	raise_event(bow);
}

/* ---- hidden blocks ------------------------------------------------------ */

void bow_hidden_load(struct bow *bow)
{
	const struct cow_head *head = &bow->dev.cow.log.head;
	u32 i;

	spin_lock_irq(&bow->hide_lock);
	bow->nr_hidden = head->hidden_count;
	bow->hidden_end = 0;
	for (i = 0; i < head->hidden_count; i++) {
		bow->hidden[i].source = head->hidden[i].source;
		bow->hidden[i].live = head->hidden[i].live;
		/* A checkpoint half entered: what block 0 holds, nobody knows. */
		bow->hidden[i].broken = bow->dev.cow.failed;
		bow->hidden_end = head->hidden[i].source +
				  bow->dev.cow.geo.block_sectors;
	}
	spin_unlock_irq(&bow->hide_lock);
}

/* ---- checkpoint --------------------------------------------------------- */

static int enter(struct cow_dev *dev, void *arg)
{
	struct bow *bow = dev_to_bow(dev);
	u64 *needed = arg;
	uuid_t uuid;
	int r;

	uuid_gen(&uuid);
	bow_settle(&dev->cow);
	r = bow_enter(&dev->cow, uuid.b, ktime_get_real_seconds(), needed);
	if (r && !dev->cow.failed) {
		set_state(bow, BOW_TRIM);
		return r;
	}
	bow_hidden_load(bow);
	set_state(bow, r ? BOW_FAILED : BOW_CHECKPOINT);
	return r;
}

int bow_checkpoint(struct bow *bow)
{
	enum bow_state state = READ_ONCE(bow->state);
	u64 needed = 0;
	int r;

	if (state != BOW_TRIM && state != BOW_COMMITTED) {
		DMERR("%s: no checkpoint in this state", bow_name(bow));
		return -EBUSY;
	}
	if (!bow->frozen) {
		DMERR("%s: suspend the device before a checkpoint", bow_name(bow));
		return -EBUSY;
	}
	r = cow_dev_call(&bow->dev, enter, &needed, true);
	if (r == -ENOSPC)
		DMERR("%s: %llu free blocks are too few, %llu are needed: trim more",
		      bow_name(bow),
		      (unsigned long long)cow_map_nr_free(&bow->dev.cow.map),
		      (unsigned long long)needed);
	else if (r)
		DMERR("%s: checkpoint failed: %d", bow_name(bow), r);
	raise_event(bow);
	return r;
}

/* ---- commit ------------------------------------------------------------- */

static int end_checkpoint(struct bow *bow)
{
	struct cow *cow = &bow->dev.cow;
	u32 i;
	int r;

	for (i = 0; i < bow->nr_hidden; i++)
		bow_hide_hold(&bow->dev, i);
	r = cow_commit(&cow->log, &cow->geo, &bow->dev.io, cow->buf);
	if (r) {
		cow->failed = true;
		DMERR("%s: cannot commit: %d; it will be finished offline",
		      bow_name(bow), r);
	} else {
		cow->passing = true;
		cow->failed = false;
		cow->full = false;
		set_state(bow, BOW_COMMITTED);
	}
	for (i = 0; i < bow->nr_hidden; i++)
		bow_hide_release(&bow->dev, i);
	cow_release_held(cow, 0);
	raise_event(bow);
	return r;
}

static int commit_call(struct cow_dev *dev, void *arg)
{
	struct bow *bow = dev_to_bow(dev);

	switch (bow->state) {
	case BOW_CHECKPOINT:
		return dev->cow.failed ? -EIO : end_checkpoint(bow);
	case BOW_FAILED:
		/* Nothing was written since: the log in memory is that on disk. */
		return end_checkpoint(bow);
	default:
		return 0;	/* the policy has been quicker */
	}
}

/* In state failed it tries once more to leave what could not be entered. */
int bow_commit(struct bow *bow)
{
	enum bow_state state = READ_ONCE(bow->state);

	if (state != BOW_CHECKPOINT && state != BOW_FAILED) {
		DMERR("%s: there is no checkpoint to commit", bow_name(bow));
		return -EINVAL;
	}
	/*
	 * What is in memory may be ahead of the disk: only the disk is to be
	 * believed. The worker looks again, this look is for the message.
	 */
	if (state == BOW_CHECKPOINT && data_race(bow->dev.cow.failed)) {
		DMERR("%s: the log has failed: commit or restore offline",
		      bow_name(bow));
		return -EIO;
	}
	return cow_dev_call(&bow->dev, commit_call, NULL, true);
}

static void give_up_run(struct cow *cow, struct cow_exclusive *self)
{
	struct bow *bow = container_of(self, struct bow, give_up);

	if (bow->state != BOW_CHECKPOINT || cow->failed)
		return;
	DMWARN("%s: out of space: the checkpoint is given up", bow_name(bow));
	end_checkpoint(bow);
}

static void bow_give_up(struct cow_dev *dev)
{
	struct bow *bow = dev_to_bow(dev);

	bow->give_up.run = give_up_run;
	cow_run_exclusive(&dev->cow, &bow->give_up);
}

/* ---- space -------------------------------------------------------------- */

static int reclaim(struct cow_dev *dev, void *arg)
{
	struct bow *bow = dev_to_bow(dev);

	bow_reclaim(&dev->cow, bow->discarded);
	cow_release_held(&dev->cow, 0);
	return 0;
}

int bow_do_reclaim(struct bow *bow)
{
	if (READ_ONCE(bow->state) != BOW_CHECKPOINT || !READ_ONCE(bow->discarded)) {
		DMERR("%s: reclaim needs a checkpoint and the resume argument",
		      bow_name(bow));
		return -EINVAL;
	}
	if (!bow->frozen) {
		DMERR("%s: suspend the device before reclaim", bow_name(bow));
		return -EBUSY;
	}
	return cow_dev_call(&bow->dev, reclaim, NULL, true);
}

struct holding {
	bool allow;
	int error;
};

static int set_holding(struct cow_dev *dev, void *arg)
{
	const struct holding *holding = arg;

	dev->cow.holding = holding->allow;
	dev->cow.hold_error = holding->error;
	if (!holding->allow)
		cow_release_held(&dev->cow, holding->error);
	return 0;
}

void bow_allow_holding(struct bow *bow, bool allow, int error)
{
	struct holding holding = { allow, error };

	cow_dev_call(&bow->dev, set_holding, &holding, false);
}

/* ---- first activation --------------------------------------------------- */

static int resume_log(struct bow *bow, struct cow_picture *pic)
{
	int r = bow_resume(&bow->dev.cow, pic);

	if (r == -EBUSY)
		DMERR("%s: the log is being restored: finish that offline",
		      bow_name(bow));
	else if (r == -EINVAL)
		DMERR("%s: the log has block_size %u", bow_name(bow),
		      pic->geo.block_sectors << 9);
	else if (r)
		DMERR("%s: resume failed: %d", bow_name(bow), r);
	if (r)
		return r;
	bow_hidden_load(bow);
	set_state(bow, BOW_CHECKPOINT);
	return 0;
}

/* A commit that was cut: nothing can be resumed, all is to be kept. */
static int finish_commit(struct bow *bow, struct cow_picture *pic)
{
	int r = cow_commit(&pic->log, &pic->geo, &bow->dev.io, pic->buf);

	if (r)
		DMERR("%s: cannot finish the interrupted commit: %d", bow_name(bow), r);
	else
		DMINFO("%s: finished an interrupted commit", bow_name(bow));
	return r;
}

static int refuse_log(struct bow *bow, const struct cow_complaint *complaint)
{
	bool unread = complaint->error == COW_LOG_IO ||
		      complaint->error == COW_LOG_NO_MEMORY;

	DMERR("%s: log %s: %s (page at sector %llu, record %d)", bow_name(bow),
	      unread ? "cannot be read" : "is damaged",
	      cow_log_strerror(complaint->error),
	      (unsigned long long)complaint->page_sector, complaint->record);
	if (unread)
		return complaint->error == COW_LOG_IO ? -EIO : -ENOMEM;
	return -EUCLEAN;
}

static int refuse_read_only(struct bow *bow)
{
	DMERR("%s: log %s", bow_name(bow), cow_log_strerror(COW_LOG_READ_ONLY));
	return -EROFS;
}

static int start(struct cow_dev *dev, void *arg)
{
	struct bow *bow = dev_to_bow(dev);
	const bool *resume = arg;
	enum cow_log_error error;
	struct cow_picture *pic;
	int r;

	pic = cow_zalloc(sizeof(*pic));
	if (!pic)
		return -ENOMEM;
	r = cow_picture_init(pic, &dev->io);
	if (r)
		goto out;
	error = cow_picture_read(pic, COW_CHECK_TAIL);
	if (error == COW_LOG_NO_MAGIC) {
		r = 0;
	} else if (!*resume) {
		DMERR("%s: the device carries a log: restore, commit or resume it",
		      bow_name(bow));
		r = -EBUSY;
	} else if (error) {
		r = refuse_log(bow, &pic->complaint);
	} else if (pic->log.read_only) {
		r = refuse_read_only(bow);
	} else if (pic->log.head.state == COW_LOG_COMMITTING) {
		r = finish_commit(bow, pic);
	} else {
		r = resume_log(bow, pic);
	}
	cow_picture_exit(pic);
out:
	cow_free(pic);
	return r;
}

int bow_start(struct bow *bow, bool resume)
{
	return cow_dev_call(&bow->dev, start, &resume, true);
}

static void bow_destroy(struct cow_dev *dev)
{
	struct bow *bow = dev_to_bow(dev);

	cow_dev_exit(dev);
	vfree(bow->discarded);
	kfree(bow);
}

const struct cow_dev_ops bow_dev_ops = {
	.release = bow_release,
	.hide_hold = bow_hide_hold,
	.hide_release = bow_hide_release,
	.give_up = bow_give_up,
	.event = bow_event,
	.destroy = bow_destroy,
};
