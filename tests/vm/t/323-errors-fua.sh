#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The same where FUA is used in place of a flush: a backup or a page that fails may
# have been written in part, and no flush comes that would tell.

FUA=Y
# shellcheck source=tests/vm/t/320-errors.sh
. /tests/t/320-errors.sh
