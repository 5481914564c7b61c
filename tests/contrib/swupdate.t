#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# SWUpdate: its command before an update, and its boot loader variables.

# shellcheck source=tests/contrib/lib.sh
. "$(dirname "$0")/lib.sh"
stub bow
export CMDLINE=$PWD/cmdline
cmd=$(sed -n 's/.*preupdatecmd = "\(.*\)";/\1/p' "$contrib/swupdate/swupdate.cfg")
is "${cmd%% *}" /usr/lib/dm-cow/swupdate/arm "SWUpdate calls it"
read -ra args <<<"$cmd"

echo "console=ttyS0 root=${args[1]} rw" >cmdline
exits 0 "from the first system" "$contrib/swupdate/arm" "${args[@]:1}"
called "bow boot arm --system ${args[2]}" "the second is armed"
echo "root=${args[2]}" >cmdline
exits 0 "from the second" "$contrib/swupdate/arm" "${args[@]:1}"
called "bow boot arm --system ${args[1]}" "the first is armed"
bow_STATUS=16 exits 16 "refused: SWUpdate stops" "$contrib/swupdate/arm" "${args[@]:1}"
: >log
exits 1 "there is no other" "$contrib/swupdate/arm" "${args[2]}"
called "" "nothing is armed"

cat >stubs/fw_setenv <<'END'
#!/bin/sh
echo "fw_setenv $*" >>"$LOG"
[ "$1 $2" != '-s -' ] || cat >>"$LOG"
END
chmod +x stubs/fw_setenv
exits 0 "ustate good" "$contrib/swupdate/ustate" good
called "fw_setenv -s -
ustate 0
upgrade_available 0
bootcount 0" "all variables at once"
exits 0 "ustate bad" "$contrib/swupdate/ustate" bad
called "fw_setenv ustate 3" "FAILED"
exits 2 "something else" "$contrib/swupdate/ustate" else
understood "$contrib/swupdate/bow.conf" "root=/dev/mmcblk0p2"
finish
