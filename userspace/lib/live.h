/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A live bow device. Whatever returns an int returns 0 or an exit status, with the
 * reason told.
 */
#ifndef BOW_LIVE_H
#define BOW_LIVE_H

#include "dm.h"

/* Can a checkpoint be taken in this state? */
int live_may_checkpoint(const struct bow_status *st);

/* Say what will not be as good as it sounds, and write out what can be. */
void live_prepare(const struct bow_status *st, bool dry_run);

/* The kernel has refused a checkpoint with that errno. */
int live_explain(const struct bow_status *st, int err);

/* Give the checkpoint up; it is durable then. */
int live_commit(const struct bow_status *st);

#endif
