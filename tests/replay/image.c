// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The device in memory. A state costs what it changes: every write that is only
 * tried keeps what was there before, and is taken back afterwards.
 */
#include "replay.h"

static struct image *to_image(struct cow_io *io)
{
	return container_of(io, struct image, io);
}

static u64 sector_sum(u32 sector, const u8 *data)
{
	u64 sum = 0x9e3779b97f4a7c15ULL * (sector + 1), word;
	unsigned int i;

	for (i = 0; i < SECTOR; i += sizeof(word)) {
		memcpy(&word, data + i, sizeof(word));
		sum = (sum ^ word) * 0xff51afd7ed558ccdULL;
		sum ^= sum >> 32;
	}
	return sum;
}

static void set_sum(struct image *img, u32 sector, u64 sum)
{
	img->hash += sum - img->sum[sector];
	img->sum[sector] = sum;
}

static u8 *at(struct image *img, u32 sector)
{
	return img->data + (size_t)sector * SECTOR;
}

void image_apply(struct image *img, u32 sector, const u8 *data, u32 nr)
{
	static const u8 zeroes[SECTOR];

	for (; nr; nr--, sector++) {
		const u8 *from = data ? data : zeroes;

		memcpy(at(img, sector), from, SECTOR);
		set_sum(img, sector, sector_sum(sector, from));
		img->since[sector] = 1;
		if (data)
			data += SECTOR;
	}
}

static struct undo *new_undo(struct image *img)
{
	if (img->nr_undo == img->undo_room) {
		img->undo_room = img->undo_room ? 2 * img->undo_room : 4096;
		img->undo = realloc(img->undo, img->undo_room * sizeof(*img->undo));
		if (!img->undo)
			die("out of memory");
	}
	return &img->undo[img->nr_undo++];
}

void image_try(struct image *img, u32 sector, const u8 *data)
{
	struct undo *undo = new_undo(img);

	undo->sector = sector;
	undo->write = img->nr_writes;
	undo->hashed = img->hashing;
	undo->torn = img->tearing;
	undo->sum = img->sum[sector];
	memcpy(undo->old, at(img, sector), SECTOR);
	if (img->cut_at != ~0U)
		memcpy(undo->fresh, data, SECTOR);
	memcpy(at(img, sector), data, SECTOR);
	if (img->hashing)
		set_sum(img, sector, sector_sum(sector, data));
}

void image_back(struct image *img, u32 to)
{
	while (img->nr_undo > to) {
		struct undo *undo = &img->undo[--img->nr_undo];

		memcpy(at(img, undo->sector), undo->old, SECTOR);
		if (undo->hashed)
			set_sum(img, undo->sector, undo->sum);
	}
	img->flushed = to;
}

/* ---- as the core sees it ------------------------------------------------- */

/* Of the image, or NOWHERE: a log on a store counts sectors as if it were two devices. */
static u32 place(const struct image *img, u64 sector, u32 sectors)
{
	u64 start = 0, end = img->sectors;

	if (img->io.store_sectors && sector < COW_ORIGIN_BASE) {
		start = img->origin_sectors;
	} else if (img->io.store_sectors) {
		sector -= COW_ORIGIN_BASE;
		end = img->origin_sectors;
	}
	return start + sector + sectors > end ? NOWHERE : (u32)(start + sector);
}

static bool power_gone(struct image *img)
{
	if (!img->dead && img->ios++ == img->cut_at)
		img->dead = true;
	return img->dead;
}

static int image_read(struct cow_io *io, u64 sector, void *buf, u32 sectors)
{
	struct image *img = to_image(io);
	u32 from = place(img, sector, sectors);

	if (img->dead || from == NOWHERE)
		return -EIO;
	memcpy(buf, at(img, from), (size_t)sectors * SECTOR);
	return 0;
}

/* The write at which the power goes may still get through, in part or whole. */
static int image_write(struct cow_io *io, u64 sector, const void *buf, u32 sectors)
{
	struct image *img = to_image(io);
	u32 i, to = place(img, sector, sectors);

	if (img->dead || to == NOWHERE)
		return -EIO;
	img->nr_writes++;
	for (i = 0; i < sectors; i++)
		image_try(img, to + i, (const u8 *)buf + (size_t)i * SECTOR);
	return power_gone(img) ? -EIO : 0;
}

static int image_flush(struct cow_io *io)
{
	struct image *img = to_image(io);

	if (power_gone(img))
		return -EIO;
	img->flushed = img->nr_undo;
	return 0;
}

static const struct cow_io_ops image_ops = {
	.read = image_read,
	.write = image_write,
	.flush = image_flush,
};

void image_revive(struct image *img)
{
	u32 i, nr = img->nr_undo - img->flushed, write = 0;
	struct undo *lost = need((nr + 1) * sizeof(*lost));
	u32 fate = 0;

	memcpy(lost, img->undo + img->flushed, nr * sizeof(*lost));
	image_back(img, img->flushed);
	img->cut_at = ~0U;
	for (i = 0; i < nr; i++) {
		if (!i || lost[i].write != write)
			fate = rnd(img->rng, 3);
		write = lost[i].write;
		if (fate == 1 || (fate == 2 && rnd(img->rng, 2)))
			image_try(img, lost[i].sector, lost[i].fresh);
	}
	free(lost);
	img->flushed = img->nr_undo;
	img->dead = false;
}

void image_init(struct image *img, u32 sectors, u32 origin_sectors)
{
	static const u8 zeroes[SECTOR];
	u32 i;

	memset(img, 0, sizeof(*img));
	img->io.ops = &image_ops;
	img->io.sectors = sectors;
	if (origin_sectors < sectors) {
		img->io.sectors = COW_ORIGIN_BASE + origin_sectors;
		img->io.store_sectors = sectors - origin_sectors;
	}
	img->io.atomic_sectors = 1;
	img->sectors = sectors;
	img->origin_sectors = origin_sectors;
	img->data = need((size_t)sectors * SECTOR);
	img->since = need(sectors);
	img->sum = need(sectors * sizeof(*img->sum));
	img->cut_at = ~0U;
	for (i = 0; i < sectors; i++)
		set_sum(img, i, sector_sum(i, zeroes));
}

void image_exit(struct image *img)
{
	free(img->data);
	free(img->since);
	free(img->sum);
	free(img->undo);
}
