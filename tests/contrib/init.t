#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# OpenRC and sysvinit.

# shellcheck source=tests/contrib/lib.sh
. "$(dirname "$0")/lib.sh"
stub bow reboot

# What openrc-run gives a script.
openrc() # SERVICE FUNCTION
{
	sh -c '
		for f in need use before after; do
			eval "$f() { echo $f \$* >>needs; }"
		done
		ebegin() { :; }
		ewarn() { :; }
		eend() { return "$1"; }
		. "$1"
		"$2"' sh "$contrib/openrc/$1" "$2"
}
: >needs
set -f
openrc bow-activate depend
says needs '^before fsck localmount$' "openrc: activate comes before the mounts"
openrc bow-protect depend
says needs '^need bow-activate localmount$' "protect after them"
set +f
sysv() # SERVICE ACTION
{
	"$contrib/sysvinit/$1" "$2"
}
says "$contrib/sysvinit/bow-activate" '^# X-Start-Before: *checkfs mountall$' \
	"sysvinit: activate comes before the mounts"
says "$contrib/sysvinit/bow-protect" '^# Required-Start: *bow-activate mountall$' \
	"protect after them"

for init in openrc sysv; do
	: >log
	exits 0 "$init: activate" $init bow-activate start
	called "bow boot activate" "does that"
	bow_STATUS=32 exits 0 "$init: of a rejected system too" $init bow-activate start
	bow_STATUS=4 exits 4 "$init: a failure is one" $init bow-activate start
	: >log
	exits 0 "$init: protect" $init bow-protect start
	called "bow boot protect" "does that"
	bow_STATUS=32 exits 0 "$init: of a rejected system too" $init bow-protect start
	called "bow boot protect" "and it runs on"
	bow_STATUS=16 exits 16 "$init: without a checkpoint" $init bow-protect start
	is "$(sed -n 's/^reboot.*/reboot/p' log)" reboot "it does not run on"
	: >log
	exits 0 "$init: commit" $init bow-commit start
	called "bow boot commit" "does that"
	bow_STATUS=16 exits 16 "$init: a refusal is told" $init bow-commit start
done
: >log
for s in activate protect commit; do
	exits 0 "sysvinit: stop of $s" sysv bow-$s stop
done
called "" "does nothing"
finish
