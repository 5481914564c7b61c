/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A message to a bow device while it is suspended and its filesystem frozen.
 */
#ifndef BOW_CRITICAL_H
#define BOW_CRITICAL_H

#include "dm-cow-env.h"

struct critical {
	const char *name;	/* of the dm device */
	const char *message;
	unsigned int pause_ms;	/* testing: sleep while suspended */
	int error;		/* out: errno of the message, 0 if it went through */
	double ms;		/* out: from the suspend to the end of the resume */
};

/*
 * Suspend, message, resume. The device is resumed whatever happens, this
 * process killed included. 0 or an exit status, with the reason told, but for
 * an error of the message itself: that is left in @error.
 */
int critical_message(struct critical *crit);

#endif
