/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything a log says, printed.
 */
#ifndef BOW_DUMP_H
#define BOW_DUMP_H

#include "offline.h"

/*
 * Both slots, every page, every record, newest first, each with a verdict; to stdout, as
 * text or as one JSON object. @off is open. An exit status: BOW_OK if there is no log.
 */
int dump_log(struct offline *off, bool json);

#endif
