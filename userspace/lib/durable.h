/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files that are there after a power cut, or are what they were before. Whatever
 * returns an int returns 0 or an exit status, with the reason told.
 */
#ifndef BOW_DURABLE_H
#define BOW_DURABLE_H

#include <sys/types.h>

#include "util.h"

#define DURABLE_APPEND ((off_t)-1)	/* where the descriptor stands: pipes too */

/* All of it; not durable yet. */
int durable_write(int fd, const char *path, const void *data, size_t len, off_t at);

int durable_sync(int fd, const char *path);

/* The directory with the file @path: a descriptor, or -1 with errno. */
int open_parent(const char *path);

/* What is in the directory of @path. */
int durable_sync_parent(const char *path);

/* In place of what is there, at once and for good. */
int durable_rename(const char *from, const char *to);

/* The same with a file that holds @obj, which is freed. */
int durable_write_json(const char *path, struct json_object *obj);

/* An object of version 1, NULL if it is none, with the reason told. */
struct json_object *durable_read_json(const char *path);

/* Its members; false if it has none of that kind, or one that is too long. */
bool json_get_string(struct json_object *obj, const char *key, char *text, size_t size);
bool json_get_number(struct json_object *obj, const char *key, u64 *number);

/* Testing: exit after so many writes, renames and so on; 0: never. */
extern u64 durable_stop_after;

/* Counts one of them. */
void durable_step(void);

#endif
