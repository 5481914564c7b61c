/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bow.conf(5).
 */
#ifndef BOW_BOOT_CONF_H
#define BOW_BOOT_CONF_H

#include "rules.h"
#include "table.h"

#define CONF_PATH "/etc/bow.conf"
#define CONF_WORDS 32

struct conf_device {
	char *device;		/* a path, or TAG=value */
	char *name;		/* of the dm device */
	char *mountpoint;
	struct bow_table table;
	int line;
};

enum conf_system {
	CONF_SYSTEM_NONE,
	CONF_SYSTEM_CMDLINE,
	CONF_SYSTEM_COMMAND,
};

struct conf {
	const char *path;
	char *state;
	char *state_device;	/* or NULL: @state is a path like any other */
	char *state_fstype;
	enum conf_system system;
	char *system_words[CONF_WORDS];	/* NULL after the last, as execv() wants it */
	char *mark_good[CONF_WORDS];
	char *mark_bad[CONF_WORDS];
	enum boot_arm arm;
	u64 attempts;
	unsigned int nr;
	struct conf_device dev[BOOT_DEVICES];
};

/* 0 or an exit status, with the line and the reason told. */
int conf_read(struct conf *conf, const char *path);
void conf_free(struct conf *conf);

/* Number of the device with that name, or -1. */
int conf_find(const struct conf *conf, const char *name);

#endif
