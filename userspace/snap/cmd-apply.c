// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blksnap apply: fold an increment into a full image.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dev.h"
#include "durable.h"
#include "progress.h"
#include "sidecar.h"
#include "snap.h"

#define SPOOL_BUFFER (1U << 20)

struct request {
	const char *increment, *full;
	struct bow_flags flags;
	bool force;

	struct increment_reader reader;
	char since[INCREMENT_ID], id[INCREMENT_ID];
	struct sidecar side;
	struct bow_dev dev;	/* the full image */
	bool already, resumed;
};

/* ---- the increment ------------------------------------------------------------------ */

/* All of it is looked at before anything is written: that needs a file. */
static int fill_spool(int from, int to, const char *name)
{
	u8 *buf = malloc(SPOOL_BUFFER);
	int status = buf ? BOW_OK : fail(BOW_SYSTEM, "out of memory");
	ssize_t n = 1;

	while (!status && n) {
		n = read(from, buf, SPOOL_BUFFER);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			status = fail(BOW_SYSTEM, "read of the increment: %s", strerror(errno));
		else if (n)
			status = durable_write(to, name, buf, (size_t)n, DURABLE_APPEND);
	}
	free(buf);
	return status;
}

/* Without a name, beside the full image: there is room for such things. */
static int spool(const struct request *req, int from, int *fd)
{
	char name[PATH_MAX];

	if (snprintf(name, sizeof(name), "%s.spool-XXXXXX", req->full) >= (int)sizeof(name))
		return fail(BOW_SYSTEM, "%s: %s", req->full, strerror(ENAMETOOLONG));
	*fd = mkostemp(name, O_CLOEXEC);
	if (*fd < 0)
		return fail(BOW_SYSTEM, "%s: %s", name, strerror(errno));
	unlink(name);
	return fill_spool(from, *fd, name);
}

static int open_increment(struct request *req, int *fd)
{
	bool piped = !strcmp(req->increment, "-");
	int from = piped ? STDIN_FILENO : open(req->increment, O_RDONLY | O_CLOEXEC);
	const char *name = piped ? "standard input" : req->increment;
	struct stat st;
	int status = BOW_OK;

	if (from < 0 || fstat(from, &st))
		return fail(BOW_SYSTEM, "%s: %s", name, strerror(errno));
	*fd = from;
	if (!S_ISREG(st.st_mode) || piped)
		status = spool(req, from, fd);
	if (!status)
		status = increment_open(&req->reader, *fd, name);
	if (status)
		return status;
	increment_id(req->since, &req->reader.info, req->reader.info.since);
	increment_id(req->id, &req->reader.info, req->reader.info.number);
	return BOW_OK;
}

/* Every chunk; @write them, or only look. */
static int walk(struct request *req, int (*write)(struct request *req))
{
	struct increment_reader *r = &req->reader;
	struct progress progress;
	int status;

	progress_start(&progress, write ? "apply" : "verify", r->info.size >> 9,
		       req->flags.quiet);
	increment_rewind(r);
	do {
		status = increment_next(r);
		if (!status && r->kind != INCREMENT_END && write)
			status = write(req);
		progress_set(&progress, r->end >> 9);
	} while (!status && r->kind != INCREMENT_END);
	progress_end(&progress);
	return status;
}

/* ---- does it fit? ----------------------------------------------------------------------- */

static int open_full(struct request *req)
{
	struct stat st;
	int status;

	if (stat(req->full, &st))
		return fail(BOW_SYSTEM, "%s: %s", req->full, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail(BOW_REFUSED, "%s is not a file: increments are applied to files that 'blksnap export' has made; copy the image to the device afterwards",
			    req->full);
	status = bow_dev_open(&req->dev, req->full, !req->flags.dry_run);
	return status ? status : sidecar_read(req->full, &req->side);
}

static int refuse_base(const struct request *req)
{
	return fail(BOW_REFUSED, "%s is %s, but %s is relative to %s; apply those between them first",
		    req->full, req->side.id, req->reader.path, req->since);
}

/* Whoever has written to it has made another image of it. */
static int check_time(const struct request *req)
{
	char written[SIDECAR_TIME];
	int status = sidecar_time(req->dev.fd, req->full, written);

	if (status || req->force || sidecar_same_time(&req->side, written))
		return status;
	return fail(BOW_REFUSED, "%s was written to, or copied without its times, since it became %s; if it was only copied: --force",
		    req->full, req->side.id);
}

static int check_size(const struct request *req)
{
	struct stat st;

	if (fstat(req->dev.fd, &st))
		return fail(BOW_SYSTEM, "%s: %s", req->full, strerror(errno));
	if ((u64)st.st_size == req->reader.info.size && req->side.size == req->reader.info.size)
		return BOW_OK;
	return fail(BOW_REFUSED, "%s has %lld bytes, %s is for %llu; nothing was written",
		    req->full, (long long)st.st_size, req->reader.path,
		    (unsigned long long)req->reader.info.size);
}

/* The same, or one that was exported later: it has all that the first one had. */
static bool goes_on(const struct request *req)
{
	const struct sidecar *side = &req->side;

	return !strcmp(side->id, req->since) && !strcmp(side->applying, req->id) &&
	       req->reader.info.time >= side->applying_time;
}

static int check_base(struct request *req)
{
	const struct sidecar *side = &req->side;
	int status;

	req->already = !*side->applying && !strcmp(side->id, req->id);
	if (!*side->applying && !req->already && strcmp(side->id, req->since))
		return refuse_base(req);
	req->resumed = *side->applying;
	if (req->resumed && !goes_on(req))
		return fail(BOW_REFUSED, "%s is on its way from %s to %s: apply that increment again to finish it; %s is another one",
			    req->full, side->id, side->applying, req->reader.path);
	status = check_size(req);
	if (status || req->resumed)
		return status;
	return check_time(req);
}

/* ---- writing ------------------------------------------------------------------------------ */

static int write_zeroes(struct request *req)
{
	struct increment_reader *r = &req->reader;
	u64 at = r->offset, end = r->offset + r->length, len;
	int status = BOW_OK;

	memset(r->data, 0, INCREMENT_MAX_DATA);
	for (; at < end && !status; at += len) {
		len = min((u64)INCREMENT_MAX_DATA, end - at);
		status = durable_write(req->dev.fd, req->full, r->data, len, (off_t)at);
	}
	return status;
}

static int write_chunk(struct request *req)
{
	struct increment_reader *r = &req->reader;

	if (r->kind == INCREMENT_DATA)
		return durable_write(req->dev.fd, req->full, r->data, r->length,
				     (off_t)r->offset);
	if (fallocate(req->dev.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)r->offset, (off_t)r->length)) {
		/* Not every filesystem has holes: they are zeroes all the same. */
		if (errno == EOPNOTSUPP)
			return write_zeroes(req);
		return fail(BOW_SYSTEM, "%s: %s", req->full, strerror(errno));
	}
	durable_step();
	return BOW_OK;
}

/* From the first write to the word that it is done. */
static int write_all(struct request *req)
{
	struct sidecar *side = &req->side;
	int status = walk(req, write_chunk);

	if (!status)
		status = durable_sync(req->dev.fd, req->full);
	if (!status)
		status = sidecar_time(req->dev.fd, req->full, side->written);
	if (status)
		return status;
	strcpy(side->id, req->id);
	*side->applying = '\0';
	return sidecar_write(req->full, side);
}

static int fold_in(struct request *req)
{
	struct sidecar *side = &req->side;
	int status;

	strcpy(side->applying, req->id);
	side->applying_time = req->reader.info.time;
	status = sidecar_write(req->full, side);
	if (status || !write_all(req))
		return status;
	return fail(BOW_SYSTEM, "%s is neither %s nor %s now: apply %s again to finish it",
		    req->full, req->since, req->id, req->reader.path);
}

/* ---- reports -------------------------------------------------------------------------------- */

static void report_json(const struct request *req)
{
	const struct increment_reader *r = &req->reader;
	struct json_object *obj = json_report();

	json_add_string(obj, "full", req->full);
	json_add_string(obj, "origin", r->info.origin);
	json_add_string(obj, "since", req->since);
	json_add_string(obj, "id", req->id);
	json_add_string(obj, "action", req->already ? "none" :
				       req->resumed ? "finish" : "apply");
	json_add_bool(obj, "dry_run", req->flags.dry_run);
	json_add_number(obj, "size_bytes", r->info.size);
	if (!req->already) {
		json_add_number(obj, "data_bytes", r->sums.data_bytes);
		json_add_number(obj, "zero_bytes", r->sums.zero_bytes);
	}
	json_print(obj);
}

static void report(const struct request *req)
{
	const struct increment_reader *r = &req->reader;
	char size[SIZE_TEXT];

	if (req->flags.json)
		report_json(req);
	else if (req->flags.quiet)
		return;
	else if (req->already)
		printf("%s is %s already\n", req->full, req->id);
	else
		printf("%s %s %s now: %s changed\n", req->full,
		       req->flags.dry_run ? "would be" : "is", req->id,
		       format_size(size, r->sums.data_bytes + r->sums.zero_bytes));
}

static int apply(struct request *req)
{
	int fd = -1;
	int status = open_full(req);

	if (!status)
		status = open_increment(req, &fd);
	if (!status)
		status = check_base(req);
	if (!status && !req->already)
		status = walk(req, NULL);
	if (!status && !req->already && !req->flags.dry_run)
		status = fold_in(req);
	if (!status)
		report(req);
	increment_close(&req->reader);
	if (fd >= 0)
		close(fd);
	return status;
}

static const struct option options[] = {
	{ "dry-run", no_argument, NULL, OPT_DRY_RUN },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "quiet", no_argument, NULL, 'q' },
	{ "stop-after", required_argument, NULL, OPT_STOP_AFTER },
	BOW_COMMON_OPTIONS
};

static int take_option(int c, void *data)
{
	struct request *req = data;

	switch (c) {
	case OPT_FORCE:
		req->force = true;
		return -1;
	case OPT_STOP_AFTER:	/* for tests: a cut at that step */
		return bow_stop_after_option(&cmd_apply, &durable_stop_after);
	}
	return bow_common_option(&cmd_apply, c);
}

static int run(int argc, char **argv)
{
	struct request req = { 0 };
	int status = bow_parse_options(&cmd_apply, argc, argv, options, &req.flags,
				       take_option, &req);

	if (status >= 0)
		return status;
	if (argc - optind != 2)
		return bow_usage_error(&cmd_apply, "an increment and a full image, please");
	req.increment = argv[optind];
	req.full = argv[optind + 1];
	req.dev.fd = -1;
	status = apply(&req);
	bow_dev_close(&req.dev);
	return status;
}

const struct command cmd_apply = {
	.name = "apply",
	.summary = "fold an increment into a full image",
	.usage =
	"[options] <increment> <full image>\n\n"
	"Make a full image, which 'blksnap export' has made, what it was at a later snapshot.\n"
	"All of the increment is verified before the first write. If this is cut, run it\n"
	"again; nothing else can be applied before that. An increment '-' is read from the\n"
	"standard input, into a file without a name beside the image.\n\n"
	"Options:\n"
	"      --force         the image was copied, and has lost its time: trust it\n"
	"      --dry-run       verify everything, write nothing\n"
	"      --json          report as JSON\n"
	"  -q, --quiet         no progress, no report\n"
	"  -h, --help          this text\n"
	"  -V, --version       the version\n\n"
	"Exit status: 0 done, or applied already; 2 usage; 4 the increment is damaged or\n"
	"incomplete, nothing was written; 8 I/O or system error; 16 it is not for this image,\n"
	"or the image is in use or was written to.\n",
	.run = run,
};
