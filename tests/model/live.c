// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the filesystem may expect to read. A sector's contents are made from a
 * number, its tag, and found out again by looking at them.
 */
#include "model.h"

#define WORDS (SECTOR / 8)

static u64 word(u64 tag, unsigned int i)
{
	return tag ? tag + i * 0x9e3779b97f4a7c15ULL : 0;
}

void fill_sector(u8 *sector, u64 tag)
{
	u64 words[WORDS];
	unsigned int i;

	for (i = 0; i < WORDS; i++)
		words[i] = word(tag, i);
	memcpy(sector, words, SECTOR);
}

bool sector_tag(const u8 *sector, u64 *tag)
{
	u64 last;

	memcpy(tag, sector, 8);
	memcpy(&last, sector + SECTOR - 8, 8);
	return last == word(*tag, WORDS - 1);
}

static bool sector_is(const u8 *sector, u64 tag)
{
	u64 words[WORDS], wrong = 0;
	unsigned int i;

	memcpy(words, sector, SECTOR);
	for (i = 0; i < WORDS; i++)
		wrong |= words[i] ^ word(tag, i);
	return !wrong;
}

void redirect_set(struct redirect *redirect, const struct cow_head *head)
{
	redirect->nr = head->hidden_count;
	redirect->end = !redirect->nr ? 0 : head->block_sectors +
			head->hidden[redirect->nr - 1].source;
	redirect->block_sectors = head->block_sectors;
	memcpy(redirect->hidden, head->hidden, sizeof(redirect->hidden));
}

u64 redirect_sector(const struct redirect *redirect, u64 sector)
{
	u32 i;

	if (sector >= redirect->end)
		return sector;
	for (i = 0; i < redirect->nr; i++) {
		u64 source = redirect->hidden[i].source;

		if (sector >= source && sector < source + redirect->block_sectors)
			return redirect->hidden[i].live + sector - source;
	}
	return sector;
}

void live_init(struct live *live, u64 sectors)
{
	live->sectors = sectors;
	live->tag = model_alloc(sectors * sizeof(*live->tag));
	live->known = model_alloc(sectors);
}

void live_exit(struct live *live)
{
	free(live->tag);
	free(live->known);
}

void live_copy(struct live *to, const struct live *from)
{
	memcpy(to->tag, from->tag, from->sectors * sizeof(*from->tag));
	memcpy(to->known, from->known, from->sectors);
}

void live_forget(struct live *live, u64 sector, u64 nr)
{
	memset(live->known + sector, 0, nr);
}

void live_durable(struct live *live, const struct dwrite *w)
{
	u32 i;

	if (w->live == NO_LIVE)
		return;
	for (i = 0; i < w->nr; i++) {
		sector_tag(w->data + i * SECTOR, &live->tag[w->live + i]);
		live->known[w->live + i] = 1;
	}
}

static bool among(const struct dlist *list, u64 sector, const u8 *data)
{
	u32 i;

	for (i = 0; i < list->nr; i++) {
		const struct dwrite *w = list->w[i];

		if (w->live != NO_LIVE && sector >= w->live &&
		    sector < w->live + w->nr &&
		    !memcmp(w->data + (sector - w->live) * SECTOR, data, SECTOR))
			return true;
	}
	return false;
}

void live_check(const struct live *live, const u8 *image,
		const struct redirect *redirect, const struct disk *disk,
		bool whole, const char *when)
{
	u64 sector, tag;

	for (sector = 0; sector < live->sectors; sector++) {
		u64 at = redirect_sector(redirect, sector);
		const u8 *data = image + at * SECTOR;
		bool ours;

		if (!live->known[sector])
			continue;
		ours = sector_tag(data, &tag) && (!whole || sector_is(data, tag));
		if (ours && tag == live->tag[sector])
			continue;
		if (disk && (among(&disk->done, sector, data) ||
			     among(&disk->open, sector, data)))
			continue;
		fail("%s: live sector %llu (at %llu) holds %llx, not %llx", when,
		     (unsigned long long)sector, (unsigned long long)at,
		     (unsigned long long)tag,
		     (unsigned long long)live->tag[sector]);
	}
}

void live_rebase(struct live *live, const u8 *image,
		 const struct redirect *redirect)
{
	u64 sector;

	for (sector = 0; sector < live->sectors; sector++)
		if (live->known[sector])
			sector_tag(image + redirect_sector(redirect, sector) * SECTOR,
				   &live->tag[sector]);
}
