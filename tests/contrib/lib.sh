# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# TAP, as in userspace/tests, with programs that write down how they were called in place
# of the real ones:
#   stub NAME...        each call is a line of the file `log`; it exits with what is in
#                       $NAME_STATUS (no '-' in it), or 0, and prints $NAME_SAYS
#   called LINES        what was called since the last time

here=$(dirname "$(realpath "$0")")
contrib=$(realpath "$here/../../contrib")
export BOW_TESTS=/nonexistent
: "${BOW:?is to be the path of the tool}"
real_bow=$BOW
# shellcheck source=userspace/tests/lib.sh
. "$here/../../userspace/tests/lib.sh"
mkdir stubs
PATH=$PWD/stubs:$PATH
export LOG=$PWD/log
: >log

stub()
{
	local name

	for name; do
		cat >"stubs/$name" <<-'END'
		#!/bin/sh
		name=${0##*/}
		echo "$name${*:+ $*}" >>"$LOG"
		var=$(echo "$name" | tr - _)
		eval "says=\${${var}_SAYS-} rc=\${${var}_STATUS-0}"
		[ -z "$says" ] || echo "$says"
		exit "$rc"
		END
		chmod +x "stubs/$name"
	done
}

called()
{
	is "$(cat log)" "$1" "$2"
	: >log
}

# Does the real tool understand it? What it names is not there, which is another error.
understood() # BOW.CONF KERNEL-COMMAND-LINE
{
	local rc=0

	echo "$2" >cmdline
	BOW_BOOT_CMDLINE=$PWD/cmdline "$real_bow" boot status --config "$1" >out 2>err || rc=$?
	[ $rc != 2 ]
	ok $? "${1#"$contrib/"} is understood"
}

# Units, together with ours and with those that they are for.
verify() # UNIT...
{
	command -v systemd-analyze >/dev/null || return 0
	SYSTEMD_UNIT_PATH="$PWD/units:" systemd-analyze verify --man=no "$@" >out 2>err
	! grep -E 'bow|rauc|ostree' err | grep -v 'is not executable\|Failed to prepare filename'
	ok $? "systemd-analyze verify: $*"
}

our_units()
{
	local u

	mkdir -p units
	for u in "$here"/../../userspace/systemd/bow-*.service.in; do
		sed 's,@SBINDIR@/bow,/bin/true,g' "$u" >"units/$(basename "$u" .in)"
	done
}
