#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Root on bow: it is mounted, and nothing has been run from it.

command -v die >/dev/null || . /lib/dracut-lib.sh
. /usr/share/dm-cow/bow.sh

bow_protect || die "$(bow_trouble 'no checkpoint, so the system is not started')"
