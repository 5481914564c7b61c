/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blksnap: its commands, and what they know of origins and snapshots.
 */
#ifndef SNAP_H
#define SNAP_H

#include <sys/types.h>

#include "command.h"
#include "dm-task.h"
#include "mnt.h"

extern const struct command cmd_attach, cmd_detach, cmd_list, cmd_remove,
	cmd_take;

#define SNAP_ORIGIN_TARGET "blksnap-origin"
#define SNAP_TARGET "blksnap"

/*
 * What we make tells by its uuid what it is:
 *	BLKSNAP-ORIGIN-<uuid>			by attach --create
 *	BLKSNAP-REAL-<uuid>			what was attached, below
 *	BLKSNAP-<uuid of the set>-<n>-<name>	an image
 * A device that is attached live keeps its own: its table tells.
 */
#define SNAP_UUID_PREFIX "BLKSNAP-"
#define SNAP_ORIGIN_PREFIX "BLKSNAP-ORIGIN-"
#define SNAP_REAL_PREFIX "BLKSNAP-REAL-"
#define SNAP_REAL_SUFFIX "-real"

#define SNAP_SET_NAME 64	/* with its NUL: it must fit into a uuid */
#define SNAP_WORD 16

enum snap_kind {
	SNAP_OTHER, SNAP_ORIGIN, SNAP_IMAGE,
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

	/* Of origins and images. */
	bool understood;		/* its status is as we know it */
	char lower_text[32];		/* as the table has it, "8:16" */
	dev_t lower;
	char state[SNAP_WORD];
	u64 block_bytes;
	u64 memory, memory_peak;	/* bytes; of an image only the first */

	/* Of an origin. */
	u64 snapshots, blocks_copied, copies, groups;

	/* Of an image. */
	char store_text[32];
	dev_t store;
	u64 store_used, store_sectors;
	u64 blocks_kept, blocks_private;
	char set_uuid[UUID_TEXT];	/* "" if it was not made by this tool */
	char set_name[SNAP_SET_NAME];
	unsigned int set_index;
};

/* All origins and images, in the order of their names. */
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

/* Does the kernel have our targets? */
int snap_need_targets(void);

/* One command that changes something at a time; kept until we end. */
int snap_lock(void);

/* Only characters that need no escaping anywhere; @size has room for the NUL. */
bool snap_valid_name(const char *name, size_t size);

/* Neither suspended nor about to get another table? */
int snap_check_settled(const struct snap_dev *dev);

/* Nobody has it open or mounted? */
int snap_check_unused(const struct snap_dev *dev);

/* ---- snap-table.c ----------------------------------------------------------- */

/* A table as text, one line a target, each ended by a newline. */
char *snap_table_read(const char *name);
void snap_table_free(char *table);

/* 0 or -errno, nothing told. */
int snap_create(const char *name, const char *uuid, const char *table,
		bool hidden);
int snap_create_inactive(const char *name, const char *uuid, const char *table);
int snap_load(const char *name, const char *table);
int snap_clear(const char *name);
int snap_remove_uuid(const char *uuid);

/* A prefix and a random uuid. */
void snap_make_uuid(char text[BOW_DM_NAME], const char *prefix);

/* ---- snap-stack.c ----------------------------------------------------------- */

/* Is @dev the same as @below, or above it, through whatever lies between? */
bool snap_above(dev_t dev, dev_t below);

/* How many layers are below it. */
unsigned int snap_depth(dev_t dev);

/* ---- snap-store.c ------------------------------------------------------------ */

struct snap_store {
	const char *path;
	dev_t number;
	u64 bytes;
	bool shared;		/* other snapshots use it already */
};

/* Can it be used? Not if it is in use or, but for @force, has contents. */
int snap_store_check(struct snap_store *store, const char *path,
		     const struct snap_list *list, bool force);

/* Copies of superblocks in a store that nobody uses any more: erase them. */
void snap_store_wipe(dev_t number);

#endif
