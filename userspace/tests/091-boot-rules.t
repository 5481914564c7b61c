#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
exec "${BOW_TESTS:?is to be set}/boot-explore"
