// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The same states by the programs themselves, in files: bow, blksnap, e2fsck; and
 * what ext4 says is free.
 */
#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replay.h"

#define BLOCK_BYTES 4096U
#define BLOCK_SECTORS (BLOCK_BYTES / SECTOR)
#define SUPER_SECTOR 2U
#define SUPER_SECTORS 2U
#define TOOL_DONE 1
#define TOOL_SYSTEM 8

extern char **environ;

/* Of the device with the filesystem. */
static size_t bytes(const struct run *run)
{
	return (size_t)run->rec.origin_sectors * SECTOR;
}

static void to_file(const char *path, const u8 *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	size_t done = 0;

	if (fd < 0 || ftruncate(fd, (off_t)size))
		die("%s: %s", path, strerror(errno));
	while (done < size) {
		ssize_t n = pwrite(fd, data + done, size - done, (off_t)done);

		if (n <= 0)
			die("%s: %s", path, strerror(errno));
		done += (size_t)n;
	}
	close(fd);
}

static void to_scratch(const struct run *run, const u8 *data)
{
	to_file(run->scratch, data, bytes(run));
}

static void store_path(const struct run *run, char path[4096])
{
	snprintf(path, 4096, "%s.store", run->scratch);
}

static void to_scratch_store(const struct run *run, const u8 *data)
{
	char path[4096];

	store_path(run, path);
	to_file(path, data + bytes(run), (size_t)run->rec.sectors * SECTOR - bytes(run));
}

static u8 *from_scratch(const struct run *run)
{
	int fd = open(run->scratch, O_RDONLY | O_CLOEXEC);
	u8 *data = need(bytes(run));
	size_t done = 0;

	if (fd < 0)
		die("%s: %s", run->scratch, strerror(errno));
	while (done < bytes(run)) {
		ssize_t n = pread(fd, data + done, bytes(run) - done, (off_t)done);

		if (n <= 0)
			die("%s: %s", run->scratch, strerror(errno));
		done += (size_t)n;
	}
	close(fd);
	return data;
}

/* Its exit status; what it says goes to SCRATCH.out. */
static int command(const struct run *run, const char *const argv[])
{
	posix_spawn_file_actions_t actions;
	char out[4096];
	pid_t pid;
	int status;

	snprintf(out, sizeof(out), "%s.out", run->scratch);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, out,
					 O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_adddup2(&actions, 1, 2);
	errno = posix_spawnp(&pid, argv[0], &actions, NULL, (char **)argv, environ);
	if (errno)
		die("%s: %s", argv[0], strerror(errno));
	posix_spawn_file_actions_destroy(&actions);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("waitpid: %s", strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void show_output(const struct run *run)
{
	char line[1024];
	FILE *f;

	snprintf(line, sizeof(line), "%s.out", run->scratch);
	f = fopen(line, "r");
	while (f && fgets(line, sizeof(line), f))
		fprintf(stderr, "  | %s", line);
	if (f)
		fclose(f);
}

/* ---- e2fsck -------------------------------------------------------------- */

static void fsck(struct run *run, const char *how, int most)
{
	const char *const argv[] = { "e2fsck", how, run->scratch, NULL };
	int status = command(run, argv);

	if (status <= most)
		return;
	show_output(run);
	fail(run, "e2fsck %s says %d", how, status);
}

void fsck_clean(struct run *run, const u8 *data)
{
	to_scratch(run, data);
	fsck(run, "-fn", 0);
}

/*
 * Has this state torn ext4's own write of its superblock? ext4 relies on that
 * one being whole (everything else is in its journal), so there is nothing to
 * be learnt about us from what e2fsck says then. Our copies are no metadata.
 */
static bool superblock_torn(const struct run *run, u32 block0)
{
	const struct image *img = &run->img;
	bool half[SUPER_SECTORS] = { false };
	u32 i;

	for (i = 0; i < img->nr_undo; i++) {
		u32 nr = img->undo[i].sector - block0 - SUPER_SECTOR;

		if (nr < SUPER_SECTORS)
			half[nr] = img->undo[i].torn;
	}
	return half[0] != half[1];
}

/* As after a power cut: the journal is replayed, then there is nothing wrong. */
static void fsck_scratch_live(struct run *run, u32 block0)
{
	if (superblock_torn(run, block0)) {
		run->figures.torn_supers++;
		return;
	}
	fsck(run, "-fp", 1);
	fsck(run, "-fn", 0);
	run->figures.fsck_live++;
}

void fsck_live(struct run *run, const u8 *data, u32 block0)
{
	to_scratch(run, data);
	fsck_scratch_live(run, block0);
}

/* ---- bow, blksnap -------------------------------------------------------- */

#define MOST_WORDS 8

/* PROGRAM WHAT [--stop-after N] [--store STORE] SCRATCH; its exit status. */
static int run_program(const struct run *run, const char *what, const char *stop)
{
	const char *argv[MOST_WORDS] = { run->program, what };
	char store[4096];
	int n = 2;

	if (stop) {
		argv[n++] = "--stop-after";
		argv[n++] = stop;
	}
	if (has_store(&run->rec)) {
		store_path(run, store);
		argv[n++] = "--store";
		argv[n++] = store;
	}
	argv[n++] = run->scratch;
	return command(run, argv);
}

/* Killed at some write, then again, then let run. */
static void run_tool(struct run *run, const char *what, int done)
{
	u32 cuts = rnd(&run->rng, 3);
	char stop[32];
	int status = TOOL_SYSTEM;

	for (; cuts && status == TOOL_SYSTEM; cuts--) {
		snprintf(stop, sizeof(stop), "%u", 1 + rnd(&run->rng, 40));
		status = run_program(run, what, stop);
		run->figures.tool_cuts += status == TOOL_SYSTEM;
	}
	if (status == TOOL_SYSTEM)
		status = run_program(run, what, NULL);
	if (status != done && status != 0) {
		show_output(run);
		fail(run, "%s %s says %d", run->program, what, status);
	}
	status = run_program(run, what, NULL);
	if (status)
		fail(run, "%s %s says %d the second time", run->program, what, status);
}

static void check_committed(struct run *run, const struct cow_head *head,
			    const u8 *data)
{
	u32 s, i;

	for (s = 0; s < run->rec.sectors; s++) {
		u64 from = s;

		if (s - (u32)head->slot1 < head->block_sectors)
			continue;
		for (i = 0; i < head->hidden_count; i++)
			if (s - (u32)head->hidden[i].source < head->block_sectors)
				from = head->hidden[i].live + s - head->hidden[i].source;
		if (memcmp(data + (size_t)s * SECTOR, run->img.data + from * SECTOR, SECTOR))
			fail(run, "bow commit: sector %u is not what was live", s);
	}
}

static u32 live_block0(const struct cow_head *head)
{
	u32 i;

	for (i = 0; i < head->hidden_count; i++)
		if (!head->hidden[i].source)
			return (u32)head->hidden[i].live;
	return 0;
}

void tool_judge(struct run *run, bool commit, const struct cow_head *head)
{
	bool begun = head->state == COW_LOG_COMMITTING;
	u8 *data;
	u32 s;

	to_scratch(run, run->img.data);
	if (has_store(&run->rec))
		to_scratch_store(run, run->img.data);
	/* To finish a commit is what both do. */
	if (commit && !(begun && one_in(&run->rng, 2)))
		run_tool(run, "commit", 0);
	else
		run_tool(run, "restore", TOOL_DONE);
	data = from_scratch(run);
	if (commit) {
		check_committed(run, head, data);
		fsck_scratch_live(run, live_block0(head));
		run->figures.tool_commits++;
	} else {
		s = not_rolled_back(run, data);
		if (s != NOWHERE)
			fail(run, "%s restore: sector %u is not as it was at the checkpoint",
			     run->program, s);
		fsck(run, "-fn", 0);
		run->figures.fsck_back++;
		run->figures.tool_restores++;
	}
	free(data);
}

/* ---- ext4's own free blocks ---------------------------------------------- */

void read_ext4_free(const struct run *run, const u8 *data, u8 *free_blocks)
{
	u32 b, per, nr = run->rec.sectors / BLOCK_SECTORS;
	ext2_filsys fs;
	blk64_t i;

	to_scratch(run, data);
	if (ext2fs_open(run->scratch, EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &fs) ||
	    ext2fs_read_block_bitmap(fs))
		die("%s: no ext4 at the checkpoint", run->rec.path);
	if (ext2fs_has_feature_journal_needs_recovery(fs->super))
		die("%s: the ext4 was not frozen", run->rec.path);
	per = BLOCK_BYTES / fs->blocksize;
	memset(free_blocks, 1, nr);
	for (b = 0; b < nr; b++)
		for (i = (blk64_t)b * per; i < ((blk64_t)b + 1) * per; i++)
			if (i < fs->super->s_first_data_block ||
			    i >= ext2fs_blocks_count(fs->super) ||
			    ext2fs_test_block_bitmap2(fs->block_map, i))
				free_blocks[b] = 0;
	ext2fs_free(fs);
}
