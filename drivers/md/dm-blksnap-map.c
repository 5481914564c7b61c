// SPDX-License-Identifier: GPL-2.0-only
/*
 * The target blksnap-map: which blocks of an origin have changed, to be read.
 */
#include <linux/module.h>
#include <linux/uuid.h>
#include <linux/dm-blksnap-map.h>

#include "dm-blksnap.h"

#define DM_MSG_PREFIX "blksnap-map"

/* What one table line asks for. */
struct map_target {
	struct dm_dev *dev;
	struct snap_origin *origin;
	u32 number;
	u32 restarts;			/* of the generation that was asked for */
	struct snap_map_header header;
};

/* ---- reading ------------------------------------------------------------ */

/* From the start of the header on; behind it there are zeroes. */
static void fill_header(const struct map_target *mt, u8 *to, u64 from, u32 len)
{
	u32 nr = from < sizeof(mt->header) ? min_t(u64, len, sizeof(mt->header) - from) : 0;

	memset(to, 0, len);
	memcpy(to, (const u8 *)&mt->header + from, nr);
}

static void fill_values(const struct map_target *mt, u8 *to, u64 from, u32 len)
{
	const struct snap_cbt *cbt = &mt->origin->cbt;
	u64 block = from / sizeof(__le16);
	__le16 *value = (__le16 *)to;

	BUILD_BUG_ON(SNAP_CBT_FORGOTTEN != SNAP_MAP_FORGOTTEN);
	for (; len; len -= sizeof(*value), block++)
		*value++ = cpu_to_le16(block < cbt->nr ?
				       snap_cbt_value(cbt, block, mt->number) : 0);
}

/* @from is a byte of the device; all sizes are multiples of a sector. */
static void fill(const struct map_target *mt, u8 *to, u64 from, u32 len)
{
	u32 nr = from < SNAP_MAP_START ? min_t(u64, len, SNAP_MAP_START - from) : 0;

	if (nr)
		fill_header(mt, to, from, nr);
	if (nr < len)
		fill_values(mt, to + nr, from + nr - SNAP_MAP_START, len - nr);
}

static void fill_bio(const struct map_target *mt, struct bio *bio)
{
	struct bvec_iter iter;
	struct bio_vec bv;
	u8 *to;

	bio_for_each_segment(bv, bio, iter) {
		to = bvec_kmap_local(&bv);
		fill(mt, to, (u64)iter.bi_sector << SECTOR_SHIFT, bv.bv_len);
		kunmap_local(to);
		flush_dcache_page(bv.bv_page);
	}
}

static int map_map(struct dm_target *ti, struct bio *bio)
{
	const struct map_target *mt = ti->private;

	if (bio_op(bio) != REQ_OP_READ)
		return DM_MAPIO_KILL;
	fill_bio(mt, bio);
	/* The numbers may have run out meanwhile. */
	smp_rmb();
	if (READ_ONCE(mt->origin->cbt.restarts) != mt->restarts)
		return DM_MAPIO_KILL;
	bio_endio(bio);
	return DM_MAPIO_SUBMITTED;
}

/* ---- constructor -------------------------------------------------------- */

static struct snap_origin *find_origin(struct map_target *mt)
{
	struct snap_origin *origin;

	cow_registry_lock();
	origin = snap_origin_find(mt->dev->bdev);
	if (origin)
		origin->dev.users++;
	cow_registry_unlock();
	return origin;
}

/* The origin's lock is held: no generation begins meanwhile. */
static int check_map(struct dm_target *ti, struct map_target *mt, const uuid_t *generation)
{
	const struct snap_cbt *cbt = &mt->origin->cbt;

	if (!cbt->entries) {
		ti->error = "Changed blocks are not tracked";
		return -EOPNOTSUPP;
	}
	mt->restarts = READ_ONCE(cbt->restarts);
	if (memcmp(cbt->generation, generation, sizeof(cbt->generation))) {
		ti->error = "No such generation any more";
		return -ESTALE;
	}
	if (!mt->number || mt->number >= READ_ONCE(cbt->epoch)) {
		ti->error = "No snapshot has that number yet";
		return -EINVAL;
	}
	if (ti->begin || ti->len > DIV_ROUND_UP(SNAP_MAP_START + 2 * cbt->nr, SECTOR_SIZE)) {
		ti->error = "There is not that much to be read";
		return -EINVAL;
	}
	return 0;
}

static void make_header(struct map_target *mt)
{
	const struct snap_cbt *cbt = &mt->origin->cbt;

	memcpy(mt->header.magic, SNAP_MAP_MAGIC, sizeof(mt->header.magic));
	mt->header.version = cpu_to_le32(SNAP_MAP_VERSION);
	mt->header.number = cpu_to_le32(mt->number);
	memcpy(mt->header.generation, cbt->generation, sizeof(cbt->generation));
	mt->header.sectors = cpu_to_le64(mt->origin->dev.cow.geo.sectors);
	mt->header.blocks = cpu_to_le64(cbt->nr);
	mt->header.block_sectors = cpu_to_le32(1U << cbt->shift);
}

static void map_release(struct dm_target *ti, struct map_target *mt)
{
	if (mt->origin)
		cow_registry_put(&mt->origin->dev);
	if (mt->dev)
		dm_put_device(ti, mt->dev);
	kfree(mt);
}

static void map_dtr(struct dm_target *ti)
{
	map_release(ti, ti->private);
}

static int get_map(struct dm_target *ti, struct map_target *mt, char **argv)
{
	uuid_t generation;
	int r;

	if (uuid_parse(argv[1], &generation) || kstrtouint(argv[2], 10, &mt->number)) {
		ti->error = "Arguments: device, generation, number";
		return -EINVAL;
	}
	r = dm_get_device(ti, argv[0], dm_table_get_mode(ti->table), &mt->dev);
	if (r) {
		ti->error = "Cannot open the device below the origin";
		return r;
	}
	mt->origin = find_origin(mt);
	if (!mt->origin) {
		ti->error = "The device has no blksnap-origin above it";
		return -ENODEV;
	}
	mutex_lock(&mt->origin->lock);
	r = check_map(ti, mt, &generation);
	if (!r)
		make_header(mt);
	mutex_unlock(&mt->origin->lock);
	return r;
}

static int map_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct map_target *mt;
	int r;

	if (argc != 3) {
		ti->error = "Arguments: device, generation, number";
		return -EINVAL;
	}
	mt = kzalloc(sizeof(*mt), GFP_KERNEL);
	if (!mt) {
		ti->error = "Cannot allocate the target";
		return -ENOMEM;
	}
	r = get_map(ti, mt, argv);
	if (r) {
		map_release(ti, mt);
		return r;
	}
	ti->private = mt;
	return 0;
}

/* ---- status ------------------------------------------------------------- */

static void map_status(struct dm_target *ti, status_type_t type,
		       unsigned int status_flags, char *result, unsigned int maxlen)
{
	const struct map_target *mt = ti->private;
	unsigned int sz = 0;

	switch (type) {
	case STATUSTYPE_INFO:
		DMEMIT("%llu %u", le64_to_cpu(mt->header.blocks),
		       le32_to_cpu(mt->header.block_sectors) << SECTOR_SHIFT);
		break;
	case STATUSTYPE_TABLE:
		DMEMIT("%s %pUb %u", mt->dev->name, mt->header.generation, mt->number);
		break;
	case STATUSTYPE_IMA:
		DMEMIT_TARGET_NAME_VERSION(ti->type);
		DMEMIT(",device=%s,generation=%pUb,number=%u;", mt->dev->name,
		       mt->header.generation, mt->number);
		break;
	}
}

/* It is read from memory: nothing of the origin's limits or queues applies. */
struct target_type snap_map_target_type = {
	.name = "blksnap-map",
	.version = { 1, 0, 0 },
	.module = THIS_MODULE,
	.ctr = map_ctr,
	.dtr = map_dtr,
	.map = map_map,
	.status = map_status,
};
