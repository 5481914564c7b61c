/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the plain part of the core needs from its surroundings.
 *
 * The state map, the allocator, the log, the gate and the commit are plain C:
 * the same files run in the kernel, in the offline tool and in the tests. They
 * include this header and nothing else from outside.
 */
#ifndef DM_COW_ENV_H
#define DM_COW_ENV_H

#ifdef __KERNEL__

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/crc32c.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/kernel.h>
#include <linux/limits.h>
#include <linux/list.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/vmalloc.h>

/* May sleep; callers run with memalloc_noio_save() where that matters. */
static inline void *cow_zalloc(size_t size)
{
	return kvzalloc(size, GFP_KERNEL);
}

static inline void cow_free(void *p)
{
	kvfree(p);
}

/* Small ones, where nothing may wait: zeroed, or NULL. */
static inline void *cow_alloc_nowait(size_t size)
{
	return kzalloc(size, GFP_NOWAIT | __GFP_NOWARN);
}

/* As much of an effort as needs no I/O. */
static inline void *cow_alloc_noretry(size_t size)
{
	return kzalloc(size, GFP_NOIO | __GFP_NORETRY | __GFP_NOWARN);
}

/* Anything that the author of a log cannot know. */
static inline void cow_random_bytes(void *bytes, size_t nr)
{
	get_random_bytes(bytes, nr);
}

static inline u32 cow_random_u32(void)
{
	return get_random_u32();
}

#else
#include "dm-cow-user.h"
#endif

#include <linux/dm-cow-format.h>

/* The crc32c of the format: seeded with ones, inverted at the end. */
static inline u32 cow_crc(const void *data, size_t len)
{
	return ~crc32c(~0U, data, len);
}

#endif
