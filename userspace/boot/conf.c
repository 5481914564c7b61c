// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bow.conf: one thing a line, words between white space.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "command.h"
#include "conf.h"
#include "dm-task.h"

/* What is read at the moment. */
struct parse {
	struct conf *conf;
	int line;
	char *words[CONF_WORDS];
	unsigned int nr;
	int seen[16];		/* in which line each setting was */
	int arm;		/* that of `set arm` */
};

static int complain(const struct parse *p, const char *fmt, ...) printf_like(2, 3);

static int complain(const struct parse *p, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return fail(BOW_USAGE, "%s:%d: %s", p->conf->path, p->line, text);
}

static int out_of_memory(void)
{
	return fail(BOW_SYSTEM, "out of memory");
}

/* ---- words -------------------------------------------------------------------- */

static void forget_words(char **words)
{
	for (; *words; words++) {
		free(*words);
		*words = NULL;
	}
}

/* A copy of the words from @first on. */
static int keep_words(const struct parse *p, unsigned int first, char **to)
{
	unsigned int i;

	for (i = first; i < p->nr; i++) {
		to[i - first] = strdup(p->words[i]);
		if (!to[i - first])
			return out_of_memory();
	}
	return BOW_OK;
}

static int keep_word(const struct parse *p, unsigned int i, char **to)
{
	*to = strdup(p->words[i]);
	return *to ? BOW_OK : out_of_memory();
}

/* A # begins a comment where a word might begin. */
static int split(struct parse *p, char *line)
{
	char *word, *rest = NULL;

	p->nr = 0;
	for (word = strtok_r(line, " \t\r\n", &rest); word && *word != '#';
	     word = strtok_r(NULL, " \t\r\n", &rest)) {
		if (p->nr == CONF_WORDS - 1)
			return complain(p, "more than %d words; put them into a script", CONF_WORDS - 1);
		p->words[p->nr++] = word;
	}
	return BOW_OK;
}

/* ---- settings -------------------------------------------------------------------- */

static int set_state(struct parse *p)
{
	if (p->nr != 3)
		return complain(p, "set state wants one path");
	return keep_word(p, 2, &p->conf->state);
}

static int set_state_device(struct parse *p)
{
	int status;

	if (p->nr != 4)
		return complain(p, "set state_device wants a device and the type of its filesystem, as in 'LABEL=BOOT vfat'");
	status = keep_word(p, 2, &p->conf->state_device);
	return status ? status : keep_word(p, 3, &p->conf->state_fstype);
}

static int set_system(struct parse *p)
{
	struct conf *conf = p->conf;

	if (p->nr == 3 && !strcmp(p->words[2], "none"))
		return BOW_OK;
	if (p->nr == 4 && !strcmp(p->words[2], "cmdline"))
		conf->system = CONF_SYSTEM_CMDLINE;
	else if (p->nr >= 4 && !strcmp(p->words[2], "command"))
		conf->system = CONF_SYSTEM_COMMAND;
	else
		return complain(p, "set system wants 'cmdline PARAMETER', 'command PATH ARGUMENT...' or 'none'");
	return keep_words(p, 3, conf->system_words);
}

static int set_arm(struct parse *p)
{
	static const char * const words[] = {
		[BOOT_ARM_MANUAL] = "manual",
		[BOOT_ARM_NEW_SYSTEM] = "new-system",
		[BOOT_ARM_EVERY_BOOT] = "every-boot",
	};
	size_t i;

	for (i = 0; p->nr == 3 && i < ARRAY_SIZE(words); i++)
		if (!strcmp(p->words[2], words[i])) {
			p->conf->arm = (enum boot_arm)i;
			p->arm = p->line;
			return BOW_OK;
		}
	return complain(p, "set arm wants 'manual', 'new-system' or 'every-boot'");
}

static int set_attempts(struct parse *p)
{
	if (p->nr == 3 && !parse_number(p->words[2], &p->conf->attempts) &&
	    p->conf->attempts && p->conf->attempts <= 1000)
		return BOW_OK;
	return complain(p, "set attempts wants a number from 1 to 1000");
}

static int set_mark_good(struct parse *p)
{
	if (p->nr < 3)
		return complain(p, "set mark_good wants a command; leave the line away if there is none");
	return keep_words(p, 2, p->conf->mark_good);
}

static int set_mark_bad(struct parse *p)
{
	if (p->nr < 3)
		return complain(p, "set mark_bad wants a command; leave the line away if there is none");
	return keep_words(p, 2, p->conf->mark_bad);
}

static const struct {
	const char *key;
	int (*set)(struct parse *p);
} settings[] = {
	{ "state", set_state },
	{ "state_device", set_state_device },
	{ "system", set_system },
	{ "arm", set_arm },
	{ "attempts", set_attempts },
	{ "mark_good", set_mark_good },
	{ "mark_bad", set_mark_bad },
};

static int take_setting(struct parse *p)
{
	size_t i;

	for (i = 0; p->nr > 1 && i < ARRAY_SIZE(settings); i++) {
		if (strcmp(p->words[1], settings[i].key))
			continue;
		if (p->seen[i])
			return complain(p, "%s is set twice; line %d is the first", p->words[1], p->seen[i]);
		p->seen[i] = p->line;
		return settings[i].set(p);
	}
	return complain(p, "unknown setting '%s'; see bow.conf(5)", p->nr > 1 ? p->words[1] : "");
}

/* ---- devices ------------------------------------------------------------------------ */

static int take_option(struct parse *p, struct bow_table *table, char *option)
{
	char *value = strchr(option, '=');

	if (!strcmp(option, "defaults"))
		return BOW_OK;
	if (!value)
		return complain(p, "option '%s' has no value", option);
	*value++ = '\0';
	if (!strcmp(option, "on_full")) {
		table->on_full = bow_table_policy(value);
		return table->on_full ? BOW_OK : complain(p, "on_full wants fail, hold or commit");
	}
	if (!strcmp(option, "low_water")) {
		table->has_low_water = true;
		return !parse_number(value, &table->low_water) ? BOW_OK :
			complain(p, "low_water wants a number of blocks");
	}
	if (!strcmp(option, "block_size"))
		return bow_table_block_size(value, &table->block_size) ? BOW_OK :
			complain(p, "block_size wants a power of two from 4K to 1M");
	return complain(p, "unknown option '%s'; on_full, low_water and block_size are known", option);
}

static int take_options(struct parse *p, struct bow_table *table, char *options)
{
	char *option, *rest = NULL;
	int status = BOW_OK;

	for (option = strtok_r(options, ",", &rest); option && !status;
	     option = strtok_r(NULL, ",", &rest))
		status = take_option(p, table, option);
	return status;
}

/* Links of udev that are made of what the filesystem says. */
static bool is_hidden_link(const char *spec)
{
	return !strncmp(spec, "/dev/disk/by-uuid/", 18) ||
	       !strncmp(spec, "/dev/disk/by-label/", 19);
}

/* A live log hides the filesystem, and with it its label and uuid. */
static int check_spec(const struct parse *p, const char *spec)
{
	if ((*spec == '/' && !is_hidden_link(spec)) || !strncmp(spec, "PARTUUID=", 9) ||
	    !strncmp(spec, "PARTLABEL=", 10))
		return BOW_OK;
	if (*spec == '/' || strchr(spec, '='))
		return complain(p, "%s cannot be found while there is a checkpoint, which hides the filesystem; name the partition: PARTUUID=, PARTLABEL= or a path", spec);
	return complain(p, "unknown word '%s'; a line begins with 'set', or with a device: a path, PARTUUID= or PARTLABEL=", spec);
}

static int check_new(const struct parse *p, const struct conf_device *dev)
{
	const struct conf *conf = p->conf;
	unsigned int i;

	if (strlen(dev->name) >= BOW_DM_NAME || strchr(dev->name, '/'))
		return complain(p, "the name '%s' must be short and without '/'", dev->name);
	if (!strncmp(dev->device, "/dev/mapper/", 12) && !strcmp(dev->device + 12, dev->name))
		return complain(p, "%s is what is made of the device; name what is below it", dev->device);
	if (*dev->mountpoint != '/')
		return complain(p, "the mount point '%s' must begin with '/'", dev->mountpoint);
	for (i = 0; i < conf->nr; i++) {
		const struct conf_device *other = &conf->dev[i];

		if (!strcmp(other->name, dev->name))
			return complain(p, "the name '%s' is taken by line %d; choose another", dev->name, other->line);
		if (!strcmp(other->device, dev->device))
			return complain(p, "%s is in line %d already; keep one of them", dev->device, other->line);
		if (!strcmp(other->mountpoint, dev->mountpoint))
			return complain(p, "%s is in line %d already; keep one of them", dev->mountpoint, other->line);
	}
	return BOW_OK;
}

static int take_device(struct parse *p)
{
	struct conf_device *dev = &p->conf->dev[p->conf->nr];
	int status = check_spec(p, p->words[0]);

	if (status)
		return status;
	if (p->nr != 4)
		return complain(p, "a device wants four words: DEVICE NAME MOUNTPOINT OPTIONS; 'defaults' if there are no options");
	if (p->conf->nr == BOOT_DEVICES)
		return complain(p, "more than %d devices", BOOT_DEVICES);
	dev->line = p->line;
	dev->device = strdup(p->words[0]);
	dev->name = strdup(p->words[1]);
	dev->mountpoint = strdup(p->words[2]);
	p->conf->nr++;
	if (!dev->device || !dev->name || !dev->mountpoint)
		return out_of_memory();
	status = take_options(p, &dev->table, p->words[3]);
	p->conf->nr--;		/* it is not to be compared with itself */
	if (!status)
		status = check_new(p, dev);
	p->conf->nr++;
	return status;
}

/* ---- all of it ----------------------------------------------------------------------- */

/* Is the file @path on the filesystem that is mounted at @mountpoint, by its name? */
static bool is_below(const char *path, const char *mountpoint)
{
	size_t len = strlen(mountpoint);

	return len > 1 && !strncmp(path, mountpoint, len) &&
	       (path[len] == '/' || mountpoint[len - 1] == '/');
}

static int check_devices(struct parse *p)
{
	struct conf *conf = p->conf;
	unsigned int i;

	for (i = 0; i < conf->nr; i++) {
		const struct conf_device *dev = &conf->dev[i];

		p->line = dev->line;
		/* A checkpoint may be given up for a system that is marked good, only. */
		if (dev->table.on_full && !strcmp(dev->table.on_full, "commit") &&
		    (conf->system != CONF_SYSTEM_NONE || conf->nr > 1))
			return complain(p, "on_full=commit could give the checkpoint up before the new system is good, or one of several; choose fail or hold");
		if (!conf->state_device && is_below(conf->state, dev->mountpoint))
			return complain(p, "the state file %s would be rolled back with %s; put it elsewhere", conf->state, dev->mountpoint);
	}
	return BOW_OK;
}

static int check_arm(struct parse *p)
{
	const struct conf *conf = p->conf;

	p->line = p->arm;
	if (conf->arm == BOOT_ARM_EVERY_BOOT && conf->system != CONF_SYSTEM_NONE)
		return complain(p, "'arm every-boot' forgets whatever a boot has done, of any system; set system none");
	if (conf->arm == BOOT_ARM_NEW_SYSTEM && conf->system == CONF_SYSTEM_NONE)
		return complain(p, "'arm new-system' wants to know which system it is; set system cmdline or command");
	return BOW_OK;
}

static int check_all(struct parse *p)
{
	struct conf *conf = p->conf;
	int status;

	if (!conf->state)
		return complain(p, "no state file is named; add 'set state PATH'");
	if (!conf->state_device && *conf->state != '/')
		return complain(p, "the state file wants a path from '/' on");
	if (!conf->nr)
		return complain(p, "no device; add a line DEVICE NAME MOUNTPOINT OPTIONS");
	status = check_arm(p);
	return status ? status : check_devices(p);
}

static int read_lines(struct parse *p, FILE *file)
{
	char *line = NULL;
	size_t size = 0;
	int status = BOW_OK;

	while (!status && getline(&line, &size, file) >= 0) {
		p->line++;
		status = split(p, line);
		if (status || !p->nr)
			continue;
		status = !strcmp(p->words[0], "set") ? take_setting(p) : take_device(p);
	}
	if (!status && ferror(file))
		status = fail(BOW_SYSTEM, "%s: %s", p->conf->path, strerror(errno));
	free(line);
	return status;
}

int conf_read(struct conf *conf, const char *path)
{
	struct parse p = { .conf = conf };
	FILE *file = fopen(path, "re");
	int status;

	memset(conf, 0, sizeof(*conf));
	conf->path = path;
	conf->attempts = 3;
	if (!file)
		return fail(BOW_USAGE, "%s: %s; bow.conf(5) says what is to be in it", path,
			    strerror(errno));
	status = read_lines(&p, file);
	fclose(file);
	return status ? status : check_all(&p);
}

void conf_free(struct conf *conf)
{
	unsigned int i;

	for (i = 0; i < conf->nr; i++) {
		free(conf->dev[i].device);
		free(conf->dev[i].name);
		free(conf->dev[i].mountpoint);
	}
	free(conf->state);
	free(conf->state_device);
	free(conf->state_fstype);
	forget_words(conf->system_words);
	forget_words(conf->mark_good);
	forget_words(conf->mark_bad);
}

int conf_find(const struct conf *conf, const char *name)
{
	unsigned int i;

	for (i = 0; i < conf->nr; i++)
		if (!strcmp(conf->dev[i].name, name))
			return (int)i;
	return -1;
}
