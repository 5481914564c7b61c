// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The commands of the tool as they are, on a device in memory.
 */
#include <json-c/json.h>
#include <sanitizer/asan_interface.h>

#include "fuzz.h"
#include "bow.h"
#include "dev.h"

char *tool_output;
static size_t output_size;
static struct disk *disk_of_tool;

/* With what the tool would like to see in block 0. */
static int tool_read(struct cow_io *io, u64 sector, void *buf, u32 sectors)
{
	struct bow_dev *dev = container_of(io, struct bow_dev, io);
	int r = cow_read(&disk_of_tool->io, sector, buf, sectors);

	if (!r && dev->page0 && sector < COW_PAGE_SECTORS)
		memcpy(buf, (const u8 *)dev->page0 + sector * SECTOR,
		       min((u64)sectors, COW_PAGE_SECTORS - sector) * SECTOR);
	return r;
}

int bow_dev_read_quietly(struct bow_dev *dev, u64 sector, void *buf, u32 sectors)
{
	(void)dev;
	return cow_read(&disk_of_tool->io, sector, buf, sectors);
}

static int tool_write(struct cow_io *io, u64 sector, const void *buf, u32 sectors)
{
	(void)io;
	return cow_write(&disk_of_tool->io, sector, buf, sectors);
}

static int tool_flush(struct cow_io *io)
{
	(void)io;
	return cow_flush(&disk_of_tool->io);
}

static const struct cow_io_ops tool_ops = { tool_read, tool_write, tool_flush };

int bow_dev_open(struct bow_dev *dev, const char *path, bool writable)
{
	memset(dev, 0, sizeof(*dev));
	dev->path = path;
	dev->block = true;
	dev->io = disk_of_tool->io;
	dev->io.ops = &tool_ops;
	if (!writable)
		disk_of_tool->read_only = true;
	return 0;
}

void bow_dev_close(struct bow_dev *dev)
{
	(void)dev;
}

/* The rest of the tool is about live devices. */
const struct command cmd_checkpoint, cmd_commit, cmd_create, cmd_remove,
	cmd_status, cmd_trim;

static const struct command * const commands[] = { &cmd_check, &cmd_dump, &cmd_restore };

/*
 * A picture's buffer is a megabyte, of which little is ever used. Getting it
 * from the system and zeroing it would be most of what the fuzzer does.
 */
#define BUFFER (COW_MAX_RUN_SECTORS * SECTOR)

static struct {
	void *at;
	bool used;
} pool[4];

void *__real_calloc(size_t nr, size_t size);
void *__wrap_calloc(size_t nr, size_t size);
void __real_free(void *at);
void __wrap_free(void *at);

void *__wrap_calloc(size_t nr, size_t size)
{
	unsigned int i = 0;

	if (nr != 1 || size != BUFFER)
		return __real_calloc(nr, size);
	while (pool[i].used)
		must(++i < ARRAY_SIZE(pool), "too many pictures at a time");
	if (!pool[i].at)
		pool[i].at = malloc(BUFFER);
	pool[i].used = true;
	ASAN_UNPOISON_MEMORY_REGION(pool[i].at, BUFFER);
	return pool[i].at;
}

void __wrap_free(void *at)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pool); i++)
		if (at && at == pool[i].at) {
			must(pool[i].used, "freed twice");
			pool[i].used = false;
			ASAN_POISON_MEMORY_REGION(at, BUFFER);
			return;
		}
	__real_free(at);
}

int tool_run(struct disk *disk, const char *command, const char *option)
{
	char *argv[4] = { (char *)command, (char *)option, (char *)"image", NULL };
	FILE *screen = stdout;
	unsigned int i = 0;
	int status;

	if (!option)
		argv[1] = argv[2];
	disk_of_tool = disk;
	disk_revive(disk);
	free(tool_output);
	tool_output = NULL;
	stdout = open_memstream(&tool_output, &output_size);
	must(stdout, "no memory for the output");
	optind = 0;
	while (strcmp(commands[i]->name, command))
		i++;
	status = commands[i]->run(option ? 3 : 2, argv);
	fclose(stdout);
	stdout = screen;
	disk_revive(disk);
	return status;
}

bool tool_output_is_json(void)
{
	struct json_object *obj = json_tokener_parse(tool_output);
	bool good = json_object_is_type(obj, json_type_object);

	json_object_put(obj);
	return good;
}
