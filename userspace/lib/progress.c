// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A progress line on stderr.
 */
#include <unistd.h>

#include "progress.h"
#include "util.h"

#define INTERVAL_MS 100
#define BAR_WIDTH 40

void progress_start(struct progress *p, const char *what, u64 total, bool quiet)
{
	p->what = what;
	p->total = total;
	p->shown = 0;
	p->on = !quiet && isatty(STDERR_FILENO);
}

static void draw_bar(const struct progress *p, u64 sectors)
{
	int filled = (int)(min(sectors, p->total) * BAR_WIDTH / p->total);
	char done[SIZE_TEXT], total[SIZE_TEXT];

	fprintf(stderr, "\r%s [%.*s%*s] %s of %s\033[K", p->what, filled,
		"########################################", BAR_WIDTH - filled,
		"", format_size(done, sectors << 9),
		format_size(total, p->total << 9));
}

void progress_set(struct progress *p, u64 sectors)
{
	char done[SIZE_TEXT];
	double now;

	if (!p->on)
		return;
	now = now_ms();
	if (now - p->shown < INTERVAL_MS)
		return;
	p->shown = now;
	if (p->total)
		draw_bar(p, sectors);
	else
		fprintf(stderr, "\r%s %s\033[K", p->what,
			format_size(done, sectors << 9));
}

void progress_end(struct progress *p)
{
	if (p->on && p->shown)
		fputs("\r\033[K", stderr);
	p->on = false;
}
