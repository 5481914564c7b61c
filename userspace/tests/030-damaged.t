#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Damaged logs: exit status 4, a reason, and not a byte written.

# shellcheck disable=SC2016

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

# refused WHAT REASON: image is damaged; every command must say so.
refused()
{
	cp image before
	exits 4 "$1: restore refuses" "$BOW" restore image
	says err "$2" "$1: restore says why"
	is_untouched "$1: restore"
	exits 4 "$1: restore --dry-run refuses" "$BOW" restore --dry-run image
	exits 4 "$1: commit refuses" "$BOW" commit image
	is_untouched "$1: commit"
	exits 4 "$1: check" "$BOW" check image
	exits 4 "$1: dump" "$BOW" dump image
	exits 4 "$1: dump --json" "$BOW" dump --json image
	json out '$d->{status} == 4' "$1: dump prints JSON"
}

log_with seed=1
poke image 100 8
refused "header" 'header checksum is wrong'

log_with seed=1
truncate -s +4096 image
refused "grown" 'another size'
log_with seed=1
truncate -s -4096 image
refused "shrunk" 'another size'

# Block 0's records may be torn; both slots may not.
log_with seed=2
slot1=$(look_up '$d->{slots}[1]{sector}')
poke image 600 8
poke image $((slot1 * 512 + 600)) 8
refused "both slots" 'neither slot holds'

log_with seed=3 blocks=4096 writes=600
sealed=$(look_up '$d->{pages}[2]{sector}')
poke image $((sealed * 512 + 700)) 8
refused "sealed page" 'predecessor page is missing'

# A backup that restore needs: of a block that has been overwritten since.
log_with seed=4
bad=$(look_up '(grep { $_->{kind} eq "backup" && $_->{verdict} eq "valid" }
	map { @{$_->{records}} } @{$d->{pages}})[0]->{dest}')
poke image $((bad * 512)) 16
refused "backup" 'neither backup nor source match'

# Those who ask for it get the newest contents all the same.
exits 1 "roll forward over a bad backup" "$BOW" restore --roll-forward image
says out 'rolled forward' "it says so"
exits 0 "then there is no log" "$BOW" check image
log_with seed=3 blocks=4096 writes=600
sealed=$(look_up '$d->{pages}[2]{sector}')
poke image $((sealed * 512 + 700)) 8
exits 1 "roll forward over a missing page" "$BOW" restore --roll-forward image
log_with seed=1
poke image 100 8
cp image before
exits 4 "but not over a bad header" "$BOW" restore --roll-forward image
is_untouched "bad header"

# Random damage: never a crash, never a write before a refusal.
log_with seed=6 blocks=300 writes=100
cp image good
size=$(stat -c %s image)
bad=0
for ((n = 0; n < 200; n++)); do
	cp good image
	if [ $((n % 2)) -eq 0 ]; then
		poke image $((n * 37 % 4096)) 1
	else
		poke image $((n * 611953 % size)) 3
	fi
	cp image before
	"$BOW" restore image >out 2>err
	status=$?
	case $status in
	0|4|16)	cmp -s image before || bad=1 ;;
	1)	;;	# it hit what has no checksum, or no need
	*)	bad=1 ;;
	esac
	[ $bad -eq 0 ] || { echo "# damage $n, exit status $status"; break; }
done
ok $bad "random damage: refused without a write, or restored"

finish
