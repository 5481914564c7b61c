// SPDX-License-Identifier: GPL-2.0-only
#include "logdisk.h"

static unsigned int allocations_left;
static bool out_of_memory;

void *__real_calloc(size_t nr, size_t size);
void *__wrap_calloc(size_t nr, size_t size);

void *__wrap_calloc(size_t nr, size_t size)
{
	if (out_of_memory || (allocations_left && !--allocations_left))
		return NULL;
	return __real_calloc(nr, size);
}

void fail_allocation(unsigned int nth)
{
	allocations_left = nth;
}

void fail_allocations(bool all)
{
	out_of_memory = all;
}

static struct logdisk *to_disk(struct cow_io *io)
{
	return container_of(io, struct logdisk, io);
}

static int mem_read(struct cow_io *io, u64 sector, void *buf, u32 sectors)
{
	struct logdisk *disk = to_disk(io);

	if (sector + sectors > io->sectors ||
	    (disk->fail_read >= sector && disk->fail_read < sector + sectors))
		return -EIO;
	memcpy(buf, disk->mem + sector * 512, sectors * 512);
	return 0;
}

static int mem_write(struct cow_io *io, u64 sector, const void *buf, u32 sectors)
{
	struct logdisk *disk = to_disk(io);

	disk->writes++;
	if (sector + sectors > io->sectors)
		return -EIO;
	memcpy(disk->mem + sector * 512, buf, sectors * 512);
	return 0;
}

static int mem_flush(struct cow_io *io)
{
	return to_disk(io)->flush_error;
}

static const struct cow_io_ops mem_ops = {
	.read = mem_read,
	.write = mem_write,
	.flush = mem_flush,
};

void logdisk_init(struct logdisk *disk)
{
	u64 block;

	memset(disk, 0, sizeof(*disk));
	disk->io.ops = &mem_ops;
	disk->io.sectors = (u64)BLOCKS * BS;
	disk->io.atomic_sectors = 1;
	disk->fail_read = ~0ULL;
	disk->mem = malloc(disk->io.sectors * 512);
	for (block = 0; block < BLOCKS; block++)
		logdisk_fill(disk, block, 1, (u8)(block * 7 + 1));
	memset(disk->head.uuid, 0x5a, sizeof(disk->head.uuid));
	disk->head.state = COW_LOG_CHECKPOINT;
	disk->head.device_sectors = disk->io.sectors;
	disk->head.block_sectors = BS;
	disk->head.slot1 = SLOT1 * BS;
	disk->head.hidden_count = 1;
	disk->head.hidden[0].live = LIVE0 * BS;
	disk->head.generation = 10;
	logdisk_backup(disk, 0, BACKUP0, 1, BACKUP0);
}

void logdisk_exit(struct logdisk *disk)
{
	free(disk->mem);
}

u8 *logdisk_block(struct logdisk *disk, u64 block)
{
	return disk->mem + block * BS * 512;
}

void logdisk_fill(struct logdisk *disk, u64 block, u64 nr, u8 what)
{
	memset(logdisk_block(disk, block), what, nr * BS * 512);
}

void logdisk_raw(struct logdisk *disk, const struct cow_record *record)
{
	struct cow_log log = { .head = disk->head, .tail = &disk->page };

	cow_log_add(&log, record);
	disk->head.record_count = log.head.record_count;
}

void logdisk_backup(struct logdisk *disk, u64 source, u64 dest, u64 nr, u64 data)
{
	u32 sectors = (u32)min(nr * BS, disk->io.sectors - source * BS);
	struct cow_record record = {
		.kind = COW_RECORD_BACKUP,
		.source = source * BS,
		.dest = dest * BS,
		.sectors = sectors,
		.crc = cow_crc(logdisk_block(disk, data), sectors * 512),
	};

	logdisk_raw(disk, &record);
}

void logdisk_void(struct logdisk *disk, u64 source, u64 dest)
{
	struct cow_record record = {
		.kind = COW_RECORD_VOID, .source = source * BS, .dest = dest * BS,
	};

	logdisk_raw(disk, &record);
}

void logdisk_extent(struct logdisk *disk, u32 kind, u64 start, u64 nr)
{
	struct cow_record record = {
		.kind = kind, .source = start * BS, .dest = nr * BS,
	};

	logdisk_raw(disk, &record);
}

void logdisk_write(struct logdisk *disk, u64 block)
{
	disk->head.generation++;
	cow_page_encode(&disk->page, &disk->head);
	memcpy(logdisk_block(disk, block), &disk->page, sizeof(disk->page));
}

void logdisk_seal(struct logdisk *disk, u64 block)
{
	logdisk_write(disk, block);
	disk->head.sequence++;
	disk->head.prev_place = block * BS;
	disk->head.prev_generation = disk->head.generation;
	disk->head.record_count = 0;
	memset(&disk->page, 0, sizeof(disk->page));
}

void logdisk_finish(struct logdisk *disk)
{
	logdisk_write(disk, SLOT1);
	logdisk_write(disk, 0);
}

struct logdisk disk;

int disk_setup(void **data)
{
	(void)data;
	logdisk_init(&disk);
	return 0;
}

int disk_teardown(void **data)
{
	(void)data;
	logdisk_exit(&disk);
	return 0;
}

enum cow_log_error logdisk_read(struct logdisk *disk, struct cow_picture *pic,
				enum cow_picture_depth depth)
{
	if (cow_picture_init(pic, &disk->io))
		return COW_LOG_NO_MEMORY;
	return cow_picture_read(pic, depth);
}
