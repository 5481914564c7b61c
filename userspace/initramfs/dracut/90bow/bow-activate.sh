#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Root on bow: make the device before it is mounted. In the initqueue it is tried again
# until root is there.

command -v die >/dev/null || . /lib/dracut-lib.sh
. /usr/share/dm-cow/bow.sh

bow_activate || die "$(bow_trouble 'root is not made available')"
