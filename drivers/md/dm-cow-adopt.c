// SPDX-License-Identifier: GPL-2.0-only
/*
 * A log that was read becomes that of the core, which is going to write to it.
 */
#include "dm-cow.h"
#include "dm-cow-picture.h"

static void take_log(struct cow *cow, struct cow_picture *pic)
{
	struct cow_log log = cow->log;

	cow->log = pic->log;
	pic->log = log;
}

static void queue_voids(struct cow *cow, const struct cow_picture *pic)
{
	u32 i;

	for (i = 0; i < pic->nr_voids; i++)
		cow->voids[i] = cow_void_of(&pic->voids[i]);
	cow->nr_voids = pic->nr_voids;
	cow->stats.voids = pic->nr_voids;
}

void cow_adopt_log(struct cow *cow, struct cow_picture *pic)
{
	take_log(cow, pic);
	queue_voids(cow, pic);
}
EXPORT_SYMBOL_GPL(cow_adopt_log);

u32 cow_tail_room(const struct cow *cow)
{
	return COW_PAGE_RECORDS - cow->log.head.record_count;
}
EXPORT_SYMBOL_GPL(cow_tail_room);

void cow_add_voids(struct cow *cow)
{
	u32 i;

	for (i = 0; i < cow->nr_voids; i++)
		cow_log_add(&cow->log, &cow->voids[i]);
	cow->nr_voids = 0;
}
EXPORT_SYMBOL_GPL(cow_add_voids);
