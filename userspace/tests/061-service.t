#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The systemd service: that systemd understands it, and the tool what it says.

unit=$(dirname "$(realpath "$0")")/../systemd/blksnap-monitor.service.in
# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
: "${BLKSNAP:?is to be the path of the tool}"
bin=$(realpath "$(dirname "$BLKSNAP")")

sed "s,@SBINDIR@,$bin," "$unit" >blksnap-monitor.service
! grep -q '@' blksnap-monitor.service
ok $? "nothing is left to be filled in"
start=$(sed -n 's/^ExecStart=//p' blksnap-monitor.service)
[ "${start%% *}" = "$bin/${BLKSNAP##*/}" ]
ok $? "it starts the tool"

# As it starts, and as its comment says that it may.
more=$(sed -n 's/^#.*BLKSNAP_MONITOR_OPTIONS=\(.*\)/\1/p' "$unit")
[ -n "$more" ]
ok $? "its comment has options"
for options in '' "$more"; do
	line=${start//\$BLKSNAP_MONITOR_OPTIONS/$options}
	# shellcheck disable=SC2086
	exits 0 "what it starts: $options" $line --help
done
options=$(grep -o -- '--[a-z-]*' <<<"$start $more" | sort -u)
"$BLKSNAP" monitor --help >help
for o in $options; do
	grep -q -- "^ *$o " help
	ok $? "$o is in the help"
done

if command -v systemd-analyze >/dev/null && man=$(systemd-analyze verify --help 2>&1); then
	case $man in
	*--man*)	set -- --man=no ;;
	*)	set -- ;;
	esac
	exits 0 "systemd-analyze verify" systemd-analyze verify "$@" ./blksnap-monitor.service
	! grep blksnap err
	ok $? "and it has nothing to say of it"
fi
finish
