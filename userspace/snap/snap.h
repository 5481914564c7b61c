/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blksnap: its commands, and what they know of origins and snapshots.
 */
#ifndef SNAP_H
#define SNAP_H

#include <limits.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "command.h"
#include "dm-task.h"
#include "mnt.h"

extern const struct command cmd_apply, cmd_attach, cmd_changed, cmd_check, cmd_detach, cmd_dump,
	cmd_export, cmd_grow, cmd_list, cmd_mark, cmd_monitor, cmd_remove, cmd_restore,
	cmd_resume, cmd_take;

#define SNAP_ORIGIN_TARGET "blksnap-origin"
#define SNAP_TARGET "blksnap"
#define SNAP_FILE_TARGET "blksnap-file"
#define SNAP_MAP_TARGET "blksnap-map"

/*
 * What we make tells by its uuid what it is:
 *	BLKSNAP-ORIGIN-<uuid>			by attach --create
 *	BLKSNAP-REAL-<uuid>			what was attached, below
 *	BLKSNAP-FILE-<uuid>			a file as a store; OWNFILE: made by take
 *	BLKSNAP-MAP-<uuid>			what has changed, for a moment
 *	BLKSNAP-<uuid of the set>-<n>-<name>	an image
 * A device that is attached live keeps its own: its table tells.
 */
#define SNAP_UUID_PREFIX "BLKSNAP-"
#define SNAP_ORIGIN_PREFIX "BLKSNAP-ORIGIN-"
#define SNAP_REAL_PREFIX "BLKSNAP-REAL-"
#define SNAP_REAL_SUFFIX "-real"
#define SNAP_FILE_PREFIX "BLKSNAP-FILE-"
#define SNAP_OWN_FILE_PREFIX "BLKSNAP-OWNFILE-"
#define SNAP_FILE_NAME "blksnap-store-"
#define SNAP_MAP_PREFIX "BLKSNAP-MAP-"
#define SNAP_MAP_NAME "blksnap-map-"

#define SNAP_SET_NAME 64	/* with its NUL: it must fit into a uuid */
#define SNAP_WORD 16

enum snap_kind {
	SNAP_OTHER, SNAP_ORIGIN, SNAP_IMAGE, SNAP_FILE,
};

/* A dm device. */
struct snap_dev {
	enum snap_kind kind;
	char name[BOW_DM_NAME];
	char uuid[BOW_DM_NAME + 2];
	dev_t number;
	u64 sectors;
	int open_count;
	bool suspended, read_only, inactive_table;

	bool understood;		/* its status is as we know it */
	char lower_text[32];		/* as the table has it, "8:16" */
	dev_t lower;

	/* Of origins and images. */
	char state[SNAP_WORD];
	u64 block_bytes;
	u64 blocks_ahead;
	u64 memory, memory_peak;	/* bytes; of an image only the first */

	/* Of an origin. */
	u64 snapshots, blocks_copied, copies, groups;
	u64 cbt_bytes;			/* 0: not tracked */
	char generation[UUID_TEXT];
	char persistent[SNAP_WORD];	/* the state of its persistent snapshot, or "-" */
	dev_t tracking;			/* its tracking device; 0: none... */
	char tracking_text[32];
	bool tracking_lost;		/* ...or one that has failed */

	/* Of an image. */
	char store_text[32];
	char mode[SNAP_WORD];		/* transient or persistent */
	dev_t store;
	u64 store_used, store_sectors;
	u64 blocks_kept, blocks_private;
	u64 low_water;			/* sectors; 0: none */
	bool low;			/* less than that is left in the store */
	u64 cbt_number;			/* of its epoch; 0: not tracked, or not any more */
	char set_uuid[UUID_TEXT];	/* "" if it was not made by this tool */
	char set_name[SNAP_SET_NAME];
	unsigned int set_index;

	/* Of a file; of a store of several, the first. */
	char path[PATH_MAX];
	bool on_origin;
	dev_t file_dev;
	ino_t file_inode;
};

/* All origins, images and files, in the order of their names. */
struct snap_list {
	struct snap_dev *devs;
	unsigned int nr;
};

/* ---- snap-dev.c: 0 or an exit status, with the reason told ----------------- */

/* One device, by its name or node. */
int snap_dev_read(const char *name, struct snap_dev *dev);
/* The same, which must be an origin. */
int snap_origin_read(const char *name, struct snap_dev *dev);

int snap_list_read(struct snap_list *list);
void snap_list_free(struct snap_list *list);

/* The origin that an image belongs to, NULL if that is gone. */
const struct snap_dev *snap_origin_of(const struct snap_list *list,
				      const struct snap_dev *image);

/* All files of a store, to be freed. */
int snap_parts_read(const char *name, struct snap_dev **parts, unsigned int *nr);

/* The file whose device that is, NULL if it is something else. */
const struct snap_dev *snap_file_of(const struct snap_list *list, dev_t number);

/* Does the kernel have our targets? */
int snap_need_targets(void);

/* One command that changes something at a time; kept until we end, or do this. */
int snap_lock(void);
/* device-mapper, our targets, the lock: for whoever makes devices of ours. */
int snap_begin(void);
void snap_unlock(void);

/*
 * With the lock: the file that is about to be made, for the next command, should this
 * one be killed; "" if it is done or undone.
 */
void snap_note(const char *path);
/* False if there is none, or a command that may be at it still. */
bool snap_note_read(char path[PATH_MAX]);

/* Only characters that need no escaping anywhere; @size has room for the NUL. */
bool snap_valid_name(const char *name, size_t size);

/* Neither suspended nor about to get another table? */
int snap_check_settled(const struct snap_dev *dev);

/* Nobody has it open or mounted? */
int snap_check_unused(const struct snap_dev *dev);

/* ---- snap-table.c ----------------------------------------------------------- */

/* A table, or status, as text: one line a target, each ended by a newline. */
char *snap_table_read(const char *name);
char *snap_status_read(const char *name);
char *snap_status_read_uuid(const char *uuid);
void snap_table_free(char *table);

/* 0 or -errno, nothing told. */
int snap_create(const char *name, const char *uuid, const char *table,
		bool hidden);
int snap_create_inactive(const char *name, const char *uuid, const char *table);
int snap_load(const char *name, const char *table);
int snap_clear(const char *name);
int snap_remove_uuid(const char *uuid);
/* Now, or when nobody has it open any more. */
int snap_remove_later(const char *uuid);

/* A prefix and a random uuid. */
void snap_make_uuid(char text[BOW_DM_NAME], const char *prefix);

/* ---- snap-stack.c ----------------------------------------------------------- */

/* Is @dev the same as @below, or above it, through whatever lies between? */
bool snap_above(dev_t dev, dev_t below);

/* The size of a device, "8:16"; 0 if there is none. */
u64 snap_device_sectors(const char *number);

/* How many layers are below it. */
unsigned int snap_depth(dev_t dev);

/* Is it, or what it lies on, a crypt device? */
bool snap_encrypted(dev_t dev);

/* ---- snap-store.c ------------------------------------------------------------ */

struct snap_store {
	const char *path;
	u64 wanted_bytes;	/* of a file that is to be made; 0: not said */
	dev_t number;		/* of a file: once it has a device */
	u64 bytes;
	bool shared;		/* other snapshots use it already */

	bool in_use;		/* by snapshots, that is; else it is left over */
	bool durable;		/* what is written there is to outlive a reboot */
	bool carries_log;	/* a persistent snapshot... */
	u64 log_block_bytes;	/* ...with these blocks */

	/* Of a file: it lies on @below, or on the origin @origin above that. */
	bool is_file, create, created;
	bool written;		/* through its filesystem, and that can tell */
	u64 inside_sectors;	/* it is on its own origin, of that size, and is to be found there */
	u64 first, grain;	/* once it has a device: as of its map */
	dev_t below, origin;
	dev_t file_dev;		/* of one that was created... */
	ino_t file_inode;	/* ...and this */
	char name[BOW_DM_NAME], uuid[BOW_DM_NAME + 2];
};

/*
 * Can it be used? Not if it is in use or, but for @force, has contents. A file need
 * not be there if it is said how large to make it.
 */
int snap_store_check(struct snap_store *store, const char *path,
		     const struct snap_list *list, bool force);

/* May what @origin keeps be written there? */
int snap_store_check_origin(const struct snap_store *store, const struct snap_dev *origin);
/* May there be a log in it? Not on an origin that may be rolled back itself. */
int snap_store_check_kept(const struct snap_store *store, const struct snap_list *list);
int snap_store_check_above(const struct snap_dev *origin, const struct snap_list *list);

/* Is nothing there that is known? If not, @remedy says what can be done. */
int snap_check_contents(const char *path, int fd, const char *remedy);

/* Does a log begin at that sector of a device? */
int snap_store_look_for_log(struct snap_store *store, dev_t number, u64 sector);
/* The same, silent: 1, 0 or -errno. */
int snap_store_has_log(dev_t number, u64 sector);

/* Has it an image? */
bool snap_store_in_use(const struct snap_list *list, dev_t number);

/* Copies of superblocks in a store that nobody uses any more: erase them. */
void snap_store_wipe(dev_t number);

/* ---- snap-file.c ------------------------------------------------------------- */

int snap_file_check(struct snap_store *store, const struct snap_list *list, bool force);

/* Use the device of a file that is a store already. */
int snap_file_share(struct snap_store *store, const struct snap_list *list,
		     const struct snap_dev *dev);

/* The store that has this file, NULL if none has. */
const struct snap_dev *snap_file_find(const struct snap_list *list, const struct stat *st);

struct snap_map;
struct snap_disk_extents;

#define SNAP_FILE_LINE (4 * PATH_MAX + 128)

/* Of a table: the file from sector @start on. */
void snap_file_line(char line[SNAP_FILE_LINE], const struct snap_store *store, u64 start,
		    const struct snap_map *map);

/* Make the file if there is none, and look where it is. */
int snap_file_make(struct snap_store *store, struct snap_map *map);
/* The same, and its device. */
int snap_file_open(struct snap_store *store);
/* What that has made; silent. */
void snap_file_undo(const struct snap_store *store);

/* What a command left behind that was killed: name it, and say how to be rid of it. */
void snap_file_tell_leftover(const struct snap_list *list);

/* Devices of files that nobody uses any more, and the files that we made. */
int snap_files_sweep(void);

/* ---- snap-grow.c ------------------------------------------------------------- */

struct snap_growth {
	const struct snap_list *list;	/* of all there is */
	const struct snap_dev *dev;	/* of a store of files */
	u64 bytes;			/* to be added */

	/* out */
	char path[PATH_MAX];		/* of the file that was */
	u64 added;
	double ms;			/* for that long copies waited */
};

/* Put another file behind a store's. If it fails nothing has changed. */
int snap_grow(struct snap_growth *growth, bool dry_run);

/* ---- snap-reopen.c ----------------------------------------------------------- */

/* A file that was a store, as a device once more. */
struct snap_reopened {
	struct snap_store store;
	char node[USER_TEXT];
	bool ours;			/* to be removed in the end */
};

/* Was it one, and has a snapshot? An image of a store is not. */
bool snap_was_store(const char *path);

/* With the lock: pin it, and give it a device. Not for a rollback of @origin if it is there. */
int snap_reopen(struct snap_reopened *again, const char *path, const char *origin);
/* Let go of it, if nobody else uses it; the file stays. */
void snap_reopen_end(const struct snap_reopened *again);

/* ---- snap-tracking.c --------------------------------------------------------- */

/* May it be the tracking device of what is above @device? Tells its number. */
int snap_tracking_check(const char *path, dev_t device, dev_t *number);
/* May @device become an origin, for all that is tracked already? */
int snap_tracking_check_device(const char *name, dev_t device);

/* ---- snap-changes.c ---------------------------------------------------------- */

/* What a backup is one of, as "generation:number"; generation as the origin's. */
#define SNAP_ID (UUID_TEXT + 8)

/* The one of an image; "" if changed blocks are not tracked. */
void snap_id(char id[SNAP_ID], const struct snap_dev *origin, const struct snap_dev *image);

/*
 * The number in @id, if it is one of the origin's generation and not younger than the
 * image; else BOW_DONE: everything may have changed.
 */
int snap_parse_id(const char *id, const struct snap_dev *origin, const struct snap_dev *image,
		  u64 *number);

/* The image @name and its origin, of a list that the caller frees. */
int snap_image_read(struct snap_list *list, const char *name, const struct snap_dev **image,
		    const struct snap_dev **origin);

/*
 * Call @fn for each range, in bytes and in order, that has changed between snapshot
 * number @since and the image. Stops at the first result but 0.
 */
int snap_changes_each(const struct snap_dev *origin, const struct snap_dev *image, u64 since,
		      int (*fn)(u64 start, u64 length, void *data), void *data);

/* ---- snap-fiemap.c ----------------------------------------------------------- */

#define SNAP_MAX_EXTENTS 50000U

/* Where a file's blocks are, in whole pages. */
struct snap_map {
	unsigned int nr;	/* runs */
	u64 sectors;
	u64 first;		/* sector of the device that it begins with */
	u64 first_sectors;	/* so long is that run */
	u64 grain;		/* all places and lengths, in sectors, by "or" */
	u32 crc;		/* as the kernel's */
	bool written;		/* some have been written to */
	struct snap_disk_extents *table;	/* the runs as well, if there is room; or NULL */
};

/* Is it on a filesystem that we can do with? */
int snap_file_check_fs(const char *path, int fd);
/* Are its blocks all as if they were written to, whether they are or not? */
bool snap_file_always_written(int fd);
int snap_file_map(const char *path, int fd, struct snap_map *map);

#endif
