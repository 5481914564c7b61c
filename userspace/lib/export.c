// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A device copied into a file.
 */
#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "durable.h"
#include "partial.h"
#include "sidecar.h"

#define BUFFER INCREMENT_MAX_DATA	/* bytes read at a time */
#define BUFFER_ALIGN 65536		/* no logical block or DMA rule asks for more */
#define ZERO_UNIT 4096U			/* what is looked at for being zero */
#define SAVE_BYTES (32U << 20)		/* read, before they are made durable */

struct job {
	struct export *ex;
	struct partial part;
	struct increment_writer writer;
	struct progress progress;
	u8 *buf;
	u64 seen;	/* bytes of the ranges */
	u64 unsaved;
	bool hopeless;	/* going on from here would be wrong */
};

static bool is_full(const struct export *ex)
{
	return !ex->info.since;
}

static bool to_stdout(const struct export *ex)
{
	return !strcmp(ex->path, "-");
}

u64 export_bytes(const struct export *ex)
{
	u64 bytes = 0;
	unsigned int i;

	for (i = 0; i < ex->nr_ranges; i++)
		bytes += ex->ranges[i].length;
	return bytes;
}

/* ---- signals: what has been done is kept ------------------------------------------- */

static volatile sig_atomic_t stopped;

static void stop(int sig)
{
	(void)sig;
	stopped = 1;
}

static void catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = stop, .sa_flags = (int)SA_RESETHAND };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &action, NULL);
	/* The end of a pipe is an error like others. */
	signal(SIGPIPE, SIG_IGN);
}

/* ---- the source ---------------------------------------------------------------------- */

static int read_source(struct job *job, u64 at, u64 len)
{
	const struct export *ex = job->ex;
	u64 done = 0;

	while (done < len) {
		ssize_t n = pread(ex->source, job->buf + done, len - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail(BOW_SYSTEM, "%s: read at byte %llu: %s", ex->source_name,
				    (unsigned long long)(at + done),
				    n ? strerror(errno) : "it ends too early");
		done += (u64)n;
	}
	return BOW_OK;
}

/* Nobody has written to it since this was begun? */
static int check_stamp(struct job *job)
{
	char stamp[EXPORT_STAMP];
	int status = job->ex->stamp(stamp, job->ex->data);

	if (!status && strcmp(stamp, job->part.stamp)) {
		job->hopeless = true;
		status = fail(BOW_REFUSED, "%s was written to while it was read; see to it that nobody does, and start over",
			      job->ex->source_name);
	}
	return status;
}

/* ---- the file ------------------------------------------------------------------------- */

static bool is_zero(const u8 *data, u64 len)
{
	return !*data && !memcmp(data, data + 1, len - 1);
}

static int put_run(struct job *job, u64 at, const u8 *data, u64 len, bool zero)
{
	struct increment_sums *sums = &job->writer.sums;

	if (!is_full(job->ex))
		return increment_put(&job->writer, at, zero ? NULL : data, len);
	if (zero) {
		sums->zero_bytes += len;
		return BOW_OK;
	}
	sums->data_bytes += len;
	return durable_write(job->part.fd, job->part.part, data, len, (off_t)at);
}

static u64 unit_at(u64 at, u64 len)
{
	return min((u64)ZERO_UNIT, len - at);
}

/* Data and zeroes by turns. */
static int put(struct job *job, u64 at, u64 len)
{
	u64 start, end;
	int status = BOW_OK;

	for (start = 0; start < len && !status; start = end) {
		bool zero = is_zero(job->buf + start, unit_at(start, len));

		end = start + unit_at(start, len);
		while (end < len && is_zero(job->buf + end, unit_at(end, len)) == zero)
			end += unit_at(end, len);
		status = put_run(job, at + start, job->buf + start, end - start, zero);
	}
	return status;
}

/* First the data, then what says that it is there. */
static int save(struct job *job)
{
	struct partial *p = &job->part;
	int status;

	if (to_stdout(job->ex))
		return BOW_OK;
	if (is_full(job->ex) && ftruncate(p->fd, (off_t)p->position))
		return fail(BOW_SYSTEM, "%s: %s", p->part, strerror(errno));
	status = durable_sync(p->fd, p->part);
	/* What was not synced may be lost, even if a second attempt says otherwise. */
	if (status)
		job->hopeless = true;
	return status ? status : partial_save(p);
}

/* ---- copying --------------------------------------------------------------------------- */

static int step(struct job *job, u64 at, u64 len)
{
	int status = read_source(job, at, len);

	if (!status)
		status = put(job, at, len);
	if (status)
		return status;
	if (is_full(job->ex))
		job->writer.sums.bytes = at + len;
	job->part.sums = job->writer.sums;
	job->part.position = at + len;
	job->seen += len;
	job->unsaved += len;
	progress_set(&job->progress, job->seen >> 9);
	if (stopped)
		return fail(BOW_SYSTEM, "interrupted");
	if (job->unsaved < (job->ex->save_bytes ?: SAVE_BYTES))
		return BOW_OK;
	job->unsaved = 0;
	status = check_stamp(job);
	return status ? status : save(job);
}

static int copy_range(struct job *job, const struct export_range *range)
{
	u64 end = range->start + range->length;
	u64 at = max(range->start, job->part.position), len;
	int status = BOW_OK;

	at = min(at, end);
	job->seen += at - range->start;
	job->ex->resumed += at - range->start;
	for (; at < end && !status; at += len) {
		len = min((u64)BUFFER, end - at);
		status = step(job, at, len);
	}
	return status;
}

static int copy_all(struct job *job)
{
	struct export *ex = job->ex;
	int status = BOW_OK;
	unsigned int i;

	progress_start(&job->progress, is_full(ex) ? "full image" : "increment",
		       export_bytes(ex) >> 9, ex->quiet);
	for (i = 0; i < ex->nr_ranges && !status; i++)
		status = copy_range(job, &ex->ranges[i]);
	progress_end(&job->progress);
	return status ? status : check_stamp(job);
}

static int end_copy(struct job *job)
{
	struct partial *p = &job->part;
	int status = is_full(job->ex) ? BOW_OK : increment_end(&job->writer);

	if (status)
		return status;
	p->sums = job->writer.sums;
	p->position = p->size;
	p->complete = true;
	return save(job);
}

/* ---- where to begin ------------------------------------------------------------------------ */

/* The header was made when this was begun: it must be the one that is meant. */
static bool same_header(struct job *job)
{
	struct increment_reader r;
	char id[INCREMENT_ID], since[INCREMENT_ID];
	bool same = !increment_open(&r, job->part.fd, job->part.part);

	same = same && !strcmp(job->part.id, increment_id(id, &r.info, r.info.number)) &&
	       !strcmp(job->part.since, increment_id(since, &r.info, r.info.since)) &&
	       r.sums.header_crc == job->part.sums.header_crc;
	increment_close(&r);
	return same;
}

static int prepare_increment(struct job *job)
{
	struct partial *p = &job->part;
	int status = BOW_OK;

	job->writer.fd = to_stdout(job->ex) ? STDOUT_FILENO : p->fd;
	job->writer.path = to_stdout(job->ex) ? "standard output" : p->part;
	if (p->sums.bytes && !same_header(job)) {
		warn_msg("%s is not what %s says; starting over", p->part, p->state);
		status = partial_restart(p);
	}
	job->writer.sums = p->sums;
	if (!status && !p->sums.bytes)
		status = increment_begin(&job->writer, &job->ex->info);
	return status;
}

static int copy(struct job *job)
{
	int status = BOW_OK;

	job->writer.sums = job->part.sums;
	if (!is_full(job->ex))
		status = prepare_increment(job);
	if (!status && !job->part.complete)
		status = copy_all(job);
	if (!status && !job->part.complete)
		status = end_copy(job);
	return status;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Before the image gets its name: there is none without this. */
static int describe(const struct job *job)
{
	struct sidecar side = { .size = job->part.size };
	int status = sidecar_time(job->part.fd, job->part.part, side.written);

	memcpy(side.id, job->part.id, sizeof(side.id));
	memcpy(side.origin, job->ex->info.origin, sizeof(side.origin));
	return status ? status : sidecar_write(job->ex->path, &side);
}

static int finish(struct job *job)
{
	int status = is_full(job->ex) ? describe(job) : BOW_OK;

	return status ? status : partial_finish(&job->part);
}

/* An error or a signal: what there is may be of use. */
static void keep(struct job *job)
{
	if (job->hopeless)
		return;
	if (!job->part.complete && job->part.position)
		save(job);
	error_msg("what there is in %s is kept: the same command goes on from there",
		  job->part.part);
}

static int run_file(struct job *job)
{
	struct export *ex = job->ex;
	int status = partial_check(&job->part, &ex->was_complete);

	if (ex->was_complete)
		return status ? status : partial_tidy(&job->part);
	if (!status)
		status = partial_open(&job->part);
	if (status)
		return status;
	status = copy(job);
	if (status)
		keep(job);
	return status ? status : finish(job);
}

static int set_up(struct job *job)
{
	const struct export *ex = job->ex;
	struct partial *p = &job->part;
	int status = partial_init(p, ex->path);

	if (status)
		return status;
	increment_id(p->id, &ex->info, ex->info.number);
	if (!is_full(ex))
		increment_id(p->since, &ex->info, ex->info.since);
	p->size = ex->info.size;
	return ex->stamp(p->stamp, ex->data);
}

int export_check(struct export *ex)
{
	struct job job = { .ex = ex };
	int status = set_up(&job);

	if (!status && !to_stdout(ex))
		status = partial_check(&job.part, &ex->was_complete);
	return status;
}

int export_run(struct export *ex)
{
	struct job job = { .ex = ex };
	int status = set_up(&job);

	if (status)
		return status;
	job.buf = aligned_alloc(BUFFER_ALIGN, BUFFER);
	if (!job.buf)
		return fail(BOW_SYSTEM, "out of memory");
	catch_signals();
	status = to_stdout(ex) ? copy(&job) : run_file(&job);
	ex->sums = job.part.sums;
	partial_close(&job.part);
	free(job.buf);
	return status;
}
