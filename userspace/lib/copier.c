// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Each slot holds one copy: a read and, when that has ended, a write of the same
 * buffer; or only a write. Not linked: a chain may be cut in two when it is submitted.
 */
#include <errno.h>
#include <liburing.h>

#include "copier.h"

#define SLOTS 64U
#define SLOT_SECTORS 512U

struct slot {
	int from_fd, to_fd;
	u64 from, to;
	u32 bytes;
	u8 *data;
	bool busy;
};

struct copier {
	struct io_uring ring;
	u8 *buffers;
	struct slot slots[SLOTS];
	unsigned int in_flight;
	struct copier_error error;
	bool broken;		/* nobody knows what is in flight: no more */
};

struct copier *copier_new(void)
{
	struct copier *copier = calloc(1, sizeof(*copier));

	if (!copier)
		return NULL;
	copier->buffers = aligned_alloc(DIRECT_ALIGN, (size_t)SLOTS * SLOT_SECTORS << 9);
	if (copier->buffers && !io_uring_queue_init(SLOTS, &copier->ring, 0))
		return copier;
	free(copier->buffers);
	free(copier);
	return NULL;
}

void copier_free(struct copier *copier)
{
	if (!copier)
		return;
	copier_wait(copier);
	io_uring_queue_exit(&copier->ring);
	if (!copier->broken)	/* or they may still be read into */
		free(copier->buffers);
	free(copier);
}

static void note_error(struct copier *copier, const struct slot *slot, bool write, int err)
{
	if (copier->error.err)
		return;
	copier->error = (struct copier_error) {
		.err = err,
		.fd = write ? slot->to_fd : slot->from_fd,
		.sector = write ? slot->to : slot->from,
		.write = write,
	};
}

/* The queue has room for one of each slot, so there is always an entry. */
static void queue(struct copier *copier, const struct slot *slot, bool write)
{
	u64 index = (u64)(slot - copier->slots);
	struct io_uring_sqe *sqe = io_uring_get_sqe(&copier->ring);

	if (write)
		io_uring_prep_write(sqe, slot->to_fd, slot->data, slot->bytes, slot->to << 9);
	else
		io_uring_prep_read(sqe, slot->from_fd, slot->data, slot->bytes, slot->from << 9);
	io_uring_sqe_set_data64(sqe, index << 1 | write);
}

static void part_ended(struct copier *copier, const struct io_uring_cqe *cqe)
{
	u64 data = io_uring_cqe_get_data64(cqe);
	struct slot *slot = &copier->slots[data >> 1];
	bool write = data & 1;
	bool good = cqe->res >= 0 && (u32)cqe->res == slot->bytes;

	if (!good)
		note_error(copier, slot, write, cqe->res < 0 ? cqe->res : -EIO);
	if (good && !write) {
		queue(copier, slot, true);
		return;
	}
	slot->busy = false;
	copier->in_flight--;
}

/* Until something has ended. */
static int reap(struct copier *copier)
{
	struct io_uring_cqe *cqe;
	int r;

	do
		r = io_uring_submit_and_wait(&copier->ring, 1);
	while (r == -EINTR);
	if (r < 0)
		return r;
	while (!io_uring_peek_cqe(&copier->ring, &cqe)) {
		part_ended(copier, cqe);
		io_uring_cqe_seen(&copier->ring, cqe);
	}
	return 0;
}

static void reap_or_fail(struct copier *copier)
{
	int r = reap(copier);

	if (!r)
		return;
	note_error(copier, &copier->slots[0], false, r);
	copier->in_flight = 0;
	copier->broken = true;
}

static struct slot *free_slot(struct copier *copier)
{
	unsigned int i;

	while (copier->in_flight == SLOTS)
		reap_or_fail(copier);
	if (copier->broken)
		return NULL;
	for (i = 0; copier->slots[i].busy; i++)
		;
	return &copier->slots[i];
}

static u8 *buffer_of(struct copier *copier, const struct slot *slot)
{
	return copier->buffers + ((size_t)(slot - copier->slots) * SLOT_SECTORS << 9);
}

/* @what: of everything, or of what is left of it. */
static bool begin(struct copier *copier, const struct slot *what, u32 sectors)
{
	struct slot *slot = free_slot(copier);

	if (!slot)
		return false;
	*slot = *what;
	slot->bytes = sectors << 9;
	slot->busy = true;
	copier->in_flight++;
	if (!what->data)
		slot->data = buffer_of(copier, slot);
	queue(copier, slot, what->data);
	return true;
}

static int begin_all(struct copier *copier, struct slot *what, u32 sectors)
{
	u32 part;

	for (; sectors && !copier->error.err; sectors -= part) {
		part = min(sectors, SLOT_SECTORS);
		if (!begin(copier, what, part))
			break;
		what->from += part;
		what->to += part;
		if (what->data)
			what->data += (size_t)part << 9;
	}
	return copier->error.err;
}

int copier_copy(struct copier *copier, int from_fd, u64 from, int to_fd, u64 to,
		u32 sectors)
{
	struct slot what = { .from_fd = from_fd, .from = from, .to_fd = to_fd, .to = to };

	return begin_all(copier, &what, sectors);
}

int copier_write(struct copier *copier, void *data, int to_fd, u64 to, u32 sectors)
{
	struct slot what = { .from_fd = to_fd, .to_fd = to_fd, .to = to, .data = data };

	return begin_all(copier, &what, sectors);
}

struct copier_error copier_wait(struct copier *copier)
{
	struct copier_error error;

	while (copier->in_flight)
		reap_or_fail(copier);
	error = copier->error;
	if (!copier->broken)
		copier->error.err = 0;
	return error;
}
