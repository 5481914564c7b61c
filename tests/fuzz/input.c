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

bool input_apart(const struct input *in)
{
	return in->shape & SHAPE_APART;
}

bool input_inside(const struct input *in)
{
	return input_apart(in) && in->shape & SHAPE_INSIDE;
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
	u64 left, sectors = disk->sectors;
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

/* Two thirds are the store. */
static void lay_apart(struct input *in, struct layout *lay)
{
	u64 all = input_sectors(in);

	lay->store = all * 2 / 3 / UNIT_SECTORS * UNIT_SECTORS;
	if (in->shape & SHAPE_ODD)
		lay->store += UNIT_SECTORS / 2;
	lay->origin = lay->store;
	lay->sectors = all - lay->store;
	lay->nr = 1;
	lay->pieces[0] = (struct piece) { .sectors = lay->store };
}

static void lay_out(struct input *in, const struct disk *disk)
{
	struct layout *lay = &in->lay;

	lay->sectors = input_sectors(in);
	lay->origin = 0;
	lay->store = 0;
	lay->nr = 0;
	if (input_inside(in))
		layout_inside(lay, disk->mem, INSIDE_FIRST);
	else if (input_apart(in))
		lay_apart(in, lay);
}

void input_build(struct input *in, struct disk *disk)
{
	u32 i;

	disk_reset(disk, input_sectors(in), in->shape & SHAPE_4KN ? 8 : 1);
	for (i = 0; i < in->nr_items; i++)
		put_item(&in->items[i], disk);
	lay_out(in, disk);
	disk_lay_out(disk, &in->lay);
}

u16 input_place(const struct input *in, u64 sector)
{
	u64 here;

	if (!layout_has(&in->lay, sector, 1))
		return (u16)sector;
	return (u16)layout_place(&in->lay, sector, 1, &here);
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

/* ---- tables of extents ------------------------------------------------------------ */

struct snap_disk_extents *item_table(struct item *item)
{
	if (item->type != 'R' || item->nr < 16 ||
	    memcmp(item->data, SNAP_EXTENTS_MAGIC, sizeof(SNAP_EXTENTS_MAGIC) - 1))
		return NULL;
	return (struct snap_disk_extents *)item->data;
}

void table_fix(struct item *item, bool sum)
{
	struct snap_disk_extents *table = item_table(item);
	size_t at = offsetof(struct snap_disk_extents, extents), one = sizeof(table->extents[0]);
	size_t skip = offsetof(struct snap_disk_extents, device_sectors);
	u32 i, count = (u32)min((size_t)le32_to_cpu(table->count), (sizeof(item->data) - at) / one);
	u64 sectors = 0;

	for (i = 0; i < count; i++)
		sectors += le64_to_cpu(table->extents[i].sectors);
	if (sum)
		table->store_sectors = cpu_to_le64(sectors);
	item->nr = (u16)(at + count * one);
	table->crc = cpu_to_le32(crc32c(~0U, item->data + skip, item->nr - skip));
}
