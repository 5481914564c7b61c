// SPDX-License-Identifier: GPL-2.0-only
/*
 * What must hold for any contents of a device, however hostile.
 */
#include <stdarg.h>
#include <unistd.h>

#include "judge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

struct disk given, restored, work;
struct cow_picture before;
struct cow cow;
struct input input;
static int err_fd;

void broken(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	dprintf(err_fd, "\nPROPERTY BROKEN: ");
	vdprintf(err_fd, fmt, args);
	dprintf(err_fd, "\n");
	va_end(args);
	abort();
}

/* Freed memory is kept back for a while, but not a hundred megabytes of it. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=8:malloc_context_size=4";
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	/* libFuzzer closes ours when it is told to be quiet. */
	err_fd = dup(STDERR_FILENO);
	disk_init(&given);
	disk_init(&restored);
	disk_init(&work);
	return 0;
}

/* ---- sets of blocks ------------------------------------------------------------ */

static bool in(const struct cow_ranges *set, u64 block)
{
	struct cow_range *range;

	cow_ranges_piece(set, block, 1, &range);
	return range;
}

bool is_original(u64 block)
{
	return in(&before.moved, block) && !in(&before.born, block);
}

static u64 to_block(u64 sector)
{
	return cow_sector_to_block(&before.geo, sector);
}

static bool same_block(const struct disk *a, const struct disk *b, u64 block)
{
	return disk_same(a, b, cow_block_to_sector(&before.geo, block),
			 cow_run_sectors(&before.geo, block, 1));
}

/* ---- reading --------------------------------------------------------------------- */

/* No more work than the size of the device and of one page justifies. */
static void check_effort(const struct cow_picture *pic, const struct disk *disk)
{
	u64 device = disk->sectors, blocks = pic->geo.nr_blocks;
	u64 tail = 2ULL * COW_PAGE_RECORDS * COW_MAX_RUN_SECTORS;

	must(disk->read_sectors <= 4 * device + 2 * tail + 64,
	     "%llu sectors read of %llu", (unsigned long long)disk->read_sectors,
	     (unsigned long long)device);
	if (!blocks)
		return;
	if (disk->lay->store)	/* there is nothing between the two */
		blocks = cow_blocks_of(&pic->geo, disk->lay->store) +
			 cow_blocks_of(&pic->geo, disk->lay->sectors);
	must(pic->moved.count <= blocks && pic->born.count <= blocks &&
	     pic->ours.count <= blocks && pic->free.count <= blocks &&
	     pic->cancelled.count <= blocks && pic->intact.count <= blocks, "more memory than blocks");
}

enum cow_log_error read_log(struct disk *disk, struct cow_picture *pic,
			    enum cow_picture_depth depth)
{
	enum cow_log_error error;

	disk->read_only = true;
	disk->reads = 0;
	disk->read_sectors = 0;
	must(!cow_picture_init(pic, &disk->io), "out of memory");
	error = cow_picture_read(pic, depth);
	must(error == pic->complaint.error, "complaint is another one");
	must(error != COW_LOG_IO && error != COW_LOG_NO_MEMORY, "what error?");
	check_effort(pic, disk);
	disk->read_only = false;
	return error;
}

enum cow_log_error verdict(struct disk *disk, enum cow_picture_depth depth)
{
	struct cow_picture pic;
	enum cow_log_error error = read_log(disk, &pic, depth);

	cow_picture_exit(&pic);
	return error;
}

/* What became block 0 again may look like a log by chance. */
static bool starts_like_restored(const struct disk *disk)
{
	return disk_same(disk, &restored, input_place(&input, 0), disk->io.atomic_sectors);
}

/* What is to be put back may begin like the log: then nothing tells them apart. */
bool ended(const struct disk *disk)
{
	return starts_like_restored(disk) && !starts_like_restored(&given);
}

/* ---- the tool ---------------------------------------------------------------------- */

static void check_commands(int want)
{
	static const struct { const char *command, *option; } runs[] = {
		{ "check", NULL }, { "check", "--json" }, { "check", "--quiet" },
		{ "dump", NULL }, { "dump", "--json" },
	};
	/* blksnap has no dump. */
	unsigned int i, nr = input_apart(&input) ? 3 : ARRAY_SIZE(runs);

	for (i = 0; i < nr; i++) {
		int status = tool_run(&given, runs[i].command, runs[i].option);

		must(status == want, "%s %s: status %d, not %d", runs[i].command,
		     runs[i].option ? runs[i].option : "", status, want);
		must(!runs[i].option || strcmp(runs[i].option, "--json") ||
		     tool_output_is_json(), "no JSON: %s", tool_output);
	}
}

void check_same(const struct disk *a, const struct disk *b, const char *what)
{
	must(disk_same(a, b, 0, a->sectors), "%s wrote", what);
}

/* Refused by everybody, and nothing written. */
static void check_refusal(int status)
{
	disk_copy(&work, &given);
	must(tool_run(&work, "restore", NULL) == status, "restore does not refuse");
	must(tool_run(&work, "restore", "--json") == status, "nor with --json");
	must(!input_apart(&input) || tool_output_is_json(), "no JSON: %s", tool_output);
	must(tool_run(&work, "restore", "--dry-run") == status, "nor with --dry-run");
	check_same(&work, &given, "a refused restore");
}

/* ---- restore ------------------------------------------------------------------------- */

static int check_copied(void *data, u64 from, u64 to, u32 sectors)
{
	(void)data;
	must(!memcmp(restored.mem + to * SECTOR, given.mem + from * SECTOR,
		     (size_t)sectors * SECTOR),
	     "original of %llu is not back", (unsigned long long)to);
	return 0;
}

/* Every original is back, and nothing else but slot 1 has been written. */
static void check_restored(void)
{
	u64 block, slot1 = to_block(before.log.head.slot1);

	if (input_apart(&input)) {
		apart_check_restored();
		return;
	}
	cow_picture_each_original(&before, check_copied, NULL);
	for (block = 0; block < before.geo.nr_blocks; block++)
		must(block == slot1 || is_original(block) ||
		     same_block(&restored, &given, block),
		     "block %llu is none of ours", (unsigned long long)block);
}

static void check_like_restored(const char *when)
{
	u64 block, slot1 = to_block(before.log.head.slot1);

	if (input_apart(&input)) {
		apart_check_like_restored(when);
		return;
	}
	for (block = 0; block < before.geo.nr_blocks; block++)
		must(block == slot1 || same_block(&work, &restored, block),
		     "%s: block %llu", when, (unsigned long long)block);
}

int restore(struct disk *disk)
{
	struct cow_picture pic;
	enum cow_log_error error = read_log(disk, &pic, COW_CHECK_ALL);
	int r;

	must(!error, "good before, now: %s", cow_log_strerror(error));
	r = cow_restore(&pic, NULL, NULL);
	cow_picture_exit(&pic);
	return r;
}

/* Cut at any write, again: the same in the end. */
static void check_cut_restore(u64 writes)
{
	disk_copy(&work, &given);
	work.cut_at = input.cut % writes;
	must(restore(&work), "the power is cut, and restore does not notice");
	disk_revive(&work);
	if (!ended(&work))
		must(!restore(&work), "restore fails after a cut");
	check_like_restored("restore, cut, restore");
}

static void check_restore(void)
{
	u64 writes;

	disk_copy(&restored, &given);
	must(!restore(&restored), "restore fails");
	writes = restored.writes;
	check_restored();
	check_cut_restore(writes);
	disk_copy(&work, &given);
	must(tool_run(&work, "restore", NULL) == DONE, "the tool does not restore");
	check_same(&work, &restored, "the tool, other than the core,");
}

/* ---- commit --------------------------------------------------------------------------- */

/* Also after a look at the tail alone, which is what the kernel does. */
int commit(struct disk *disk, struct cow_head *head, bool all)
{
	struct cow_picture pic;
	enum cow_log_error error = read_log(disk, &pic, all ? COW_CHECK_ALL : COW_CHECK_TAIL);
	int r;

	must(all || !error, "no commit: %s", cow_log_strerror(error));
	*head = pic.log.head;
	r = cow_commit(&pic.log, &pic.geo, &disk->io, pic.buf);
	cow_picture_exit(&pic);
	return r;
}

static bool is_hidden(const struct cow_head *head, u64 sector)
{
	u32 i;

	for (i = 0; i < head->hidden_count; i++)
		if (head->hidden[i].source == sector)
			return true;
	return false;
}

static void check_committed(const struct cow_head *head)
{
	u32 bs = head->block_sectors, i;
	u64 sector;

	if (input_apart(&input)) {
		apart_check_ended("the end");
		return;
	}
	for (i = 0; i < head->hidden_count; i++)
		must(!memcmp(restored.mem + head->hidden[i].source * SECTOR,
			     given.mem + head->hidden[i].live * SECTOR,
			     (size_t)bs * SECTOR), "hidden block %u is not back", i);
	for (sector = 0; sector < given.io.sectors; sector += bs)
		must(sector == head->slot1 || is_hidden(head, sector) ||
		     disk_same(&given, &restored, sector,
			       min((u64)bs, given.io.sectors - sector)),
		     "commit wrote to %llu", (unsigned long long)sector);
}

static void check_cut_commit(const struct cow_head *head, u64 writes, bool all)
{
	struct cow_head again;
	u64 sector;

	disk_copy(&work, &given);
	work.cut_at = input.cut % writes;
	must(commit(&work, &again, all), "the power is cut, and commit does not notice");
	disk_revive(&work);
	if (!ended(&work))
		must(!commit(&work, &again, all), "commit fails after a cut");
	if (input_apart(&input)) {
		check_same(&work, &restored, "the end, cut, ended");
		return;
	}
	for (sector = 0; sector < given.io.sectors; sector += 8)
		must(sector / head->block_sectors == head->slot1 / head->block_sectors ||
		     disk_same(&work, &restored, sector,
			       min(8ULL, given.io.sectors - sector)),
		     "commit, cut, commit: sector %llu", (unsigned long long)sector);
}

static void check_commit(bool all)
{
	struct cow_head head;
	u64 writes;

	disk_copy(&restored, &given);
	must(!commit(&restored, &head, all), "commit fails");
	writes = restored.writes;
	check_committed(&head);
	check_cut_commit(&head, writes, all);
}

/* ---- resume ----------------------------------------------------------------------------- */

static int resume(struct disk *disk)
{
	struct cow_picture pic;
	int r = -EUCLEAN;

	if (!read_log(disk, &pic, COW_CHECK_TAIL) && input_apart(&input)) {
		r = apart_resume(disk, &pic);
	} else if (!pic.complaint.error) {
		must(!cow_init(&cow, disk->io.sectors, pic.geo.block_sectors,
			       &disk->io, NULL), "out of memory");
		r = bow_resume(&cow, &pic);
		if (r)
			cow_exit(&cow);
	}
	cow_picture_exit(&pic);
	return r;
}

/* What the log names anew since; all that was free anyway. */
static bool is_of_no_interest(u64 block)
{
	const struct cow_head *head = &before.log.head;
	u32 i;

	for (i = 0; i < before.nr_voids; i++) {
		u64 dest = to_block(before.voids[i].dest);
		u64 nr = (before.voids[i].sectors + before.geo.block_sectors - 1) >>
			 before.geo.block_shift;

		if (block >= dest && block - dest < nr)
			return true;
	}
	return block == to_block(head->slot1) ||
	       (head->seal && block == to_block(head->seal)) ||
	       in(&before.free, block) || in(&before.born, block);
}

static void compare_restored(const char *when)
{
	u64 block;

	must(!restore(&work), "%s: restore fails", when);
	for (block = 0; block < before.geo.nr_blocks; block++)
		must((is_of_no_interest(block) && !is_original(block)) ||
		     same_block(&work, &restored, block), "%s: block %llu", when,
		     (unsigned long long)block);
}

/* The filesystem writes wherever nothing stops it. */
static void scribble(void)
{
	static u8 junk[COW_MAX_BLOCK_SECTORS * SECTOR];
	u64 block;

	memset(junk, 0x5c, sizeof(junk));
	for (block = 0; block < cow.geo.nr_blocks; block++)
		if (cow_map_get(&cow.map, block) != COW_PROTECTED)
			disk_put(&work, cow_block_to_sector(&cow.geo, block), junk,
				 (size_t)cow_run_sectors(&cow.geo, block, 1) * SECTOR);
}

/* Whatever a resumed device lets pass, the way back stays the same. */
static void check_resume(void)
{
	u64 writes;

	if (input_apart(&input)) {
		apart_check_resume();
		return;
	}
	disk_copy(&work, &given);
	must(!resume(&work), "a good log is not resumed");
	writes = work.writes;
	scribble();
	cow_exit(&cow);
	compare_restored("resume, restore");
	disk_copy(&work, &given);
	work.cut_at = input.cut % writes;
	must(resume(&work), "the power is cut, and resume does not notice");
	disk_revive(&work);
	compare_restored("resume, cut, restore");
}

void check_no_resume(void)
{
	disk_copy(&work, &given);
	work.read_only = true;
	must(resume(&work), "resumed what is being ended, or damaged");
	check_same(&work, &given, "a refused resume");
}

/* The kernel looks at less, so it may accept more; never another state. */
static void check_kernel(enum cow_log_error error)
{
	struct cow_picture pic;
	enum cow_log_error tail;
	u32 state;

	/* It cannot know: see inside.c. */
	if (apart_meets_store())
		return;
	tail = read_log(&given, &pic, COW_CHECK_TAIL);
	state = pic.log.head.state;
	/* It does not see that a backup was lost whose source is still there. */
	if (before.nr_lost) {
		cow_picture_exit(&pic);
		return;
	}
	must(error || !tail, "kernel refuses what the tool accepts: %s",
	     cow_log_strerror(tail));
	must(tail || !error || state == COW_LOG_COMMITTING || error == COW_LOG_BAD_DATA,
	     "kernel accepts, tool says: %s", cow_log_strerror(error));
	cow_picture_exit(&pic);
	if (tail || state != COW_LOG_CHECKPOINT)
		check_no_resume();
	else if (!error)
		check_resume();
	if (!tail && state == COW_LOG_COMMITTING)
		check_commit(false);
}

/* ---- all of it ----------------------------------------------------------------------------- */

/* Without a header in block 0 a log is used only when asked for by --scan. */
static void check_scan(void)
{
	int status = tool_run(&given, "check", "--scan");

	must(status == NO_LOG || status == DONE || status == DAMAGED ||
	     status == REFUSED, "check --scan: status %d", status);
	disk_copy(&work, &given);
	status = tool_run(&work, "restore", "--scan");
	must(status == NO_LOG || status == DONE || status == DAMAGED ||
	     status == REFUSED, "restore --scan: status %d", status);
	if (status != DONE)
		check_same(&work, &given, "a refused scan");
}

static void check_damaged(enum cow_log_error error)
{
	int status;

	check_commands(DAMAGED);
	check_refusal(DAMAGED);
	check_kernel(error);
	if (input_apart(&input))
		return;
	check_scan();
	disk_copy(&restored, &given);
	status = tool_run(&restored, "restore", "--roll-forward");
	must(status == DAMAGED || status == DONE, "roll forward: status %d", status);
	if (status == DAMAGED)
		check_same(&restored, &given, "a refused roll forward");
	else
		check_committed(&before.log.head);
}

static void check_good(void)
{
	check_commands(DONE);
	if (before.log.head.state == COW_LOG_COMMITTING) {
		check_commit(true);
		check_commit(false);
		disk_copy(&work, &given);
		must(tool_run(&work, "restore", NULL) == DONE, "commit is not finished");
		check_same(&work, &restored, "the tool, other than the core,");
	} else {
		check_restore();
		check_kernel(COW_LOG_OK);
	}
}

static void check_no_log(void)
{
	int status = tool_run(&given, "check", NULL);

	must(verdict(&given, COW_CHECK_TAIL) == COW_LOG_NO_MAGIC, "the kernel sees a log");
	if (input_apart(&input)) {
		check_commands(NO_LOG);
		check_refusal(NO_LOG);
		return;
	}
	must(status == NO_LOG || status == REFUSED, "no log, yet status %d", status);
	check_refusal(status);
	status = tool_run(&given, "dump", "--json");
	must(status == NO_LOG || status == REFUSED, "no log, yet dump says %d", status);
	must(tool_output_is_json(), "no JSON: %s", tool_output);
	check_scan();
}

/* Read by all, ended by nobody. */
static void check_read_only(enum cow_log_error error)
{
	bool good = !error || before.log.head.state == COW_LOG_COMMITTING;

	check_commands(good ? DONE : DAMAGED);
	check_refusal(good ? REFUSED : DAMAGED);
	if (before.log.head.state == COW_LOG_CHECKPOINT)
		check_no_resume();
}

/* For a look at an input with the tool: FUZZ_IMAGE names the file. */
static void write_image(const char *path)
{
	FILE *file = path ? fopen(path, "wb") : NULL;

	if (!file)
		return;
	fwrite(given.mem, SECTOR, given.sectors, file);
	fclose(file);
}

static void check_log(void)
{
	enum cow_log_error error = read_log(&given, &before, COW_CHECK_ALL);

	if (!error && apart_meets_store())
		error = COW_LOG_OVERLAP;
	if (error == COW_LOG_NO_MAGIC)
		check_no_log();
	else if (before.log.read_only && (!error || before.has_tail))
		check_read_only(error);
	else if (!error)
		check_good();
	else if (before.log.head.state == COW_LOG_COMMITTING &&
		 !verdict(&given, COW_CHECK_TAIL))
		check_good();
	else
		check_damaged(error);
	cow_picture_exit(&before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > INPUT_BYTES)
		return -1;
	input_parse(&input, data, size);
	input_build(&input, &given);
	write_image(getenv("FUZZ_IMAGE"));
	if (input_inside(&input))
		apart_try_inside();
	if (input_apart(&input) && !input.lay.store)
		apart_check_refused();
	else
		check_log();
	return 0;
}
