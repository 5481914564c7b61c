/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libdevmapper as all programs here need it. Whatever returns an int returns 0
 * or an exit status, with the reason told, unless it says otherwise.
 */
#ifndef BOW_DM_TASK_H
#define BOW_DM_TASK_H

#include "dm-cow-env.h"

struct dm_task;

#define BOW_DM_NAME 128

/* Is there a device-mapper at all? First of all calls. */
int bow_dm_open(void);

/* Does the kernel have this target? Loads its module, dm-<module>. */
int bow_dm_need_target(const char *target, const char *module);

/* Is there a dm device of that name or node at all? Tells nothing. */
bool bow_dm_exists(const char *name);

/* The names of all dm devices; stops at the first result but 0. */
int bow_dm_each_name(int (*fn)(const char *name, void *data), void *data);

int bow_dm_remove(const char *name);

/*
 * A message to a live device. Returns 0 or -errno and tells nothing: only the
 * caller knows what the errors mean.
 */
int bow_dm_message(const char *name, const char *message);

/* ---- single tasks: 0 or -errno, nothing told ------------------------------ */

/* Runs and keeps the task for its results; NULL and @err if it failed. */
struct dm_task *bow_dm_run(int type, const char *name, int *err);

/* A task that makes or removes nodes: run it, wait until udev has done that. */
int bow_dm_run_and_wait(struct dm_task *dmt, unsigned int udev_flags);

/* ---- what libdevmapper says: kept until one of these ---------------------- */

void bow_dm_keep_log(void);
void bow_dm_print_log(void);
void bow_dm_forget_log(void);

#endif
