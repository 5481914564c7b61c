#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A snapshot that is only an origin and a store: checked, restored, cut, refused.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
: "${BLKSNAP:?is to be the path of the tool}"

# snapshot KEY=VALUE...: an origin, a store, and both once more
snapshot()
{
	"$BOW_TESTS/make-store" "$@" || exit 1
	cp origin origin.before
	cp store store.before
}

again()
{
	cp origin.before origin
	cp store.before store
}

untouched() # WHAT
{
	cmp -s origin origin.before && cmp -s store store.before
	ok $? "$1: nothing is written"
}

# Block 0, the last block, which is short, several pages, and a group that was cut.
for shape in "seed=1" "seed=2 writes=2000 cut=2" "seed=3 writes=0" \
	     "seed=4 writes=20 cut=3 short=0"; do
	# shellcheck disable=SC2086
	snapshot $shape
	exits 1 "$shape: check" "$BLKSNAP" check --store store origin
	says out "^store: good snapshot" "$shape: check says so"
	exits 1 "$shape: dump" "$BLKSNAP" dump --store store origin
	exits 1 "$shape: dry run" "$BLKSNAP" restore --dry-run --store store origin
	says out "would be rolled back" "$shape: dry run says so"
	untouched "$shape: check, dump and dry run"
	exits 1 "$shape: restore" "$BLKSNAP" restore --store store origin
	cmp origin original >out 2>&1
	ok $? "$shape: the origin is what it was"
	exits 0 "$shape: restore once more" "$BLKSNAP" restore --store store origin
	says out "no snapshot in that store" "$shape: there is none any more"
	exits 0 "$shape: check once more" "$BLKSNAP" check --store store origin
done

# Cut after each write, the second attempt as well.
snapshot seed=5 writes=60 cut=2
bad=0
for ((n = 1; n < 1000; n++)); do
	again
	"$BLKSNAP" restore --stop-after $n --store store origin >out 2>err
	[ $? -eq 8 ] || break
	[ $((n % 3)) -ne 0 ] ||
		"$BLKSNAP" restore --stop-after $((n % 7 + 1)) --store store origin >out 2>err
	"$BLKSNAP" restore --store store origin >out 2>err
	cmp origin original >>out 2>>err || { echo "# cut after write $n"; bad=1; break; }
done
ok $bad "cut after each write, then run again"
[ $n -gt 20 ] && [ $n -lt 1000 ]
ok $? "there were writes to cut at ($((n - 1)))"

again
"$BLKSNAP" restore --stop-after 5 --store store origin >out 2>err
exits 1 "check of a cut restore" "$BLKSNAP" check --json --store store origin
says out '"state":"restoring"' "it says so"
exits 1 "restore of a cut restore" "$BLKSNAP" restore --json --store store origin
says out '"action":"restore-finished"' "and is finished"

again
exits 1 "json" "$BLKSNAP" restore --json --store store origin
says out '"version":1' "with a version"
says out '"action":"rolled-back"' "with what was done"

again
"$BLKSNAP" check --json --store store origin >checked 2>err
exits 1 "dump --json" "$BLKSNAP" dump --json --store store origin
backups=$(perl -MJSON::PP -e 'local $/; print decode_json(<STDIN>)->{log}{backups}' <checked)
json out '(grep { $_->{kind} eq "backup" && $_->{verdict} eq "valid" } map { @{$_->{records}} } @{$d->{pages}}) == '"$backups" \
	"dump: every backup"
json out '!grep { $_->{source} >= $d->{origin_sectors} || $_->{dest} >= $d->{store_sectors} } map { @{$_->{records}} } @{$d->{pages}}' \
	"dump: of sectors that are there"
json out '$d->{origin} eq "origin" && $d->{store} eq "store" && $d->{slots}[0]{header}{store_sectors} <= $d->{store_sectors}' \
	"dump: of both devices"
exits 1 "dump as text" "$BLKSNAP" dump --store store origin
says out '^ *0  backup *[0-9]\{1,4\} -> .*valid' "dump: a sector of the origin"
untouched "dump"

again
for ((s = 272; s < 900; s += 8)); do
	printf 'damaged' | dd of=store bs=512 seek=$s conv=notrunc status=none
done
cp store store.before
exits 4 "damaged backups" "$BLKSNAP" restore --store store origin
says err "^blksnap: store: log damaged" "the store is named"
untouched "damaged backups"
exits 4 "check of them" "$BLKSNAP" check --json --store store origin
says out '"verdict":"damaged"' "says so"

snapshot seed=6
truncate -s 512K store
cp store store.before
exits 4 "a store that was cut off" "$BLKSNAP" restore --store store origin
says err "of another size" "the reason is told"
untouched "a store that was cut off"
snapshot seed=6
truncate -s +8M store
exits 1 "a store that has grown" "$BLKSNAP" restore --store store origin
cmp origin original >out 2>&1
ok $? "leads back all the same"
snapshot seed=6
truncate -s -4096 origin
cp origin origin.before
exits 4 "another origin" "$BLKSNAP" restore --store store origin
untouched "another origin"
snapshot seed=6
truncate -s +8M origin
cp origin origin.before
exits 4 "an origin that has grown" "$BLKSNAP" restore --store store origin
says err "of another size" "the reason is told"
exits 4 "check of one" "$BLKSNAP" check --store store origin
untouched "an origin that has grown"
snapshot seed=6
exits 0 "the two changed places: no header" "$BLKSNAP" restore --store origin store
untouched "the two changed places"

exits 4 "bow check of a store" "$BOW" check store
says err "a checkpoint's log is no snapshot's store" "the reason is told"
exits 4 "bow restore of a store" "$BOW" restore store
exits 16 "bow restore --discard-log of a store" "$BOW" restore --discard-log store
untouched "bow and a store"
log_with seed=1 blocks=200 writes=20
cp image image.before
exits 4 "a checkpoint is no store" "$BLKSNAP" restore --store image origin
says err "carries a checkpoint of its own" "the reason is told"
cmp -s image image.before
ok $? "a checkpoint is no store: nothing is written"

snapshot seed=11
on_a_terminal "$BLKSNAP" restore --store store origin
says out 'restoring \[#* *\] .* of ' "on a terminal it is told how far it has come"
cmp origin original >out 2>&1
ok $? "and done"

exits 2 "no store" "$BLKSNAP" restore origin
exits 2 "no origin" "$BLKSNAP" restore --store store
exits 16 "one and the same" "$BLKSNAP" restore --store store store
exits 8 "no such store" "$BLKSNAP" check --store nowhere origin

finish
