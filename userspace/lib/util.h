/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages, numbers and JSON.
 */
#ifndef BOW_UTIL_H
#define BOW_UTIL_H

#include <json-c/json.h>
#include <stdio.h>

#include "dm-cow-env.h"

#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))

extern const char *program_name;

/* All go to stderr, with the name of the program in front. */
void error_msg(const char *fmt, ...) printf_like(1, 2);
void warn_msg(const char *fmt, ...) printf_like(1, 2);

/* From here on they go to the kernel's log as well: there may be nothing else. */
void messages_to_kmsg(void);

/* error_msg(), then @status: for "return fail(...)". */
int fail(int status, const char *fmt, ...) printf_like(2, 3);

/* "4096", "64K", "1M": bytes, powers of 1024. 0 or -EINVAL. */
int parse_size(const char *text, u64 *bytes);

/* A whole decimal number. 0 or -EINVAL. */
int parse_number(const char *text, u64 *number);

#define SIZE_TEXT 16

/* "1.5 GiB" into @text, which is returned. */
const char *format_size(char text[SIZE_TEXT], u64 bytes);

#define TIME_TEXT 32

/* Local time in ISO 8601 into @text, which is returned. */
const char *format_time(char text[TIME_TEXT], u64 seconds);

#define UUID_TEXT 37

const char *format_uuid(char text[UUID_TEXT], const u8 uuid[16]);

/* A new object that carries the version of the output. */
struct json_object *json_report(void);

void json_add_string(struct json_object *obj, const char *key, const char *text);
void json_add_number(struct json_object *obj, const char *key, u64 number);
void json_add_bool(struct json_object *obj, const char *key, bool yes);

/* Print and free. */
void json_print(struct json_object *obj);

/* The first line of a small file; false if there is none. */
bool read_first_line(const char *path, char *text, int size);

/* For tests. One more of @what is done: if that is the one to @stop_after, exit. */
void count_step(u64 *done, u64 stop_after, const char *what);

/* Milliseconds of a clock that never steps. */
double now_ms(void);

#endif
