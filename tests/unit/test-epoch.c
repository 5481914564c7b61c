// SPDX-License-Identifier: GPL-2.0-only
/*
 * Snapshots on a simulated origin and store: random writes, reads and writes of
 * images, takes, removals, errors, with completions in any order, and a file on
 * the origin that is written to past it. Whatever happens, an image shows the origin
 * as it was, or an error.
 */
#include "unit.h"
#include "dm-blksnap-epoch.h"

void fail_allocations(bool all);	/* logdisk.c */

#define NR 96			/* blocks of the origin */
#define MAX_IMAGES 5
#define MAX_EVENTS 64
#define BLOCK_SECTORS 8
#define FILE_START 40		/* blocks of the file, when there is one */
#define FILE_END 53

struct snap_store {
	u32 data[4096];
	u64 used, size;
};

enum kind {
	COPY_READ, COPY_WRITE, USER_WRITE, IMAGE_READ, IMAGE_WRITE, IMAGE_COPY, MEMORY,
};

/* An I/O on its way; what it does happens when it ends. */
struct event {
	enum kind kind;
	struct cow_op *op;
	struct user_write *write;
	struct image_io *io;
	struct snap_place place;
};

struct user_write {
	struct cow_waiter waiter;
	u32 value;
	bool is_touch;
};

struct image {
	struct snap_epoch epoch;
	struct snap_store *store;
	u32 want[NR];			/* what it must show */
	unsigned int busy;		/* requests not ended */
	/* Either reads or writes of a block, so that its contents are known. */
	unsigned int reading[NR], writing[NR];
};

struct image_io {
	struct snap_request request;
	struct image *image;
	u32 value;
};

static struct sim {
	struct cow cow;
	struct snap snap;
	u32 origin[NR];
	struct image *images[MAX_IMAGES];
	struct event events[MAX_EVENTS];
	unsigned int nr_events, user_writes, ops;
	u32 next_value;
	bool errors;
	bool pinned;			/* the file is there */
	bool scarce;			/* memory is */
	bool waiting;			/* for it */
	/* what must have happened for this to be worth something */
	unsigned long reads, reads_store, writes, privates, takes, removes, lost, drains,
		      pins, past, blanks, waits;
} sim;

static u32 data_of_op[NR][NR];		/* by source block: what was read */

static u32 pick(u32 n)
{
	return rnd(&rng, n);
}

static void later(struct event event)
{
	assert_true(sim.nr_events < MAX_EVENTS);
	sim.events[sim.nr_events++] = event;
}

/* ---- surroundings of the core ------------------------------------------- */

/* Sometimes there is some; who is given none is called again. */
static bool copy_begins(void)
{
	bool begins;

	fail_allocations(sim.scarce && pick(4));
	begins = snap_copy_begins(&sim.snap);
	fail_allocations(false);
	if (!begins && !sim.waiting) {
		later((struct event) { .kind = MEMORY });
		sim.waiting = true;
		sim.waits++;
	}
	return begins;
}

static struct cow_op *op_alloc(struct cow *cow, u32 nr)
{
	(void)cow;
	(void)nr;
	if (sim.ops == 8 || !copy_begins())
		return NULL;
	sim.ops++;
	return calloc(1, sizeof(struct cow_op));
}

static void op_free(struct cow_op *op)
{
	snap_copy_ends(&sim.snap);
	sim.ops--;
	free(op);
}

static void op_start(struct cow_op *op)
{
	later((struct event) { .kind = COPY_READ, .op = op });
}

static void release(struct cow *cow, struct cow_waiter *waiter, int error)
{
	(void)cow;
	assert_int_equal(error, 0);	/* an origin never hears of a snapshot */
	later((struct event) { .kind = USER_WRITE,
		.write = container_of(waiter, struct user_write, waiter) });
}

static void event(struct cow *cow, enum cow_event what)
{
	(void)cow;
	(void)what;
}

static u64 take(struct cow *cow, u64 want, u64 *dest)
{
	(void)cow;
	return snap_take(&sim.snap, want, dest);
}

static int keep(struct cow *cow, const struct cow_op *op)
{
	int r;

	(void)cow;
	fail_allocations(sim.scarce);
	r = snap_keep(&sim.snap, op);
	fail_allocations(false);
	return r;
}

static void abandon(struct cow *cow, int error)
{
	assert_false(cow->passing);	/* each time there is an event, and a warning */
	snap_abandon(&sim.snap, error == -ENOSPC ? SNAP_OVERFLOW : SNAP_FAILED);
}

static bool linger(struct cow *cow, u32 ready, u32 reading)
{
	(void)cow;
	(void)ready;
	return reading && pick(2);
}

static const struct cow_env_ops env = {
	.op_alloc = op_alloc, .op_free = op_free, .op_start = op_start,
	.release = release, .event = event, .take = take, .keep = keep,
	.abandon = abandon, .linger = linger,
};

/* ---- surroundings of the epochs ----------------------------------------- */

static u64 store_take(struct snap *snap, struct snap_store *store, u64 want, u64 *dest)
{
	u64 nr = min(want, store->size - store->used);

	(void)snap;
	/* Often less than was asked for. */
	if (nr > 1)
		nr = 1 + pick(nr);
	*dest = store->used;
	store->used += nr;
	return nr;
}

static u64 store_left(struct snap *snap, struct snap_store *store)
{
	(void)snap;
	return store->size - store->used;
}

static struct image_io *to_io(struct snap_request *request)
{
	return container_of(request, struct image_io, request);
}

static void io_done(struct image_io *io)
{
	io->image->busy--;
	if (io->request.is_write)
		io->image->writing[io->request.block]--;
	else
		io->image->reading[io->request.block]--;
	free(io);
}

static void send(struct snap *snap, struct snap_request *request,
		 const struct snap_place *place)
{
	(void)snap;
	later((struct event) { .kind = request->is_write ? IMAGE_WRITE : IMAGE_READ,
		.io = to_io(request), .place = *place });
}

static void fail_request(struct snap *snap, struct snap_request *request, int error)
{
	(void)snap;
	assert_true(error == -EIO || error == -ENOSPC || error == -ENOMEM);
	if (error == -EIO && !sim.errors)
		assert_int_not_equal(request->epoch->state, SNAP_ACTIVE);
	io_done(to_io(request));
}

static void copy(struct snap *snap, struct snap_request *request,
		 const struct snap_place *from)
{
	(void)snap;
	later((struct event) { .kind = IMAGE_COPY, .io = to_io(request), .place = *from });
}

static void changed(struct snap *snap, struct snap_epoch *epoch)
{
	(void)snap;
	(void)epoch;
	sim.lost++;
}

static const struct snap_ops ops = {
	.take = store_take, .left = store_left, .send = send, .fail = fail_request, .copy = copy, .changed = changed,
};

/* ---- I/O ends ----------------------------------------------------------- */

static u32 *place_data(const struct snap_place *place)
{
	return place->store ? &place->store->data[place->block] : &sim.origin[place->block];
}

static bool io_error(void)
{
	return sim.errors && !pick(40);
}

static void copy_read(struct cow_op *op)
{
	int error = io_error() ? -EIO : 0;

	memcpy(data_of_op[op->source], &sim.origin[op->source], op->nr * sizeof(u32));
	cow_op_read_done(op, 0, error);
	if (!error)
		later((struct event) { .kind = COPY_WRITE, .op = op });
}

/* The store of the newest epoch: nothing is taken while a copy is in flight. */
static void copy_write(struct cow_op *op)
{
	struct snap_epoch *newest = list_last_entry(&sim.snap.epochs, struct snap_epoch, node);
	int error = io_error() ? -EIO : 0;

	memcpy(&newest->store->data[op->dest], data_of_op[op->source], op->nr * sizeof(u32));
	cow_op_write_done(op, error);
}

static void user_write(struct user_write *write)
{
	u64 block;

	for (block = write->waiter.first; block <= write->waiter.last && !write->is_touch; block++)
		sim.origin[block] = write->value;
	sim.pinned |= write->is_touch;
	sim.user_writes--;
	free(write);
}

/* Zero, if an image is to see nothing of that block. */
static u32 blanked(const struct snap_request *request, u32 value)
{
	u64 start, sector = request->block * BLOCK_SECTORS;
	u64 nr = snap_epoch_blanks(request->epoch, sector, BLOCK_SECTORS, &start);

	assert_true(!nr || (nr == BLOCK_SECTORS && start == sector));
	sim.blanks += !!nr;
	return nr ? 0 : value;
}

static u32 value_read(const struct event *e)
{
	u32 value = *place_data(&e->place);

	return e->io->request.blank ? blanked(&e->io->request, value) : value;
}

static void image_read(const struct event *e)
{
	struct image_io *io = e->io;

	if (e->place.store)
		sim.reads_store++;
	if (io->request.epoch->state == SNAP_ACTIVE) {
		assert_int_equal(value_read(e), io->image->want[io->request.block]);
		sim.reads++;
	}
	snap_read_ends(&sim.snap, &io->request);
	io_done(io);
}

static void image_write(const struct event *e)
{
	struct image_io *io = e->io;

	assert_non_null(e->place.store);
	*place_data(&e->place) = io->value;
	io->image->want[io->request.block] = io->value;
	io_done(io);
}

static void image_copy(const struct event *e)
{
	struct image_io *io = e->io;

	u32 value = blanked(&io->request, *place_data(&e->place));

	if (io->request.epoch->state == SNAP_ACTIVE)
		assert_int_equal(value, io->image->want[io->request.block]);
	io->image->store->data[io->request.dest] = value;
	sim.privates++;
	fail_allocations(sim.scarce && pick(2));
	snap_copied(&sim.snap, &io->request, io_error() ? -EIO : 0);
	fail_allocations(false);
}

static void end_one(unsigned int i)
{
	struct event e = sim.events[i];

	sim.events[i] = sim.events[--sim.nr_events];
	switch (e.kind) {
	case COPY_READ:
		copy_read(e.op);
		break;
	case COPY_WRITE:
		copy_write(e.op);
		break;
	case USER_WRITE:
		user_write(e.write);
		break;
	case IMAGE_READ:
		image_read(&e);
		break;
	case IMAGE_WRITE:
		image_write(&e);
		break;
	case IMAGE_COPY:
		image_copy(&e);
		break;
	case MEMORY:
		sim.waiting = false;
		break;
	}
	sim.drains += sim.cow.inflight && sim.cow.inflight->stage == COW_DRAINING;
	cow_turn(&sim.cow);
}

static void settle(void)
{
	while (sim.nr_events)
		end_one(pick(sim.nr_events));
	assert_true(cow_is_idle(&sim.cow));
}

/* ---- what users do ------------------------------------------------------ */

static void begin_write(u64 first, u64 last, bool is_touch)
{
	struct user_write *write = calloc(1, sizeof(*write));

	write->waiter.first = first;
	write->waiter.last = last;
	write->value = sim.next_value++;
	write->is_touch = is_touch;
	sim.user_writes++;
	sim.writes++;
	if (sim.cow.passing ||
	    cow_map_passes(&sim.cow.map, first, write->waiter.last - first + 1)) {
		later((struct event) { .kind = USER_WRITE, .write = write });
		return;
	}
	cow_write_arrived(&sim.cow, &write->waiter);
	cow_turn(&sim.cow);
}

/* Nobody writes to a file that is pinned, or about to be. */
static void write_origin(void)
{
	u64 first = pick(NR), last = min(first + pick(6), (u64)NR - 1);

	if (!sim.pinned || last < FILE_START || first >= FILE_END)
		begin_write(first, last, false);
}

static u64 file_needs(void)
{
	return snap_count_needed(&sim.snap, FILE_START * BLOCK_SECTORS,
				 (FILE_END - FILE_START) * BLOCK_SECTORS);
}

/* The file's blocks become ours, once what snapshots have there is kept. */
static void pin_file(void)
{
	unsigned long lost;

	while (sim.user_writes)
		end_one(pick(sim.nr_events));
	if (file_needs() > snap_left(&sim.snap))
		return;
	lost = sim.lost;
	begin_write(FILE_START, FILE_END - 1, true);
	while (sim.user_writes)
		end_one(pick(sim.nr_events));
	assert_true(sim.pinned);
	assert_int_equal(file_needs(), 0);
	/* There was room, so nothing was given up for it. */
	assert_true(sim.errors || sim.lost == lost);
	sim.pins++;
}

static void use_file(void)
{
	if (!pick(10))
		sim.pinned = false;
	if (!sim.pinned)
		return;
	sim.origin[FILE_START + pick(FILE_END - FILE_START)] = sim.next_value++;
	sim.past++;
}

static void use_image(bool is_write)
{
	struct image *image = sim.images[pick(MAX_IMAGES)];
	struct image_io *io;
	/* Some see many writes, a few of them in the file. */
	u64 block = is_write ? FILE_START - 4 + pick(8) : pick(NR);

	if (!image || (is_write ? image->reading[block] : image->writing[block]))
		return;
	io = calloc(1, sizeof(*io));
	io->image = image;
	io->value = sim.next_value++;
	io->request = (struct snap_request) {
		.epoch = &image->epoch, .block = block, .is_write = is_write,
	};
	image->busy++;
	if (is_write)
		image->writing[block]++;
	else
		image->reading[block]++;
	snap_request_arrived(&sim.snap, &io->request);
	cow_turn(&sim.cow);
}

static void take_snapshot(u64 store_blocks)
{
	unsigned int i = pick(MAX_IMAGES);
	struct image *image;

	if (sim.images[i])
		return;
	/* A suspend: the writes end; what images read may go on. */
	while (sim.user_writes || !cow_is_idle(&sim.cow))
		end_one(pick(sim.nr_events));
	image = calloc(1, sizeof(*image));
	image->store = calloc(1, sizeof(*image->store));
	image->store->size = store_blocks;
	assert_int_equal(snap_epoch_init(&image->epoch, &sim.snap, image->store,
					 BLOCK_SECTORS), 0);
	memcpy(image->want, sim.origin, sizeof(image->want));
	if (sim.pinned) {
		assert_int_equal(snap_epoch_blank(&image->epoch, FILE_START * BLOCK_SECTORS,
						  (FILE_END - FILE_START) * BLOCK_SECTORS), 0);
		memset(&image->want[FILE_START], 0, (FILE_END - FILE_START) * sizeof(u32));
	}
	snap_arm(&sim.snap, &image->epoch);
	cow_map_exit(&image->epoch.map);
	memset(&image->epoch.map, 0, sizeof(image->epoch.map));
	if (sim.pinned)
		assert_int_equal(file_needs(), 0);
	sim.images[i] = image;
	sim.takes++;
}

static void free_image(struct image *image)
{
	snap_epoch_exit(&image->epoch);
	free(image->store);
	free(image);
}

static void remove_snapshot(unsigned int i)
{
	struct image *image = sim.images[i];
	struct snap_epoch *epoch, *tmp;
	LIST_HEAD(dead);

	if (!image)
		return;
	while (image->busy || !cow_is_idle(&sim.cow))
		end_one(pick(sim.nr_events));
	snap_remove(&sim.snap, &image->epoch, &dead);
	sim.images[i] = NULL;
	list_for_each_entry_safe(epoch, tmp, &dead, node)
		free_image(container_of(epoch, struct image, epoch));
	sim.removes++;
}

static void step(u64 store_blocks)
{
	u32 what = pick(100);

	/* Little is put by but what was promised. */
	if (sim.scarce)
		cow_range_pool_trim(&sim.snap.pool, sim.snap.pool.promised + pick(3));

	if (sim.nr_events > MAX_EVENTS / 2 || (what < 45 && sim.nr_events))
		end_one(pick(sim.nr_events));
	else if (what < 65)
		write_origin();
	else if (what < 70)
		use_file();
	else if (what < 85)
		use_image(false);
	else if (what < 96)
		use_image(true);
	else if (what < 98)
		take_snapshot(store_blocks);
	else if (what < 99 && !sim.pinned)
		pin_file();
	else
		remove_snapshot(pick(MAX_IMAGES));
}

static void run(u64 start, u64 store_blocks, bool errors)
{
	unsigned int i;

	rng.state = start;
	sim.errors = errors;
	sim.nr_events = sim.user_writes = sim.ops = 0;
	sim.pinned = false;
	sim.waiting = false;
	assert_int_equal(cow_init(&sim.cow, NR * BLOCK_SECTORS, 0, NULL, &env), 0);
	snap_init(&sim.snap, &sim.cow, &ops);
	for (i = 0; i < NR; i++)
		sim.origin[i] = sim.next_value++;
	for (i = 0; i < 4000; i++)
		step(store_blocks);
	for (i = 0; i < MAX_IMAGES; i++)
		remove_snapshot(i);
	settle();
	assert_true(sim.cow.passing);
	assert_int_equal(sim.ops, 0);
	assert_int_equal(sim.snap.pool.promised, 0);
	cow_exit(&sim.cow);
	snap_exit(&sim.snap);
}

static void images_stay_as_they_were(void **data)
{
	u64 i;

	(void)data;
	memset(&sim, 0, sizeof(sim));
	for (i = 1; i <= 60; i++)
		run(i, 4000, false);
	assert_true(sim.reads > 15000);
	assert_true(sim.reads_store > 2000);
	assert_true(sim.privates > 500);
	assert_true(sim.takes > 500);
	assert_true(sim.drains > 500);
	assert_true(sim.pins > 500);
	assert_true(sim.past > 3000);
	assert_true(sim.blanks > 1000);
	assert_int_equal(sim.lost, 0);
}

static void lost_images_say_so(void **data)
{
	u64 i;

	(void)data;
	memset(&sim, 0, sizeof(sim));
	for (i = 1; i <= 40; i++)
		run(i, 40, false);	/* stores too small */
	assert_true(sim.lost > 50);
	sim.lost = 0;
	for (i = 1; i <= 40; i++)
		run(i, 4000, true);
	assert_true(sim.lost > 50);
}

/* Copies wait for memory beforehand; what has been copied is kept without any. */
static void nothing_is_lost_for_memory(void **data)
{
	u64 i;

	(void)data;
	memset(&sim, 0, sizeof(sim));
	sim.scarce = true;
	for (i = 1; i <= 60; i++)
		run(i, 4000, false);
	assert_true(sim.waits > 1000);
	assert_true(sim.privates > 500);
	assert_int_equal(sim.lost, 0);
}

/* An epoch with a log belongs to the origin: it is the only one, and needs no image. */
static void persistent_goes_on_alone(void **data)
{
	struct cow_ranges moved;
	struct snap_epoch logged, other;
	struct snap_store store = { .size = 100 };
	LIST_HEAD(dead);
	u64 at;

	(void)data;
	assert_int_equal(cow_init(&sim.cow, NR * BLOCK_SECTORS, 0, NULL, &env), 0);
	snap_init(&sim.snap, &sim.cow, &ops);
	memset(&logged, 0, sizeof(logged));
	memset(&other, 0, sizeof(other));
	assert_int_equal(snap_epoch_init(&logged, &sim.snap, &store, BLOCK_SECTORS), 0);
	assert_int_equal(snap_epoch_init(&other, &sim.snap, &store, BLOCK_SECTORS), 0);
	logged.persistent = true;
	assert_int_equal(cow_ranges_init(&moved), 0);
	assert_int_equal(cow_ranges_add(&moved, 1000 + 7, 3, 50), 0);
	assert_int_equal(snap_epoch_fill(&logged, &moved, 1000), 0);
	cow_ranges_exit(&moved);
	assert_int_equal(logged.kept_blocks, 3);
	assert_true(cow_ranges_find(&logged.kept, 9, &at) && at == 52);
	assert_ptr_equal(logged.kept.pool, &sim.snap.pool);

	/* What cannot be begun leaves nothing behind, and may be tried again. */
	snap_arm(&sim.snap, &logged);
	assert_false(snap_may_arm(&sim.snap, &other));
	snap_disarm(&sim.snap, &logged);
	assert_true(sim.cow.passing && logged.state == SNAP_NEW && !logged.held);
	assert_int_equal(logged.map.nr_blocks, NR);
	assert_true(snap_may_arm(&sim.snap, &other));

	snap_arm(&sim.snap, &logged);
	snap_remove(&sim.snap, &logged, &dead);
	assert_true(list_empty(&dead) && !sim.cow.passing);
	assert_false(snap_may_arm(&sim.snap, &other));
	snap_abandon(&sim.snap, SNAP_FORGOTTEN);
	assert_int_equal(logged.state, SNAP_FORGOTTEN);
	assert_true(snap_may_arm(&sim.snap, &other));
	snap_sweep(&sim.snap, &dead);
	assert_ptr_equal(dead.next, &logged.node);
	list_del(&logged.node);

	/* The other way round. */
	snap_arm(&sim.snap, &other);
	assert_false(snap_may_arm(&sim.snap, &logged));
	snap_remove(&sim.snap, &other, &dead);
	assert_ptr_equal(dead.next, &other.node);
	snap_epoch_exit(&logged);
	snap_epoch_exit(&other);
	cow_exit(&sim.cow);
	snap_exit(&sim.snap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(images_stay_as_they_were),
		cmocka_unit_test(lost_images_say_so),
		cmocka_unit_test(nothing_is_lost_for_memory),
		cmocka_unit_test(persistent_goes_on_alone),
	};

	return cmocka_run_group_tests_name("epoch", tests, NULL, NULL);
}
