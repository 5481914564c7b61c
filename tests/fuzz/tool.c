// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The commands of the tool as they are, on a device in memory.
 */
#include <json-c/json.h>
#include <sanitizer/asan_interface.h>

#include "bow.h"
#include "dev.h"
#include "inside.h"
#include "judge.h"
#include "snap.h"

char *tool_output;
static size_t output_size;
static struct disk *disk_of_tool;

/* A store inside is read by the tool's own code. */
static const struct layout whole = { .sectors = MAX_SECTORS };

static bool inside(void)
{
	return disk_of_tool->lay->store && !disk_of_tool->lay->origin;
}

static u64 first_of(const struct bow_dev *dev)
{
	return disk_of_tool->lay->origin && !strcmp(dev->path, "origin") ? COW_ORIGIN_BASE : 0;
}

/* As the one device that it is; and as it was. */
static int io(struct bow_dev *dev, bool writes, u64 sector, void *buf, u32 sectors)
{
	struct disk *disk = disk_of_tool;
	const struct layout *lay = disk->lay;
	int r;

	must(sector < dev->io.sectors && sectors <= dev->io.sectors - sector,
	     "I/O beyond the end of the %s", dev->path);
	if (inside())
		disk->lay = &whole;
	sector += first_of(dev);
	r = writes ? cow_write(&disk->io, sector, buf, sectors) :
		     cow_read(&disk->io, sector, buf, sectors);
	disk->lay = lay;
	return r;
}

/* With what the tool would like to see in block 0. */
static int tool_read(struct cow_io *cow_io, u64 sector, void *buf, u32 sectors)
{
	struct bow_dev *dev = container_of(cow_io, struct bow_dev, io);
	int r = io(dev, false, sector, buf, sectors);

	if (!r && dev->page0 && sector < COW_PAGE_SECTORS)
		memcpy(buf, (const u8 *)dev->page0 + sector * SECTOR,
		       min((u64)sectors, COW_PAGE_SECTORS - sector) * SECTOR);
	return r;
}

int bow_dev_read_quietly(struct bow_dev *dev, u64 sector, void *buf, u32 sectors)
{
	return io(dev, false, sector, buf, sectors);
}

static int tool_write(struct cow_io *cow_io, u64 sector, const void *buf, u32 sectors)
{
	return io(container_of(cow_io, struct bow_dev, io), true, sector, (void *)buf, sectors);
}

static int tool_flush(struct cow_io *cow_io)
{
	(void)cow_io;
	return cow_flush(&disk_of_tool->io);
}

static const struct cow_io_ops tool_ops = { tool_read, tool_write, tool_flush, NULL };

int bow_dev_open(struct bow_dev *dev, const char *path, bool writable)
{
	memset(dev, 0, sizeof(*dev));
	dev->path = path;
	dev->block = true;
	dev->io.ops = &tool_ops;
	dev->io.atomic_sectors = disk_of_tool->io.atomic_sectors;
	dev->io.sectors = strcmp(path, "store") ? disk_of_tool->lay->sectors :
						  disk_of_tool->lay->store;
	if (!writable)
		disk_of_tool->read_only = true;
	return 0;
}

void bow_dev_keep(struct bow_dev *dev, u64 bytes)
{
	(void)dev;
	(void)bytes;
}

void bow_dev_close(struct bow_dev *dev)
{
	(void)dev;
}

/* The rest of the tool is about live devices. */
const struct command cmd_boot, cmd_checkpoint, cmd_commit, cmd_create, cmd_remove,
	cmd_status, cmd_trim;

/* What is called cmd_check and cmd_restore there: see the Makefile. */
extern const struct command snap_check, snap_restore;

static const struct command * const commands[] = { &cmd_check, &cmd_dump, &cmd_restore };
static const struct command * const snap_commands[] = { &snap_check, &snap_restore };

/* A store that is a file is made a device first: nothing of that here. */
bool snap_was_store(const char *path)
{
	(void)path;
	return false;
}

int snap_reopen(struct snap_reopened *again, const char *path, const char *origin)
{
	(void)again;
	(void)path;
	(void)origin;
	return BOW_SYSTEM;
}

void snap_reopen_end(const struct snap_reopened *again)
{
	(void)again;
}

int snap_begin(void)
{
	return BOW_SYSTEM;
}

int snap_lock(void)
{
	return BOW_SYSTEM;
}

void snap_unlock(void)
{
}

int inside_find(const char *device, const char *path, u64 *sector)
{
	(void)device;
	(void)path;
	(void)sector;
	return BOW_SYSTEM;
}

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

static const struct command *find(const struct command * const *list, const char *name)
{
	while (strcmp((*list)->name, name))
		list++;
	return *list;
}

static int run(const char *command, const char *option)
{
	const char *argv[8] = { command };
	int n = 1;

	if (option)
		argv[n++] = option;
	if (input_inside(&input)) {
		argv[n++] = "--sector";
		argv[n++] = INSIDE_FIRST_TEXT;
	} else if (input_apart(&input)) {
		argv[n++] = "--store";
		argv[n++] = "store";
	}
	argv[n++] = input_apart(&input) ? "origin" : "image";
	optind = 0;
	return find(input_apart(&input) ? snap_commands : commands, command)->run(n, (char **)argv);
}

int tool_run(struct disk *disk, const char *command, const char *option)
{
	FILE *screen = stdout;
	int status;

	disk_of_tool = disk;
	disk_revive(disk);
	free(tool_output);
	tool_output = NULL;
	stdout = open_memstream(&tool_output, &output_size);
	must(stdout, "no memory for the output");
	status = run(command, option);
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

/* ---- a store inside, of itself --------------------------------------------------- */

static void check_extents(const struct inside *in, const struct layout *want)
{
	u32 i;

	must(in->io.sectors == want->store && in->nr == want->nr, "another store");
	for (i = 0; i < want->nr; i++)
		must(in->extents[i].start == want->pieces[i].start &&
		     in->extents[i].place == want->pieces[i].place &&
		     in->extents[i].sectors == want->pieces[i].sectors, "another extent %u", i);
}

/* Whatever is written, over the ends of extents, is written there and read again. */
static void check_io(struct inside *in, u64 sector, u32 sectors)
{
	static u8 out[64 * SECTOR], back[sizeof(out)];
	u64 i;

	for (i = 0; i < sizeof(out); i++)
		out[i] = (u8)(i / SECTOR * 31 + i);
	must(!cow_write(&in->io, sector, out, sectors) && !cow_read(&in->io, sector, back, sectors) &&
	     !memcmp(out, back, sectors * SECTOR), "not what was written");
	must(cow_read(&in->io, in->io.sectors - 1, back, 2) && cow_read(&in->io, ~0ULL, back, 1) &&
	     cow_write(&in->io, in->io.sectors, out, 1), "I/O beyond the end");
}

static void check_written(const struct layout *lay, u64 sector, u32 sectors)
{
	u64 at;

	for (at = disk_differs(disk_of_tool, &given, 0); at < given.sectors;
	     at = disk_differs(disk_of_tool, &given, at + 1))
		must(layout_sector(lay, at) - sector < sectors, "sector %llu of the device",
		     (unsigned long long)at);
}

/* One after the other here: what is done when there is no io_uring. */
int bow_dev_copy(struct bow_dev *from, u64 from_sector, struct bow_dev *to, u64 to_sector,
		 u32 sectors)
{
	(void)from;
	(void)from_sector;
	(void)to;
	(void)to_sector;
	(void)sectors;
	return -EOPNOTSUPP;
}

void tool_try_inside(struct disk *disk, u64 sector, const struct layout *want)
{
	u32 sectors = (u32)min(64ULL, want->store);
	u64 to = (want->store - sectors) / 8 * input.cut / 255 * 8;
	struct inside in;
	struct bow_dev dev;
	int status;

	disk_of_tool = disk;
	disk_revive(disk);
	bow_dev_open(&dev, "image", true);
	disk->read_only = true;
	status = inside_open(&in, &dev, sector);
	must(status == (want->store ? BOW_OK : BOW_REFUSED), "status %d of a store at %llu", status,
	     (unsigned long long)sector);
	if (!status) {
		disk->read_only = false;
		check_extents(&in, want);
		check_io(&in, to, sectors);
		check_written(want, to, sectors);
		inside_close(&in);
	}
	bow_dev_close(&dev);
	disk_revive(disk);
}
