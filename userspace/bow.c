// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bow: checkpoint, commit and roll back devices under a dm-bow target.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bow.h"

static const struct command * const commands[] = {
	&cmd_create, &cmd_trim, &cmd_checkpoint, &cmd_commit, &cmd_remove,
	&cmd_status, &cmd_restore, &cmd_check, &cmd_dump,
};

static void print_usage(FILE *out)
{
	size_t i;

	fputs("Usage: bow <command> [options] <argument>...\n\n"
	      "Checkpoint a mounted filesystem's device without spare space; roll back offline.\n\n"
	      "Commands:\n", out);
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-11s %s\n", commands[i]->name,
			commands[i]->summary);
	fputs("\nOptions:\n"
	      "  -h, --help      this text; 'bow <command> --help' for a command\n"
	      "  -V, --version   the version\n\n"
	      "For more, see bow(8).\n", out);
}

static int print_version(void)
{
	puts("bow " BOW_VERSION);
	return BOW_OK;
}

int bow_common_option(const struct command *cmd, int option)
{
	switch (option) {
	case 'h':
		printf("Usage: bow %s %s\nFor more, see bow(8).\n", cmd->name,
		       cmd->usage);
		return BOW_OK;
	case 'V':
		return print_version();
	}
	/* getopt has said what is wrong */
	fprintf(stderr, "Try 'bow %s --help'.\n", cmd->name);
	return BOW_USAGE;
}

int bow_usage_error(const struct command *cmd, const char *what)
{
	error_msg("%s: %s", cmd->name, what);
	fprintf(stderr, "Try 'bow %s --help'.\n", cmd->name);
	return BOW_USAGE;
}

static bool take_flag(struct bow_flags *flags, int option)
{
	switch (option) {
	case 'n':
		flags->dry_run = true;
		return true;
	case 'q':
		flags->quiet = true;
		return true;
	case OPT_JSON:
		flags->json = true;
		return true;
	}
	return false;
}

/* The letters of the options that have one. */
static void make_letters(const struct option *options, char *letters)
{
	for (; options->name; options++)
		if (options->val < 256)
			*letters++ = (char)options->val;
	*letters = '\0';
}

int bow_parse(const struct command *cmd, int argc, char **argv,
	      const struct option *options, struct bow_flags *flags,
	      int (*take)(int option, void *data), void *data,
	      const char *wanted, const char **argument)
{
	char letters[16];
	int c, status;

	make_letters(options, letters);
	while ((c = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		if (take_flag(flags, c))
			continue;
		status = take ? take(c, data) : bow_common_option(cmd, c);
		if (status >= 0)
			return status;
	}
	if (optind + 1 != argc)
		return bow_usage_error(cmd, wanted);
	*argument = argv[optind];
	return -1;
}

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static int run(int argc, char **argv)
{
	const struct command *cmd;

	if (argc < 2) {
		print_usage(stderr);
		return BOW_USAGE;
	}
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help")) {
		print_usage(stdout);
		return BOW_OK;
	}
	if (!strcmp(argv[1], "-V") || !strcmp(argv[1], "--version"))
		return print_version();
	cmd = find_command(argv[1]);
	if (!cmd) {
		error_msg("unknown command '%s'", argv[1]);
		fputs("Try 'bow --help'.\n", stderr);
		return BOW_USAGE;
	}
	/* getopt says who complains: make that "bow: " as everywhere else */
	argv[1] = (char *)"bow";
	return cmd->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	int status = run(argc, argv);

	/* A report that could not be written is not a report. */
	if (ferror(stdout) || fclose(stdout)) {
		error_msg("standard output: %s", strerror(errno));
		return BOW_SYSTEM;
	}
	return status;
}
