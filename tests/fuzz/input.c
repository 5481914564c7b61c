// SPDX-License-Identifier: GPL-2.0-only
/*
 * Inputs: bytes to items, items to a device, and back.
 */
#include "fuzz.h"

static const struct {
	u32 block_sectors;
	u32 sectors;
} shapes[] = {
	{ 8, 96 * 8 }, { 8, 96 * 8 + 3 }, { 8, 400 * 8 }, { 16, 60 * 16 },
	{ 16, 60 * 16 + 5 }, { 128, 24 * 128 }, { 2048, 6 * 2048 + 1 },
	{ 8, 2000 * 8 },
};

u64 input_sectors(const struct input *in)
{
	return shapes[in->shape % ARRAY_SIZE(shapes)].sectors;
}

u32 input_block(const struct input *in)
{
	return shapes[in->shape % ARRAY_SIZE(shapes)].block_sectors;
}

/* ---- bytes to items -------------------------------------------------------- */

struct reader {
	const u8 *at;
	size_t left;
};

static u16 get16(struct reader *r)
{
	u16 value;

	if (r->left < 2) {
		r->left = 0;
		return 0;
	}
	value = (u16)(r->at[0] | r->at[1] << 8);
	r->at += 2;
	r->left -= 2;
	return value;
}

static u8 get8(struct reader *r)
{
	if (!r->left)
		return 0;
	r->left--;
	return *r->at++;
}

static void get_bytes(struct reader *r, struct item *item)
{
	size_t len = min((size_t)item->nr, min(r->left, sizeof(item->data)));

	memset(item->data, 0, sizeof(item->data));
	memcpy(item->data, r->at, len);
	item->nr = (u16)len;
	r->at += len;
	r->left -= len;
}

static bool get_item(struct reader *r, struct item *item)
{
	item->type = get8(r);
	item->sector = get16(r);
	switch (item->type) {
	case 'R':
		item->nr = get16(r);
		get_bytes(r, item);
		return item->nr;
	case 'C':
		item->from = get16(r);
		item->nr = get16(r);
		return item->nr;
	case 'F':
		item->nr = get16(r);
		item->byte = get8(r);
		return item->nr;
	}
	return false;
}

void input_parse(struct input *in, const u8 *data, size_t size)
{
	struct reader r = { data, size };

	in->shape = get8(&r);
	in->cut = get8(&r);
	in->nr_items = 0;
	while (r.left && in->nr_items < MAX_ITEMS &&
	       get_item(&r, &in->items[in->nr_items]))
		in->nr_items++;
}

/* ---- and back ---------------------------------------------------------------- */

static u8 *put16(u8 *at, u16 value)
{
	at[0] = (u8)value;
	at[1] = (u8)(value >> 8);
	return at + 2;
}

static size_t item_write(const struct item *item, u8 *at, size_t left)
{
	u8 *start = at;
	size_t need = item->type == 'R' ? 5U + item->nr : item->type == 'C' ? 7 : 6;

	if (need > left)
		return 0;
	*at++ = item->type;
	at = put16(at, item->sector);
	if (item->type == 'C')
		at = put16(at, item->from);
	at = put16(at, item->nr);
	if (item->type == 'F')
		*at++ = item->byte;
	if (item->type == 'R') {
		memcpy(at, item->data, item->nr);
		at += item->nr;
	}
	return (size_t)(at - start);
}

size_t input_write(const struct input *in, u8 *data, size_t max)
{
	size_t size = 2, len = 1;
	u32 i;

	if (max < 2)
		return 0;
	data[0] = in->shape;
	data[1] = in->cut;
	for (i = 0; i < in->nr_items && len; i++) {
		len = item_write(&in->items[i], data + size, max - size);
		size += len;
	}
	return size;
}

/* ---- items to a device ------------------------------------------------------- */

static void put_item(const struct item *item, struct disk *disk)
{
	static u8 buf[65536 * SECTOR];
	u64 left, sectors = disk->io.sectors;
	size_t len;

	if (item->sector >= sectors)
		return;
	left = sectors - item->sector;
	if (item->type == 'R') {
		len = min((size_t)item->nr, left * SECTOR);
		disk_put(disk, item->sector, item->data, len);
		return;
	}
	len = min((u64)item->nr, left) * SECTOR;
	if (item->type == 'F') {
		memset(buf, item->byte, len);
		disk_put(disk, item->sector, buf, len);
	} else if (item->from < sectors) {
		len = min(len, (size_t)(sectors - item->from) * SECTOR);
		memcpy(buf, disk->mem + item->from * SECTOR, len);
		disk_put(disk, item->sector, buf, len);
	}
}

void input_build(const struct input *in, struct disk *disk)
{
	u32 i;

	disk_reset(disk, input_sectors(in), in->shape & 0x80 ? 8 : 1);
	for (i = 0; i < in->nr_items; i++)
		put_item(&in->items[i], disk);
}

/* ---- pages --------------------------------------------------------------------- */

struct cow_disk_page *item_page(struct item *item)
{
	if (item->type != 'R' || item->nr < 16 ||
	    memcmp(item->data, COW_LOG_MAGIC, COW_LOG_MAGIC_SIZE))
		return NULL;
	return (struct cow_disk_page *)item->data;
}

void item_fix(struct item *item)
{
	struct cow_disk_page *page = item_page(item);
	struct cow_disk_header *header = &page->header;
	u32 count = min(le32_to_cpu(header->record_count), (u32)COW_PAGE_RECORDS);

	item->nr = (u16)(COW_HEADER_SIZE + count * sizeof(page->records[0]));
	header->records_crc = cpu_to_le32(cow_crc(page->records,
						  count * sizeof(page->records[0])));
	header->header_crc = 0;
	header->header_crc = cpu_to_le32(cow_crc(header, sizeof(*header)));
}
