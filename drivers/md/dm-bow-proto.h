/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is bow's own in the protocol: entering a checkpoint, resuming one, and
 * taking free space back. Plain C, like the core. All of it runs while no I/O
 * is in flight on the device; all of it may sleep.
 */
#ifndef DM_BOW_PROTO_H
#define DM_BOW_PROTO_H

#include "dm-cow.h"
#include "dm-cow-picture.h"

/*
 * Enter a checkpoint: the FREE blocks of the map are what may be used for
 * backups. -ENOSPC if they are too few; *@needed is then how many it takes.
 * After any other error the device is as before, unless cow->failed is set:
 * then the log may be there or not, and both are true as long as nothing that
 * it protects is written to.
 */
int bow_enter(struct cow *cow, const u8 uuid[16], u64 time, u64 *needed);

/*
 * Go on with the checkpoint that @pic (read with COW_CHECK_TAIL or deeper)
 * found: takes its log over. -EBUSY if it is being committed or restored,
 * -EROFS if a feature unknown here forbids writing to it, -EIO if a backup
 * cannot be read of which nobody knows whether somebody relied on it.
 */
int bow_resume(struct cow *cow, struct cow_picture *pic);

/*
 * Turn LOOSE blocks that the filesystem has discarded since into FREE ones.
 * @discarded has a bit for each block; all are cleared.
 */
void bow_reclaim(struct cow *cow, unsigned long *discarded);

/*
 * After a commit: what was free or ours is FREE again, all else PROTECTED. For
 * a next checkpoint of the same device.
 */
void bow_settle(struct cow *cow);

#endif
