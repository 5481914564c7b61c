// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A program of several commands: its table, options and exit statuses.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

static void print_usage(const struct program *program, FILE *out)
{
	size_t i;

	fprintf(out, "Usage: %s <command> [options] <argument>...\n\n%s\n\nCommands:\n",
		program->name, program->summary);
	for (i = 0; i < program->nr_commands; i++)
		fprintf(out, "  %-11s %s\n", program->commands[i]->name,
			program->commands[i]->summary);
	fprintf(out, "\nOptions:\n"
		"  -h, --help      this text; '%s <command> --help' for a command\n"
		"  -V, --version   the version\n\n"
		"For more, see %s(8).\n", program->name, program->name);
}

static int print_version(void)
{
	printf("%s " BOW_VERSION "\n", program_name);
	return BOW_OK;
}

static int try_help(const char *command)
{
	fprintf(stderr, "Try '%s%s%s --help'.\n", program_name,
		command ? " " : "", command ? command : "");
	return BOW_USAGE;
}

int bow_common_option(const struct command *cmd, int option)
{
	switch (option) {
	case 'h':
		printf("Usage: %s %s %s\nFor more, see %s(8).\n", program_name,
		       cmd->name, cmd->usage, program_name);
		return BOW_OK;
	case 'V':
		return print_version();
	}
	/* getopt has said what is wrong */
	return try_help(cmd->name);
}

int bow_usage_error(const struct command *cmd, const char *what)
{
	error_msg("%s: %s", cmd->name, what);
	return try_help(cmd->name);
}

int bow_stop_after_option(const struct command *cmd, u64 *number)
{
	return !parse_number(optarg, number) ? -1 :
	       bow_usage_error(cmd, "--stop-after wants a number");
}

int bow_memory_option(const struct command *cmd, u64 *bytes)
{
	return !parse_size(optarg, bytes) ? -1 :
	       bow_usage_error(cmd, "--memory wants a size, such as 512M");
}

static bool take_flag(struct bow_flags *flags, int option)
{
	switch (option) {
	case OPT_DRY_RUN:
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
	for (; options->name; options++) {
		if (options->val >= 256)
			continue;
		*letters++ = (char)options->val;
		if (options->has_arg)
			*letters++ = ':';
	}
	*letters = '\0';
}

int bow_parse_options(const struct command *cmd, int argc, char **argv,
		      const struct option *options, struct bow_flags *flags,
		      int (*take)(int option, void *data), void *data)
{
	char letters[32];
	int c, status;

	make_letters(options, letters);
	while ((c = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		/* A letter may mean a flag here and a value there. */
		if (!optarg && take_flag(flags, c))
			continue;
		status = take ? take(c, data) : bow_common_option(cmd, c);
		if (status >= 0)
			return status;
	}
	return -1;
}

int bow_parse(const struct command *cmd, int argc, char **argv,
	      const struct option *options, struct bow_flags *flags,
	      int (*take)(int option, void *data), void *data,
	      const char *wanted, const char **argument)
{
	int status = bow_parse_options(cmd, argc, argv, options, flags, take,
				       data);

	if (status >= 0)
		return status;
	if (optind + 1 != argc)
		return bow_usage_error(cmd, wanted);
	*argument = argv[optind];
	return -1;
}

static const struct command *find_command(const struct program *program,
					  const char *name)
{
	size_t i;

	for (i = 0; i < program->nr_commands; i++)
		if (!strcmp(program->commands[i]->name, name))
			return program->commands[i];
	return NULL;
}

static int run(const struct program *program, int argc, char **argv)
{
	const struct command *cmd;

	if (argc < 2) {
		print_usage(program, stderr);
		return BOW_USAGE;
	}
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help")) {
		print_usage(program, stdout);
		return BOW_OK;
	}
	if (!strcmp(argv[1], "-V") || !strcmp(argv[1], "--version"))
		return print_version();
	cmd = find_command(program, argv[1]);
	if (!cmd) {
		error_msg("unknown command '%s'", argv[1]);
		return try_help(NULL);
	}
	/* getopt says who complains: make that the program, as everywhere else */
	argv[1] = (char *)program->name;
	return cmd->run(argc - 1, argv + 1);
}

int program_main(const struct program *program, int argc, char **argv)
{
	int status;

	program_name = program->name;
	status = run(program, argc, argv);
	/* A report that could not be written is not a report. */
	if (ferror(stdout) || fclose(stdout)) {
		error_msg("standard output: %s", strerror(errno));
		return BOW_SYSTEM;
	}
	return status;
}
