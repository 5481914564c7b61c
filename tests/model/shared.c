// SPDX-License-Identifier: GPL-2.0-only
/*
 * What both explorers do in the same way.
 */
#include <stdarg.h>

#include "model.h"

bool tracing;

void *model_alloc(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		abort();
	return p;
}

void trace(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
}

enum cow_log_error read_log(struct cow_io *io, struct cow_picture *pic,
			    enum cow_picture_depth depth)
{
	if (cow_picture_init(pic, io))
		fail("out of memory");
	return cow_picture_read(pic, depth);
}

void log_refused(const struct cow_picture *pic, const char *when)
{
	const struct cow_complaint *complaint = &pic->complaint;

	fail("%s: the log is refused: %s (page %llu at sector %llu, record %d, source %llu)",
	     when, cow_log_strerror(complaint->error),
	     (unsigned long long)complaint->sequence,
	     (unsigned long long)complaint->page_sector, complaint->record,
	     (unsigned long long)(complaint->source % COW_ORIGIN_BASE));
}
