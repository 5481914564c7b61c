// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which system has been booted, and what its boot loader is told.
 */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "boot.h"

extern char **environ;

/* ---- programs ----------------------------------------------------------------------- */

static int wait_for(pid_t pid, const char *name)
{
	int wstatus;

	while (waitpid(pid, &wstatus, 0) < 0)
		if (errno != EINTR)
			return fail(BOW_SYSTEM, "%s: %s", name, strerror(errno));
	if (WIFEXITED(wstatus) && !WEXITSTATUS(wstatus))
		return BOW_OK;
	return fail(BOW_SYSTEM, "%s: ended with %s %d", name,
		    WIFEXITED(wstatus) ? "status" : "signal",
		    WIFEXITED(wstatus) ? WEXITSTATUS(wstatus) : WTERMSIG(wstatus));
}

/* Its standard output goes to @out, or to stderr: ours is for reports. */
static int run(char * const *words, int out)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	r = posix_spawnp(&pid, words[0], &actions, NULL, words, environ);
	posix_spawn_file_actions_destroy(&actions);
	return r ? fail(BOW_SYSTEM, "%s: cannot be run: %s", words[0], strerror(r)) :
		   wait_for(pid, words[0]);
}

int system_run(char * const *words)
{
	fflush(stdout);
	return run(words, 2);
}

/* ---- identity ------------------------------------------------------------------------- */

/* A file, as a program can be waited for then, whatever it writes. */
static int from_command(const struct conf *conf, char system[BOOT_SYSTEM])
{
	int fd = memfd_create("system", MFD_CLOEXEC), status;
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r+");

	if (!file)
		return fail(BOW_SYSTEM, "no memory for what %s says: %s",
			    conf->system_words[0], strerror(errno));
	status = run(conf->system_words, fileno(file));
	rewind(file);
	if (!status && !fgets(system, BOOT_SYSTEM, file))
		system[0] = '\0';
	fclose(file);
	system[strcspn(system, "\n")] = '\0';
	if (!status && !*system)
		status = fail(BOW_SYSTEM, "%s: says nothing, so it is not known which system this is",
			      conf->system_words[0]);
	return status;
}

/* The last one counts, as it does for the kernel. */
static void find_parameter(char *line, const char *name, char system[BOOT_SYSTEM])
{
	size_t len = strlen(name);
	char *word, *rest = NULL;

	for (word = strtok_r(line, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest))
		if (!strncmp(word, name, len) && word[len] == '=')
			snprintf(system, BOOT_SYSTEM, "%s", word + len + 1);
}

static int from_cmdline(const struct conf *conf, char system[BOOT_SYSTEM])
{
	const char *path = getenv("BOW_BOOT_CMDLINE");	/* for tests */
	char line[4096];

	if (!path)
		path = "/proc/cmdline";
	if (!read_first_line(path, line, sizeof(line)))
		return fail(BOW_SYSTEM, "%s: cannot be read", path);
	find_parameter(line, conf->system_words[0], system);
	if (*system)
		return BOW_OK;
	return fail(BOW_SYSTEM, "the kernel command line has no '%s=', so it is not known which system this is; see 'set system' in %s",
		    conf->system_words[0], conf->path);
}

int system_booted(const struct conf *conf, char system[BOOT_SYSTEM])
{
	memset(system, 0, BOOT_SYSTEM);
	switch (conf->system) {
	case CONF_SYSTEM_CMDLINE:
		return from_cmdline(conf, system);
	case CONF_SYSTEM_COMMAND:
		return from_command(conf, system);
	default:
		return BOW_OK;
	}
}

void system_boot_id(char id[BOOT_ID])
{
	const char *path = getenv("BOW_BOOT_ID");	/* for tests: another file */

	memset(id, 0, BOOT_ID);
	if (!read_first_line(path ? path : "/proc/sys/kernel/random/boot_id", id, BOOT_ID))
		id[0] = '\0';
}
