// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Everything a log says, with a verdict on each part.
 *
 * A log may have millions of records, so they are printed as they are met, in
 * JSON too.
 */
#include "command.h"
#include "dump.h"
#include "rescue.h"

struct dump {
	struct offline *off;
	bool json;
	u64 pages;		/* begun so far */
	u64 sequence;		/* of the page that is being printed */
	u64 records;		/* of it, printed so far */
};

static const char * const kind_names[] = {
	[COW_RECORD_BACKUP] = "backup",
	[COW_RECORD_FREE] = "free",
	[COW_RECORD_VOID] = "void",
	[COW_RECORD_RESERVE] = "reserve",
};

static const char *kind_name(u32 kind)
{
	return kind && kind < ARRAY_SIZE(kind_names) ? kind_names[kind] : "unknown";
}

/* Has it a length in place of a destination? */
static bool is_extent(const struct cow_record *record)
{
	return record->kind == COW_RECORD_FREE ||
	       record->kind == COW_RECORD_RESERVE;
}

/* ---- headers -------------------------------------------------------------- */

/* Numbers of a header that are shown as they are. */
struct field {
	const char *name;
	size_t offset;
	size_t size;
};

#define FIELD(member) { #member, offsetof(struct cow_disk_header, member), \
	sizeof(((struct cow_disk_header *)0)->member) }

static const struct field fields[] = {
	FIELD(version), FIELD(header_crc), FIELD(features_compat),
	FIELD(features_ro_compat), FIELD(features_incompat), FIELD(state),
	FIELD(generation), FIELD(sequence), FIELD(device_sectors),
	FIELD(store_sectors), FIELD(block_sectors), FIELD(record_count), FIELD(records_crc),
	FIELD(hidden_count), FIELD(slot1), FIELD(seal), FIELD(prev_place),
	FIELD(prev_generation), FIELD(time),
};

/* Some are there in logs apart only. */
static bool has_field(const struct cow_disk_header *disk, const struct field *field)
{
	return field->offset != offsetof(struct cow_disk_header, store_sectors) ||
	       le32_to_cpu(disk->features_incompat) & COW_FEATURE_APART;
}

static u64 field_value(const struct cow_disk_header *disk,
		       const struct field *field)
{
	const u8 *at = (const u8 *)disk + field->offset;
	__le32 narrow;
	__le64 wide;

	if (field->size == sizeof(narrow)) {
		memcpy(&narrow, at, sizeof(narrow));
		return le32_to_cpu(narrow);
	}
	memcpy(&wide, at, sizeof(wide));
	return le64_to_cpu(wide);
}

static void print_header(const struct cow_disk_header *disk)
{
	u32 hidden = min_t(u32, le32_to_cpu(disk->hidden_count), COW_MAX_HIDDEN);
	u32 state = le32_to_cpu(disk->state);
	char uuid[UUID_TEXT];
	size_t i;

	printf("  %-18s %s\n", "uuid", format_uuid(uuid, disk->uuid));
	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		u64 value = field_value(disk, &fields[i]);

		if (!has_field(disk, &fields[i]))
			continue;
		printf("  %-18s %llu", fields[i].name, (unsigned long long)value);
		if (strstr(fields[i].name, "_crc") || strstr(fields[i].name, "features"))
			printf(" (0x%08llx)", (unsigned long long)value);
		if (fields[i].offset == offsetof(struct cow_disk_header, state))
			printf(" (%s)", log_state_name(state));
		putchar('\n');
	}
	for (i = 0; i < hidden; i++)
		printf("  hidden %-11zu source %llu live %llu\n", i,
		       (unsigned long long)le64_to_cpu(disk->hidden[i].source),
		       (unsigned long long)le64_to_cpu(disk->hidden[i].live));
}

static struct json_object *header_json(const struct cow_disk_header *disk)
{
	u32 hidden = min_t(u32, le32_to_cpu(disk->hidden_count), COW_MAX_HIDDEN);
	struct json_object *obj = json_object_new_object();
	struct json_object *list = json_object_new_array();
	char uuid[UUID_TEXT];
	size_t i;

	json_add_string(obj, "uuid", format_uuid(uuid, disk->uuid));
	for (i = 0; i < ARRAY_SIZE(fields); i++)
		if (has_field(disk, &fields[i]))
			json_add_number(obj, fields[i].name, field_value(disk, &fields[i]));
	json_add_string(obj, "state_name", log_state_name(le32_to_cpu(disk->state)));
	for (i = 0; i < hidden; i++) {
		struct json_object *item = json_object_new_object();

		json_add_number(item, "source", le64_to_cpu(disk->hidden[i].source));
		json_add_number(item, "live", le64_to_cpu(disk->hidden[i].live));
		json_object_array_add(list, item);
	}
	json_object_object_add(obj, "hidden", list);
	return obj;
}

/* ---- streaming JSON ------------------------------------------------------- */

static void put_json(struct json_object *obj)
{
	fputs(json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PLAIN |
						  JSON_C_TO_STRING_NOSLASHESCAPE),
	      stdout);
	json_object_put(obj);
}

static void put_json_member(const char *key, struct json_object *obj)
{
	printf(",\n\"%s\":", key);
	if (obj)
		put_json(obj);
	else
		fputs("null", stdout);
}

/* ---- slots ---------------------------------------------------------------- */

static enum cow_log_error read_slot(struct dump *dump, u64 sector,
				    struct cow_disk_page *page,
				    struct cow_head *head)
{
	struct cow_io *io = dump->off->pic.io;
	u64 end = io->store_sectors ? io->store_sectors : io->sectors;
	enum cow_log_error error;

	memset(page, 0, sizeof(*page));
	if (sector >= end || end - sector < COW_PAGE_SECTORS)
		return COW_LOG_BAD_GEOMETRY;
	if (cow_read(io, sector, page, COW_PAGE_SECTORS))
		return COW_LOG_IO;
	error = cow_head_decode_io(page, io, head);
	if (!error && !cow_page_records_valid(page, head))
		error = COW_LOG_BAD_RECORDS;
	return error;
}

/* Slot 1 may hold the tail of a group that was cut: it need not be good. */
static void print_slot(struct dump *dump, unsigned int slot, u64 sector,
		       const struct cow_disk_page *page, enum cow_log_error error)
{
	struct json_object *obj;

	if (!dump->json) {
		printf("slot %u, sector %llu: %s\n", slot,
		       (unsigned long long)sector, cow_log_strerror(error));
		if (error != COW_LOG_NO_MAGIC)
			print_header(&page->header);
		return;
	}
	obj = json_object_new_object();
	json_add_number(obj, "slot", slot);
	json_add_number(obj, "sector", sector);
	json_add_string(obj, "verdict", cow_log_strerror(error));
	json_object_object_add(obj, "header", error == COW_LOG_NO_MAGIC ?
			       NULL : header_json(&page->header));
	printf("%s\n", slot ? "," : "");
	put_json(obj);
}

/* Block 0 as it is, and slot 1 where it was found. */
static void print_slots_of_scan(struct dump *dump, struct cow_disk_page *page)
{
	struct offline *off = dump->off;
	const void *page0 = off->dev.page0;
	struct cow_head head;
	u64 slot1 = off->found->slot1;
	enum cow_log_error error;

	off->dev.page0 = NULL;
	error = read_slot(dump, 0, page, &head);
	print_slot(dump, 0, 0, page, error);
	error = read_slot(dump, slot1, page, &head);
	print_slot(dump, 1, slot1, page, error);
	off->dev.page0 = page0;
}

static void print_slots_of_log(struct dump *dump, struct cow_disk_page *page)
{
	struct cow_head head = { 0 };
	enum cow_log_error error = read_slot(dump, 0, page, &head);
	u64 slot1 = head.slot1;

	print_slot(dump, 0, 0, page, error);
	/* Torn records in block 0 do not matter here, its header does. */
	if (error && error != COW_LOG_BAD_RECORDS)
		return;
	error = read_slot(dump, slot1, page, &head);
	print_slot(dump, 1, slot1, page, error);
}

static int print_slots(struct dump *dump)
{
	struct cow_disk_page *page = cow_zalloc(sizeof(*page));

	if (!page)
		return fail(BOW_SYSTEM, "out of memory");
	if (dump->json)
		fputs(",\n\"slots\":[", stdout);
	if (dump->off->found)
		print_slots_of_scan(dump, page);
	else
		print_slots_of_log(dump, page);
	if (dump->json)
		putchar(']');
	cow_free(page);
	return BOW_OK;
}

/* ---- pages ---------------------------------------------------------------- */

static void end_page(struct dump *dump)
{
	if (dump->json && dump->pages)
		fputs("]}", stdout);
}

static void begin_page(struct dump *dump, u64 sequence, u64 sector,
		       const struct cow_head *head)
{
	u64 generation = head ? head->generation : 0;
	u32 count = head ? head->record_count : 0;

	end_page(dump);
	if (!dump->json)
		printf("page %llu, sector %llu, generation %llu: %u records\n",
		       (unsigned long long)sequence, (unsigned long long)sector,
		       (unsigned long long)generation, count);
	else
		printf("%s\n{\"sequence\":%llu,\"sector\":%llu,\"generation\":%llu,\"record_count\":%u,\"records\":[",
		       dump->pages ? "," : "", (unsigned long long)sequence,
		       (unsigned long long)sector, (unsigned long long)generation,
		       count);
	dump->pages++;
	dump->sequence = sequence;
	dump->records = 0;
}

/* Of the device, or of the origin of a log apart. */
static u64 source_of(const struct cow_record *record)
{
	return record->source % COW_ORIGIN_BASE;
}

static void print_record_text(const struct cow_record *record, int index,
			      const char *verdict)
{
	printf("  %3d  %-7s", index, kind_name(record->kind));
	if (is_extent(record))
		printf("%llu, %llu sectors", (unsigned long long)source_of(record),
		       (unsigned long long)record->dest);
	else
		printf("%llu -> %llu", (unsigned long long)source_of(record),
		       (unsigned long long)record->dest);
	if (record->kind == COW_RECORD_BACKUP)
		printf(", %u sectors, crc 0x%08x", record->sectors, record->crc);
	printf("  %s\n", verdict);
}

static void print_record_json(struct dump *dump, const struct cow_record *record,
			      int index, const char *verdict)
{
	struct json_object *obj = json_object_new_object();

	json_add_number(obj, "index", (u64)index);
	json_add_string(obj, "kind", kind_name(record->kind));
	json_add_number(obj, "source", source_of(record));
	if (is_extent(record)) {
		json_add_number(obj, "sectors", record->dest);
	} else {
		json_add_number(obj, "dest", record->dest);
		json_add_number(obj, "sectors", record->sectors);
		json_add_number(obj, "crc", record->crc);
	}
	json_add_string(obj, "verdict", verdict);
	printf("%s\n", dump->records ? "," : "");
	put_json(obj);
}

static void print_record(struct dump *dump, const struct cow_record *record,
			 int index, const char *verdict)
{
	if (dump->json)
		print_record_json(dump, record, index, verdict);
	else
		print_record_text(record, index, verdict);
	dump->records++;
}

static void on_record(struct cow_picture *pic, const struct cow_head *head,
		      u64 page_sector, const struct cow_record *record, int index,
		      const char *verdict)
{
	struct dump *dump = pic->visit_data;

	if (!dump->pages || dump->sequence != head->sequence)
		begin_page(dump, head->sequence, page_sector, head);
	print_record(dump, record, index, verdict);
}

/* The record at which the walk stopped was not shown by it. */
static void print_bad_record(struct dump *dump)
{
	const struct cow_complaint *complaint = &dump->off->pic.complaint;
	struct cow_disk_page *page = cow_zalloc(sizeof(*page));
	struct cow_head head = { 0 };
	struct cow_record record;

	if (page && complaint->record >= 0 &&
	    complaint->record < COW_PAGE_RECORDS &&
	    !read_slot(dump, complaint->page_sector, page, &head)) {
		record = cow_record_decode(&page->records[complaint->record]);
		if (!dump->pages || dump->sequence != head.sequence)
			begin_page(dump, head.sequence, complaint->page_sector, &head);
		print_record(dump, &record, complaint->record,
			     cow_log_strerror(dump->off->error));
	}
	cow_free(page);
}

static int print_pages(struct dump *dump)
{
	struct offline *off = dump->off;
	int status;

	off->visit = on_record;
	off->visit_data = dump;
	if (dump->json)
		fputs(",\n\"pages\":[", stdout);
	status = offline_read_again(off, COW_CHECK_ALL, true);
	if (!status && off->error)
		print_bad_record(dump);
	end_page(dump);
	if (dump->json)
		putchar(']');
	return status;
}

/* ---- all of it ------------------------------------------------------------ */

static void print_end(struct dump *dump, int status)
{
	struct offline *off = dump->off;

	if (dump->json) {
		put_json_member("log", off->has_tail ? offline_json(off) : NULL);
		put_json_member("error", offline_json_error(off));
		if (off->scanned)
			put_json_member("logs", rescue_json(off));
		printf(",\n\"status\":%d}\n", status);
	} else if (status == BOW_DONE) {
		puts("summary: good");
		offline_print(off);
	}
	if (status == BOW_DAMAGED)
		offline_complain(off);
}

/* Of a device, or of an origin and of a store. */
static void print_device(struct dump *dump, const char *name, const char *path, u64 sectors)
{
	if (!dump->json) {
		printf("%s: %llu sectors\n", path, (unsigned long long)sectors);
		return;
	}
	printf(",\n\"%s\":", name);
	put_json(json_object_new_string(path));
	printf(",\n\"%s_sectors\":%llu", name, (unsigned long long)sectors);
}

static void print_begin(struct dump *dump)
{
	const struct offline *off = dump->off;

	if (dump->json)
		fputs("{\"version\":1", stdout);
	if (!off->store_io) {
		print_device(dump, "device", off->dev.path, off->dev.io.sectors);
		return;
	}
	print_device(dump, "origin", off->dev.path, off->dev.io.sectors);
	print_device(dump, "store", off->store.path ? off->store.path : off->dev.path,
		     off->store_io->sectors);
}

int dump_log(struct offline *off, bool json)
{
	struct dump dump = { .off = off, .json = json };
	int status;

	print_begin(&dump);
	status = print_slots(&dump);
	if (!status)
		status = print_pages(&dump);
	if (!status && off->has_log)
		status = offline_good(off) ? BOW_DONE : BOW_DAMAGED;
	print_end(&dump, status);
	return status;
}
