// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The devices of a transaction: what their logs say, and what is done about them.
 */
#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "boot.h"
#include "critical.h"
#include "live.h"
#include "mnt.h"
#include "rescue.h"
#include "trim.h"

bool device_resolve(const char *spec, char path[PATH_MAX])
{
	char *found = NULL;

	bool tag = *spec != '/' && strchr(spec, '=');

	if (tag)
		found = blkid_evaluate_tag(spec, NULL, NULL);
	snprintf(path, PATH_MAX, "%s", found ? found : spec);
	/* A file whose name is the tag is not what is meant. */
	tag = tag && !found;
	free(found);
	return !tag && !access(path, F_OK);
}

/* ---- a log on a device that somebody uses: its header tells enough --------------- */

static void take_head(struct boot_device *dev, const struct cow_head *head)
{
	memcpy(dev->uuid, head->uuid, sizeof(dev->uuid));
	dev->time = head->time;
}

static int read_page0(const char *path, struct cow_disk_page *page, u64 *sectors)
{
	int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	u64 bytes;
	bool ok = fd >= 0 && !ioctl(fd, BLKGETSIZE64, &bytes) &&
		  pread(fd, page, sizeof(*page), 0) == (ssize_t)sizeof(*page);

	if (!ok)
		error_msg("%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	*sectors = ok ? bytes >> 9 : 0;
	return ok ? 0 : BOW_SYSTEM;
}

static int peek(const char *path, struct boot_device *dev)
{
	struct cow_disk_page *page = aligned_alloc(4096, sizeof(*page));
	struct cow_head head;
	u64 sectors;
	int status;

	if (!page)
		return fail(BOW_SYSTEM, "out of memory");
	status = read_page0(path, page, &sectors);
	if (!status)
		switch (cow_head_decode(page, sectors, &head)) {
		case COW_LOG_OK:
			dev->log = BOOT_LOG_LIVE;
			take_head(dev, &head);
			break;
		case COW_LOG_NO_MAGIC:
			dev->log = BOOT_LOG_NONE;
			break;
		default:
			dev->log = BOOT_LOG_DAMAGED;
		}
	free(page);
	return status;
}

/* ---- a log on a device that is ours alone ------------------------------------------ */

static enum boot_log judge(struct offline *off, bool recorded, struct boot_device *dev)
{
	static const struct rescue no_scan;

	if (!off->has_log)
		return recorded && rescue_look(off, &no_scan, true) ? BOOT_LOG_DAMAGED :
								      BOOT_LOG_NONE;
	if (offline_refuse_read_only(off))
		return BOOT_LOG_DAMAGED;
	if (off->has_tail)
		take_head(dev, &off->pic.log.head);
	if (offline_committing(off))
		return BOOT_LOG_COMMITTING;
	if (off->error) {
		offline_complain(off);
		return BOOT_LOG_DAMAGED;
	}
	return off->pic.log.head.state == COW_LOG_RESTORING ? BOOT_LOG_RESTORING :
							      BOOT_LOG_LIVE;
}

static int read_log(struct boot *boot, unsigned int i, const char *path,
		    struct boot_device *dev)
{
	struct offline off;
	int status = offline_open(&off, path, false);

	if (status)
		return status;
	status = offline_read(&off, boot->thorough ? COW_CHECK_ALL : COW_CHECK_TAIL, boot->quiet);
	if (!status)
		dev->log = judge(&off, boot->run.state.dev[i].ours, dev);
	offline_close(&off);
	return status;
}

/* ---- a dm device that is there already ----------------------------------------------- */

static bool is_on(const struct bow_status *st, const char *path)
{
	unsigned int maj, min;
	struct stat file;

	return sscanf(st->lower, "%u:%u", &maj, &min) != 2 || stat(path, &file) ||
	       file.st_rdev == makedev(maj, min);
}

static int look_at_bow(const struct boot_place *place, const char *path,
		       struct boot_device *dev)
{
	struct bow_status st;
	char node[USER_TEXT];
	int status = bow_dm_status(place->name, &st);

	if (status)
		return status;
	if (!is_on(&st, path))
		return fail(BOW_REFUSED, "the bow device %s is on %s, not on %s; 'bow remove %s' or give this one another name",
			    place->name, device_node(st.lower, node), place->device, place->name);
	dev->collecting = !strcmp(st.state, "trim") || !strcmp(st.state, "committed");
	if (!strcmp(st.state, "checkpoint"))
		return peek(device_node(st.lower, node), dev);
	dev->log = dev->collecting ? BOOT_LOG_NONE : BOOT_LOG_DAMAGED;
	return 0;
}

/* Linear, as made here when there is no log. Whatever else has that name hides one. */
static int look_at_other(const struct boot_place *place, const char *path, dev_t number,
			 struct boot_device *dev)
{
	int status;

	if (!bow_dm_is_linear_on(place->name, number))
		return fail(BOW_REFUSED, "the dm device %s is not one of %s; 'dmsetup remove %s' or give this one another name",
			    place->name, place->device, place->name);
	status = peek(path, dev);
	if (!status && dev->log == BOOT_LOG_LIVE)
		status = fail(BOW_REFUSED, "%s carries a checkpoint, past which the linear device %s leads; 'dmsetup remove %s'",
			      place->device, place->name, place->name);
	return status;
}

/* In use it cannot be judged, but then nothing can have been begun there. */
static bool is_to_be_peeked_at(const struct boot *boot, const struct stat *st)
{
	char user[USER_TEXT];

	return S_ISBLK(st->st_mode) && !boot->exclusive &&
	       (!boot->change || device_user(st->st_rdev, user));
}

int device_look(struct boot *boot, unsigned int i, struct boot_device *dev)
{
	const struct boot_place *place = &boot->file.place[i];
	char path[PATH_MAX];
	struct stat st;
	bool there;

	memset(dev, 0, sizeof(*dev));
	dev->configured = place->conf;
	dev->log = BOOT_LOG_UNKNOWN;
	dev->active = bow_dm_exists(place->name);
	there = device_resolve(place->device, path) && !stat(path, &st);
	if (dev->active && bow_dm_is_bow(place->name))
		return look_at_bow(place, path, dev);
	if (dev->active && there)
		return look_at_other(place, path, st.st_rdev, dev);
	if (!there || !boot->chosen[i])
		return 0;
	if (is_to_be_peeked_at(boot, &st))
		return peek(path, dev);
	return read_log(boot, i, path, dev);
}

/* ---- ending a log -------------------------------------------------------------------- */

static int end_read(struct boot *boot, struct offline *off, enum boot_ending ending,
		    const char *name)
{
	const char *said = "rolled back";
	int status;

	if (off->error && !offline_committing(off))
		return offline_complain(off);
	/* Half of it is what it was before: only back, now. */
	if (ending == BOOT_END_COMMIT && off->pic.log.head.state == COW_LOG_RESTORING)
		return fail(BOW_REFUSED, "%s: a rollback has begun there; 'bow restore %s' finishes it",
			    name, off->dev.path);
	if (ending == BOOT_END_COMMIT || offline_committing(off)) {
		status = offline_commit(off);
		said = "committed";
	} else {
		status = offline_restore(off, boot->quiet);
	}
	if (!status && !boot->quiet)
		printf("%s: %s\n", name, said);
	return status;
}

/* It is read once more: is it still that which was judged? */
static int end_offline(struct boot *boot, unsigned int i, enum boot_ending ending)
{
	const struct boot_place *place = &boot->file.place[i];
	const struct boot_device *dev = &boot->run.in.dev[i];
	char path[PATH_MAX];
	struct offline off;
	int status;

	if (!device_resolve(place->device, path))
		return fail(BOW_SYSTEM, "%s: %s has gone", place->name, place->device);
	status = offline_open(&off, path, true);
	if (status)
		return status;
	status = offline_read(&off, COW_CHECK_ALL, boot->quiet);
	if (!status && (!off.has_tail ||
			memcmp(off.pic.log.head.uuid, dev->uuid, sizeof(dev->uuid))))
		status = fail(BOW_REFUSED, "%s: the log has changed while it was looked at; run the same command again",
			      place->name);
	if (!status)
		status = end_read(boot, &off, ending, place->name);
	offline_close(&off);
	return status;
}

static int commit_active(struct boot *boot, const char *name)
{
	struct bow_status st;
	int status = bow_dm_status(name, &st);

	if (!status)
		status = live_commit(&st);
	if (!status && !boot->quiet)
		printf("%s: committed\n", name);
	return status;
}

int device_end(struct boot *boot, unsigned int i, enum boot_ending ending)
{
	if (boot->run.in.dev[i].active)
		return commit_active(boot, boot->file.place[i].name);
	return end_offline(boot, i, ending);
}

/* ---- making a device -------------------------------------------------------------------- */

/* Its size and number, and if it is resumed the block size of its log. */
static int measure(struct boot *boot, const char *path, struct bow_table *table,
		   bool resume, u64 *sectors, dev_t *number)
{
	struct offline off;
	int status = offline_open(&off, path, false);

	if (status)
		return status;
	*sectors = off.dev.io.sectors;
	*number = off.dev.number;
	if (!off.dev.block)
		status = fail(BOW_USAGE, "%s is a file; attach it with losetup first", path);
	if (!status && resume)
		status = offline_read(&off, COW_CHECK_TAIL, boot->quiet);
	if (!status && resume) {
		/* What the log says counts, not what it would be today. */
		table->block_size = 0;
		status = bow_table_resume(table, &off);
	}
	offline_close(&off);
	return status;
}

static int make_bow(const char *name, struct bow_table *table, u64 sectors, dev_t number)
{
	char params[BOW_PARAMS];
	int status = bow_dm_need_target(BOW_TARGET, "bow");

	if (status)
		return status;
	bow_table_params(table, number, params);
	return bow_dm_create(name, sectors, params);
}

int device_make(struct boot *boot, unsigned int i, enum boot_make make)
{
	const struct boot_place *place = &boot->file.place[i];
	struct bow_table table = place->conf->table;
	char path[PATH_MAX];
	dev_t number = 0;
	u64 sectors = 0;
	int status;

	if (!device_resolve(place->device, path))
		return fail(BOW_SYSTEM, "%s: %s has gone", place->name, place->device);
	status = measure(boot, path, &table, make == BOOT_MAKE_RESUME, &sectors, &number);
	if (!status)
		status = bow_dm_open();
	if (!status && make == BOOT_MAKE_LINEAR)
		status = bow_dm_create_linear(place->name, sectors, number);
	else if (!status)
		status = make_bow(place->name, &table, sectors, number);
	if (!status && !boot->quiet)
		printf("/dev/mapper/%s: %s\n", place->name,
		       make == BOOT_MAKE_LINEAR ? "linear" :
		       make == BOOT_MAKE_BOW ? "bow, for a new checkpoint" :
					       "bow, the checkpoint goes on");
	return status;
}

/* ---- a new checkpoint -------------------------------------------------------------------- */

static int trim_found(struct boot *boot, struct trim *trim)
{
	char size[SIZE_TEXT];
	int status;

	if (!trim->mounted)
		warn_msg("%s is not mounted: its free space is read from the bitmaps of an ext2, ext3 or ext4",
			 trim->before.name);
	status = trim_run(trim);
	if (!status)
		status = bow_dm_status(trim->before.name, &trim->after);
	if (status)
		return status;
	if (!boot->quiet)
		printf("%s: %s collected for backups\n", trim->before.name,
		       format_size(size, trim_collected(trim)));
	if (trim_falls_short(trim))
		trim_warn(trim);
	return 0;
}

int device_trim(struct boot *boot, unsigned int i)
{
	char node[PATH_MAX];
	struct trim trim = { 0 };
	int status;

	snprintf(node, sizeof(node), "/dev/mapper/%s", boot->file.place[i].name);
	status = trim_find(&trim, node);
	if (!status)
		status = trim_found(boot, &trim);
	mount_free(&trim.mnt);
	return status;
}

/* All that collect; at one instant, so that none is older than another. */
static int find_collecting(struct boot *boot, struct bow_status *st, unsigned int *nr)
{
	unsigned int i;
	int status = 0;

	*nr = 0;
	for (i = 0; i < boot->run.in.nr && !status; i++) {
		if (!boot->run.in.dev[i].configured || !boot->run.in.dev[i].collecting)
			continue;
		status = bow_dm_status(boot->file.place[i].name, &st[*nr]);
		if (!status)
			status = live_may_checkpoint(&st[*nr]);
		if (!status)
			live_prepare(&st[*nr], false);
		(*nr)++;
	}
	return status;
}

static int run_checkpoints(struct boot *boot, const struct bow_status *st, unsigned int nr)
{
	struct critical_action actions[BOOT_DEVICES];
	const char *names[BOOT_DEVICES];
	struct critical crit = {
		.names = names, .nr_names = nr, .actions = actions, .nr_actions = nr,
	};
	unsigned int i;
	int status;

	for (i = 0; i < nr; i++) {
		names[i] = st[i].name;
		actions[i] = (struct critical_action){ .name = st[i].name, .message = "checkpoint" };
	}
	status = critical_run(&crit);
	if (status)
		return status;
	if (crit.error && crit.stage == CRITICAL_ACT)
		return live_explain(&st[crit.index], crit.error);
	if (crit.error)
		return fail(BOW_SYSTEM, "%s: cannot suspend: %s", st[min(crit.index, nr - 1)].name,
			    strerror(crit.error));
	if (!boot->quiet)
		printf("checkpoint of %u device%s, suspended for %.1f ms\n", nr,
		       nr == 1 ? "" : "s", crit.ms);
	return 0;
}

int device_checkpoint(struct boot *boot)
{
	struct bow_status *st = calloc(BOOT_DEVICES, sizeof(*st));
	unsigned int nr;
	int status;

	if (!st)
		return fail(BOW_SYSTEM, "out of memory");
	status = find_collecting(boot, st, &nr);
	if (!status && nr)
		status = run_checkpoints(boot, st, nr);
	free(st);
	return status;
}
