// SPDX-License-Identifier: GPL-2.0-only
/*
 * Changed-block tracking that outlives a reboot.
 */
#include "dm-blksnap-track.h"
#include <linux/dm-blksnap-track.h>

#define PAGE_NUMBERS (SNAP_TRACK_PAGE * SNAP_TRACK_NUMBERS)

static u64 pages_for(u64 numbers)
{
	return (numbers + PAGE_NUMBERS - 1) / PAGE_NUMBERS;
}

static u64 nr_regions(u64 sectors, u32 shift)
{
	return ((sectors - 1) >> shift) + 1;
}

static u32 region_shift(const struct snap_cbt *cbt, u64 sectors)
{
	u32 shift = max_t(u32, cbt->shift, ilog2(SNAP_TRACK_MIN_REGION));

	while (nr_regions(sectors, shift) >
	       (1U << shift < SNAP_TRACK_MAX_REGION ? SNAP_TRACK_REGIONS : SNAP_TRACK_MAX_REGIONS))
		shift++;
	return shift;
}

/* Behind the header, in pages. */
static u64 regions_start(void)
{
	return 1;
}

static u64 blocks_start(const struct snap_track *track)
{
	return regions_start() + pages_for(track->nr);
}

u64 snap_track_size(const struct snap_cbt *cbt, u64 sectors)
{
	u64 regions = nr_regions(sectors, region_shift(cbt, sectors));

	return (regions_start() + pages_for(regions) + pages_for(cbt->nr)) * SNAP_TRACK_PAGE;
}

int snap_track_init(struct snap_track *track, struct snap_cbt *cbt, u64 sectors,
		    struct cow_io *io)
{
	memset(track, 0, sizeof(*track));
	track->io = io;
	track->cbt = cbt;
	track->sectors = sectors;
	track->shift = region_shift(cbt, sectors);
	track->nr = nr_regions(sectors, track->shift);
	track->durable = cow_zalloc(track->nr * sizeof(*track->durable));
	track->marks = cow_zalloc(track->nr * sizeof(*track->marks));
	track->dirty = cow_zalloc(pages_for(track->nr));
	track->buf = cow_zalloc(SNAP_TRACK_CHUNK * SNAP_TRACK_PAGE * 512);
	if (track->durable && track->marks && track->dirty && track->buf)
		return 0;
	snap_track_exit(track);
	return -ENOMEM;
}

void snap_track_exit(struct snap_track *track)
{
	cow_free(track->durable);
	cow_free(track->marks);
	cow_free(track->dirty);
	cow_free(track->buf);
	memset(track, 0, sizeof(*track));
}

/* ---- the header --------------------------------------------------------- */

static int write_header(struct snap_track *track, u32 state)
{
	struct snap_track_header *header = (struct snap_track_header *)track->buf;
	int r;

	memset(track->buf, 0, SNAP_TRACK_PAGE * 512);
	memcpy(header->magic, SNAP_TRACK_MAGIC, sizeof(header->magic));
	header->version = cpu_to_le32(SNAP_TRACK_VERSION);
	header->state = cpu_to_le32(state);
	memcpy(header->generation, track->generation, sizeof(header->generation));
	header->sectors = cpu_to_le64(track->sectors);
	header->block_sectors = cpu_to_le32(1U << track->cbt->shift);
	header->region_sectors = cpu_to_le32(1U << track->shift);
	header->epoch = cpu_to_le32(track->cbt->epoch);
	header->crc = cpu_to_le32(cow_crc(header, offsetof(struct snap_track_header, crc)));
	r = cow_write(track->io, 0, track->buf, SNAP_TRACK_PAGE);
	return r ? r : cow_flush(track->io);
}

static bool header_fits(const struct snap_track *track, const struct snap_track_header *header)
{
	u32 epoch = le32_to_cpu(header->epoch);

	return !memcmp(header->magic, SNAP_TRACK_MAGIC, sizeof(header->magic)) &&
	       le32_to_cpu(header->crc) ==
			cow_crc(header, offsetof(struct snap_track_header, crc)) &&
	       le32_to_cpu(header->version) == SNAP_TRACK_VERSION &&
	       !header->features_incompat &&
	       le32_to_cpu(header->state) == SNAP_TRACK_VALID &&
	       le64_to_cpu(header->sectors) == track->sectors &&
	       le32_to_cpu(header->block_sectors) == 1U << track->cbt->shift &&
	       le32_to_cpu(header->region_sectors) == 1U << track->shift &&
	       epoch && epoch <= SNAP_CBT_LAST_EPOCH;
}

/* ---- tables ------------------------------------------------------------- */

/* So that what is left of another generation, or of elsewhere, is not taken for ours. */
static u32 sector_crc(const struct snap_track *track, u64 place,
		      const struct snap_track_sector *sector)
{
	__le64 where = cpu_to_le64(place);
	u32 crc = crc32c(~0U, track->generation, sizeof(track->generation));

	crc = crc32c(crc, &where, sizeof(where));
	return ~crc32c(crc, sector->numbers, sizeof(sector->numbers));
}

/* One of the two: the numbers of regions, or those of blocks. */
struct table {
	bool blocks;
	u64 start;		/* pages */
	u64 nr;			/* numbers */
};

static struct table table_of(const struct snap_track *track, bool blocks)
{
	return (struct table){
		.blocks = blocks,
		.start = blocks ? blocks_start(track) : regions_start(),
		.nr = blocks ? track->cbt->nr : track->nr,
	};
}

static u32 get_number(const struct snap_track *track, const struct table *table, u64 i)
{
	if (i >= table->nr)
		return 0;
	return table->blocks ? snap_cbt_last(track->cbt, i) : track->marks[i];
}

static void encode(struct snap_track *track, const struct table *table, u64 page, u32 nr)
{
	struct snap_track_sector *sector = (struct snap_track_sector *)track->buf;
	u64 place = (table->start + page) * SNAP_TRACK_PAGE, i = page * PAGE_NUMBERS;
	u64 end = place + nr * SNAP_TRACK_PAGE;
	u32 n;

	for (; place < end; place++, sector++) {
		for (n = 0; n < SNAP_TRACK_NUMBERS; n++)
			sector->numbers[n] = cpu_to_le16(get_number(track, table, i++));
		sector->crc = cpu_to_le32(sector_crc(track, place, sector));
	}
}

static int write_pages(struct snap_track *track, const struct table *table, u64 page, u32 nr)
{
	encode(track, table, page, nr);
	return cow_write(track->io, (table->start + page) * SNAP_TRACK_PAGE, track->buf,
			 nr * SNAP_TRACK_PAGE);
}

/* And a flush. */
static int write_table(struct snap_track *track, bool blocks)
{
	struct table table = table_of(track, blocks);
	u64 page, pages = pages_for(table.nr);
	int r = 0;

	for (page = 0; page < pages && !r; page += SNAP_TRACK_CHUNK) {
		r = write_pages(track, &table, page,
				min_t(u64, SNAP_TRACK_CHUNK, pages - page));
		cond_resched();
	}
	return r ? r : cow_flush(track->io);
}

/* ---- reading ------------------------------------------------------------ */

/* What was written to since the last save has the number of its region. */
static void set_number(struct snap_track *track, const struct table *table, u64 i, u32 number)
{
	struct snap_cbt *cbt = track->cbt;
	u32 mark;

	if (i >= table->nr)
		return;
	if (table->blocks) {
		mark = track->marks[i >> (track->shift - cbt->shift)];
		snap_cbt_restore(cbt, i, max(number, mark));
	} else {
		track->marks[i] = number;
		track->durable[i] = number;
	}
}

static int decode_sector(struct snap_track *track, const struct table *table, u64 i,
			 const struct snap_track_sector *sector, u32 epoch)
{
	u32 n, number;

	for (n = 0; n < SNAP_TRACK_NUMBERS; n++) {
		number = le16_to_cpu(sector->numbers[n]);
		if (number > epoch)
			return -EINVAL;
		set_number(track, table, i + n, number);
	}
	return 0;
}

static int read_pages(struct snap_track *track, const struct table *table, u64 page, u32 nr,
		      u32 epoch)
{
	const struct snap_track_sector *sector = (struct snap_track_sector *)track->buf;
	u64 place = (table->start + page) * SNAP_TRACK_PAGE, i = page * PAGE_NUMBERS;
	u64 end = place + nr * SNAP_TRACK_PAGE;
	int r = cow_read(track->io, place, track->buf, nr * SNAP_TRACK_PAGE);

	for (; place < end && !r; place++, sector++, i += SNAP_TRACK_NUMBERS)
		r = le32_to_cpu(sector->crc) != sector_crc(track, place, sector) ? -EINVAL :
			decode_sector(track, table, i, sector, epoch);
	return r;
}

static int read_table(struct snap_track *track, bool blocks, u32 epoch)
{
	struct table table = table_of(track, blocks);
	u64 page, pages = pages_for(table.nr);
	int r = 0;

	for (page = 0; page < pages && !r; page += SNAP_TRACK_CHUNK) {
		r = read_pages(track, &table, page,
			       min_t(u64, SNAP_TRACK_CHUNK, pages - page), epoch);
		cond_resched();
	}
	return r;
}

static int read_all(struct snap_track *track)
{
	struct snap_track_header header;
	u32 epoch;
	int r = cow_read(track->io, 0, track->buf, SNAP_TRACK_PAGE);

	if (r)
		return r;
	memcpy(&header, track->buf, sizeof(header));
	if (!header_fits(track, &header))
		return -EINVAL;
	epoch = le32_to_cpu(header.epoch);
	memcpy(track->generation, header.generation, sizeof(track->generation));
	r = read_table(track, false, epoch);
	if (!r)
		r = read_table(track, true, epoch);
	if (!r)
		snap_cbt_adopt(track->cbt, header.generation, epoch);
	return r;
}

/* ---- what is promised --------------------------------------------------- */

/* Without us writes go on: what is on the device is not to be believed any more. */
static int lose(struct snap_track *track, int error)
{
	track->lost = true;
	write_header(track, SNAP_TRACK_AWAY);
	/* Who finds it so writes to the origin: the header comes first. */
	smp_store_release(&track->live, false);
	return error;
}

bool snap_track_passes(const struct snap_track *track, u64 sector, u64 nr)
{
	u64 region, end;
	u32 epoch;

	/*
	 * Pairs with write_all(): either the writer finds no mark, or the save
	 * finds what the writer has noted in the cbt, or seen there.
	 */
	smp_mb();
	/* Pairs with lose(). */
	if (!smp_load_acquire(&track->live))
		return true;
	epoch = READ_ONCE(track->cbt->epoch);
	end = ((sector + nr - 1) >> track->shift) + 1;
	for (region = sector >> track->shift; region < end; region++)
		/* Pairs with publish(). */
		if (smp_load_acquire(&track->durable[region]) != epoch)
			return false;
	return true;
}

void snap_track_want(struct snap_track *track, u64 sector, u64 nr)
{
	u64 region = sector >> track->shift, end = ((sector + nr - 1) >> track->shift) + 1;
	u16 epoch = READ_ONCE(track->cbt->epoch);

	for (; region < end; region++) {
		if (track->durable[region] == epoch)
			continue;
		track->marks[region] = epoch;
		track->dirty[region / PAGE_NUMBERS] = 1;
	}
}

static int write_dirty(struct snap_track *track)
{
	struct table table = table_of(track, false);
	u64 page, pages = pages_for(track->nr);
	bool any = false;
	int r = 0;

	for (page = 0; page < pages && !r; page++) {
		if (!track->dirty[page])
			continue;
		any = true;
		r = write_pages(track, &table, page, 1);
	}
	return r || !any ? r : cow_flush(track->io);
}

static void publish(struct snap_track *track)
{
	u64 i;

	for (i = 0; i < track->nr; i++)
		if (track->dirty[i / PAGE_NUMBERS])
			/* Who finds it writes to the origin: the flush comes first. */
			smp_store_release(&track->durable[i], track->marks[i]);
	memset(track->dirty, 0, pages_for(track->nr));
}

int snap_track_record(struct snap_track *track)
{
	int r;

	if (!track->live)
		return 0;
	r = write_dirty(track);
	if (r)
		return lose(track, r);
	publish(track);
	return 0;
}

/* Blocks first: marks go when nothing depends on them any more. */
static int write_all(struct snap_track *track)
{
	u64 i;
	int r;

	for (i = 0; i < track->nr; i++)
		WRITE_ONCE(track->durable[i], 0);
	/* Pairs with snap_track_passes(). */
	smp_mb();
	r = write_table(track, true);
	if (r)
		return r;
	memset(track->marks, 0, track->nr * sizeof(*track->marks));
	memset(track->dirty, 0, pages_for(track->nr));
	return write_table(track, false);
}

int snap_track_save(struct snap_track *track)
{
	int r;

	if (!track->live)
		return 0;
	r = write_all(track);
	return r ? lose(track, r) : 0;
}

/* Nobody writes to the origin: the time for it. */
static void restart_if_lost(struct snap_track *track)
{
	if (!track->lost || track->restarted)
		return;
	track->restarted = true;
	snap_cbt_restart(track->cbt);
}

int snap_track_pause(struct snap_track *track, bool last)
{
	int r = 0;

	if (track->live && last)
		r = snap_track_save(track);
	else if (track->live)
		r = write_header(track, SNAP_TRACK_AWAY);
	if (r && !track->lost)
		lose(track, r);
	restart_if_lost(track);
	return r;
}

/*
 * Numbers that the device knows nothing of. Until the header is another one, what it had
 * before may come back: nothing has been written to the origin since.
 */
static int begin(struct snap_track *track)
{
	memcpy(track->generation, track->cbt->generation, sizeof(track->generation));
	return write_all(track);
}

int snap_track_resume(struct snap_track *track)
{
	bool known = track->read;
	int r = 0;

	if (track->lost)
		return write_header(track, SNAP_TRACK_AWAY);
	track->read = true;
	if (!known) {
		known = !read_all(track);
		if (!known)	/* Part of it may be there by now. */
			snap_cbt_restart(track->cbt);
	}
	/* Before blocks are looked at: images may be written to. */
	smp_store_release(&track->live, true);
	if (!known || memcmp(track->generation, track->cbt->generation,
			     sizeof(track->generation)))
		r = begin(track);
	/* Its flush is of what was read as well, which may have come from a cache. */
	if (!r)
		r = write_header(track, SNAP_TRACK_VALID);
	if (r)
		lose(track, r);
	restart_if_lost(track);
	return r;
}

void snap_track_close(struct snap_track *track)
{
	WRITE_ONCE(track->live, false);
}
