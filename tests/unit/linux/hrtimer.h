/* SPDX-License-Identifier: GPL-2.0-only */
/* Of the kernel's timers what test-linger.c needs. */
#include "dm-cow-env.h"

#define HRTIMER_NORESTART 0
#define HRTIMER_MODE_REL 0

enum hrtimer_restart { NO_RESTART };

struct hrtimer {
	enum hrtimer_restart (*over)(struct hrtimer *timer);
	u64 at;			/* 0: it does not run */
};
