/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Userland's side of drivers/md/dm-cow-env.h: the few kernel names that the
 * plain part of the core uses, on top of libc and compiler builtins.
 */
#ifndef DM_COW_USER_H
#define DM_COW_USER_H

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <linux/types.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define cpu_to_le16(x) htole16(x)
#define cpu_to_le32(x) htole32(x)
#define cpu_to_le64(x) htole64(x)
#define le16_to_cpu(x) le16toh(x)
#define le32_to_cpu(x) le32toh(x)
#define le64_to_cpu(x) le64toh(x)

#define fallthrough __attribute__((fallthrough))
#define __always_unused __attribute__((unused))
#define BITS_PER_LONG ((unsigned int)(sizeof(long) * CHAR_BIT))
#define BITS_TO_LONGS(n) DIV_ROUND_UP((n), BITS_PER_LONG)
#define EXPORT_SYMBOL_GPL(sym) extern int cow_unused_##sym
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define DIV_ROUND_UP(n, d) (((n) + (d) - 1) / (d))
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#define min_t(type, a, b) min((type)(a), (type)(b))
#define max_t(type, a, b) max((type)(a), (type)(b))

#define READ_ONCE(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELAXED)
#define smp_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define smp_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define smp_mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define smp_rmb() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define smp_wmb() __atomic_thread_fence(__ATOMIC_RELEASE)
#define cond_resched() do { } while (0)

#define try_cmpxchg(p, old, new) \
	__atomic_compare_exchange_n((p), (old), (new), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)

typedef struct { int counter; } atomic_t;
typedef struct { int64_t counter; } atomic64_t;

static inline int atomic_read(const atomic_t *v)
{
	return __atomic_load_n(&v->counter, __ATOMIC_RELAXED);
}

static inline void atomic_add(int n, atomic_t *v)
{
	__atomic_fetch_add(&v->counter, n, __ATOMIC_RELAXED);
}

static inline void atomic_inc(atomic_t *v)
{
	atomic_add(1, v);
}

static inline bool atomic_dec_and_test(atomic_t *v)
{
	return __atomic_sub_fetch(&v->counter, 1, __ATOMIC_SEQ_CST) == 0;
}

static inline int64_t atomic64_read(const atomic64_t *v)
{
	return __atomic_load_n(&v->counter, __ATOMIC_RELAXED);
}

static inline void atomic64_add(int64_t n, atomic64_t *v)
{
	__atomic_fetch_add(&v->counter, n, __ATOMIC_RELAXED);
}

static inline bool test_bit(u64 nr, const unsigned long *bits)
{
	return READ_ONCE(bits[nr / BITS_PER_LONG]) >> (nr % BITS_PER_LONG) & 1;
}

static inline void set_bit(u64 nr, unsigned long *bits)
{
	__atomic_fetch_or(&bits[nr / BITS_PER_LONG], 1UL << (nr % BITS_PER_LONG),
			  __ATOMIC_SEQ_CST);
}

static inline unsigned int hweight_long(unsigned long w)
{
	return (unsigned int)__builtin_popcountl(w);
}

static inline unsigned long __ffs(unsigned long w)
{
	return (unsigned long)__builtin_ctzl(w);
}

static inline unsigned long __fls(unsigned long w)
{
	return BITS_PER_LONG - 1UL - (unsigned long)__builtin_clzl(w);
}

static inline unsigned int ilog2(u64 n)
{
	return 63U - (unsigned int)__builtin_clzll(n);
}

static inline bool is_power_of_2(u64 n)
{
	return n && !(n & (n - 1));
}

static inline void *cow_zalloc(size_t size)
{
	return calloc(1, size);
}

static inline void cow_free(void *p)
{
	free(p);
}

static inline void *cow_alloc_nowait(size_t size)
{
	return calloc(1, size);
}

static inline void *cow_alloc_noretry(size_t size)
{
	return calloc(1, size);
}

/* Fuzzing wants the same each time. */
#ifndef COW_RANDOM
static inline u32 cow_random_u32(void)
{
	u32 x = 1;

	/* No entropy yet: then any number will do. */
	if (getrandom(&x, sizeof(x), GRND_NONBLOCK) != sizeof(x))
		x = (u32)(uintptr_t)&x;
	return x;
}
#else
static inline u32 cow_random_u32(void)
{
	return COW_RANDOM;
}
#endif

static inline void cow_random_bytes(void *bytes, size_t nr)
{
	u8 *p = bytes;

	while (nr--)
		*p++ = (u8)cow_random_u32();
}

static inline void *vzalloc(size_t size)
{
	return calloc(1, size);
}

static inline void vfree(const void *p)
{
	free((void *)p);
}

/* A circular list with the kernel's names; every head is a node too. */
struct list_head {
	struct list_head *next, *prev;
};

static inline void INIT_LIST_HEAD(struct list_head *head)
{
	head->next = head->prev = head;
}

static inline bool list_empty(const struct list_head *head)
{
	return head->next == head;
}

static inline void cow_list_insert(struct list_head *node,
				   struct list_head *before,
				   struct list_head *after)
{
	node->prev = before;
	node->next = after;
	before->next = node;
	after->prev = node;
}

static inline void list_add(struct list_head *node, struct list_head *head)
{
	cow_list_insert(node, head, head->next);
}

static inline void list_add_tail(struct list_head *node, struct list_head *head)
{
	cow_list_insert(node, head->prev, head);
}

static inline void list_del(struct list_head *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->next = node->prev = NULL;
}

static inline void list_del_init(struct list_head *node)
{
	list_del(node);
	INIT_LIST_HEAD(node);
}

static inline void list_splice_tail_init(struct list_head *from,
					 struct list_head *to)
{
	while (!list_empty(from)) {
		struct list_head *node = from->next;

		list_del(node);
		list_add_tail(node, to);
	}
}

static inline void list_splice_init(struct list_head *from,
				    struct list_head *to)
{
	if (list_empty(from))
		return;
	from->next->prev = to;
	from->prev->next = to->next;
	to->next->prev = from->prev;
	to->next = from->next;
	INIT_LIST_HEAD(from);
}

#define LIST_HEAD(name) struct list_head name = { &(name), &(name) }
#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_first_entry(head, type, member) \
	list_entry((head)->next, type, member)
#define list_last_entry(head, type, member) \
	list_entry((head)->prev, type, member)
#define list_for_each_entry(pos, head, member) \
	for (pos = list_entry((head)->next, __typeof__(*pos), member); \
	     &pos->member != (head); \
	     pos = list_entry(pos->member.next, __typeof__(*pos), member))
#define list_for_each_entry_from(pos, head, member) \
	for (; &(pos)->member != (head); \
	     pos = list_entry((pos)->member.next, __typeof__(*(pos)), member))
#define list_for_each_entry_safe(pos, tmp, head, member) \
	for (pos = list_entry((head)->next, __typeof__(*pos), member), \
	     tmp = list_entry(pos->member.next, __typeof__(*pos), member); \
	     &pos->member != (head); \
	     pos = tmp, tmp = list_entry(tmp->member.next, __typeof__(*tmp), member))

u32 crc32c(u32 crc, const void *data, size_t len);

#endif
