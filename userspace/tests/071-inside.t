#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A snapshot whose store is a file on the origin itself: found by its sector or its path,
# checked, restored, cut, refused.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
: "${BLKSNAP:?is to be the path of the tool}"

blocks=900 inside=300 store=600

# snapshot KEY=VALUE...: an origin with a store in it, and a copy
snapshot()
{
	at=$("$BOW_TESTS/make-store" blocks=$((inside + store + 50)) inside=$inside \
		store=$store "$@") || exit 1
	cp origin origin.before
}

untouched() # WHAT
{
	cmp -s origin origin.before
	ok $? "$1: nothing is written"
}

# All but the store.
rolled_back()
{
	cmp -n $((inside << 12)) origin original >out 2>&1 &&
		cmp -i $(((inside + store) << 12)) origin original >>out 2>&1
}

for shape in "seed=1" "seed=2 writes=900 cut=2" "seed=3 writes=0" "seed=4 cut=3 short=0"; do
	# shellcheck disable=SC2086
	snapshot $shape
	exits 1 "$shape: check" "$BLKSNAP" check --sector "$at" origin
	says out "^origin: good snapshot" "$shape: check says so"
	exits 1 "$shape: dry run" "$BLKSNAP" restore --dry-run --sector "$at" origin
	untouched "$shape: check and dry run"
	exits 1 "$shape: restore" "$BLKSNAP" restore --sector "$at" origin
	rolled_back
	ok $? "$shape: the origin is what it was"
	exits 0 "$shape: check once more" "$BLKSNAP" check --sector "$at" origin
done

snapshot seed=5 writes=60 cut=2
bad=0
for ((n = 1; n < 1000; n++)); do
	cp origin.before origin
	"$BLKSNAP" restore --stop-after $n --sector "$at" origin >out 2>err
	[ $? -eq 8 ] || break
	[ $((n % 3)) -ne 0 ] ||
		"$BLKSNAP" restore --stop-after $((n % 7 + 1)) --sector "$at" origin >out 2>err
	"$BLKSNAP" restore --sector "$at" origin >out 2>err
	rolled_back || { echo "# cut after write $n"; bad=1; break; }
done
ok $bad "cut after each write, then run again"
[ $n -gt 20 ] && [ $n -lt 1000 ]
ok $? "there were writes to cut at ($((n - 1)))"

# What a rollback reads from must not be what it writes to.
snapshot seed=6 overlap=1
exits 4 "a record of the store's own blocks" "$BLKSNAP" restore --sector "$at" origin
says err "^blksnap: origin: log damaged" "it is told"
untouched "a record of the store's own blocks"
exits 4 "check of it" "$BLKSNAP" check --json --sector "$at" origin
says out '"verdict":"damaged"' "says so"

# Nor what a second attempt wants to find as it is.
snapshot seed=9 overlap=2 writes=20
exits 4 "a cut record of the store's own blocks" "$BLKSNAP" restore --sector "$at" origin
says err "one place is used twice" "it is told"
untouched "a cut record of the store's own blocks"
snapshot seed=10 first=4
exits 4 "slot 1 in the table of extents" "$BLKSNAP" restore --sector "$at" origin
says err "impossible number in the header" "it is told"
untouched "slot 1 in the table of extents"

# patch BYTE: of the table
patch()
{
	cp origin.before origin
	printf '\xa5' | dd of=origin bs=1 seek=$(((at + 8) * 512 + $1)) conv=notrunc status=none
	cp origin origin.patched
	exits 16 "byte $1 of the table is another" "$BLKSNAP" restore --sector "$at" origin
	cmp -s origin origin.patched
	ok $? "byte $1 of the table is another: nothing is written"
}
snapshot seed=7
for byte in 0 8 12 16 24 40 48 56 64; do
	patch $byte
done
cp origin.before origin
for sector in 0 1 $((at + 8)) $((at - 8)) $((inside * 8)) $((blocks * 8)) 99999999; do
	exits 16 "not at sector $sector" "$BLKSNAP" check --sector $sector origin
done
truncate -s +4096 origin
exits 16 "another size" "$BLKSNAP" check --sector "$at" origin
cp origin.before origin
untouched "what is refused"

# By its path: an ext4 that knows nothing of what is in the file.
snapshot seed=8
truncate -s 64M fs
mke2fs -q -F -t ext4 -b 4096 fs
head -c $((store << 12)) /dev/urandom >file
printf 'mkdir dir\nwrite file dir/file\n' | debugfs -w fs >out 2>&1
exits 16 "no such file" "$BLKSNAP" check --inside --store /dir/nothing fs
says err "cannot find the file /dir/nothing" "it is told"
exits 16 "a file that is no store" "$BLKSNAP" check --inside --store /dir/file fs
says err "begins at sector" "what was looked at is told"
exits 16 "no filesystem" "$BLKSNAP" check --inside --store /x origin
says err "with --sector" "the remedy is told"

exits 2 "both" "$BLKSNAP" restore --sector 8 --store x origin
exits 2 "no place" "$BLKSNAP" restore --inside origin
exits 2 "no number" "$BLKSNAP" restore --sector x origin
exits 2 "nothing" "$BLKSNAP" restore origin

finish
