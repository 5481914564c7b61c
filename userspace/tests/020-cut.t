#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Cut a restore and a commit after every single write, run them again, and be
# cut again in between.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

# cuts WHAT CHECK COMMAND...: CHECK is what must hold in the end.
cuts()
{
	local what=$1 check=$2 n status bad=0
	shift 2
	for ((n = 1; n < 1000; n++)); do
		cp before image
		"$@" --stop-after $n image >out 2>err
		status=$?
		[ $status -eq 8 ] || break
		# Now and then the second attempt is cut too, somewhere else.
		if [ $((n % 3)) -eq 0 ]; then
			"$@" --stop-after $((n % 7 + 1)) image >out 2>err
		fi
		"$@" image >out 2>err
		"$make_log" compare . "$check" >>out 2>>err || {
			echo "# cut after write $n"
			bad=1
			break
		}
	done
	ok $bad "$what: cut after each of its writes, then run again"
	[ $n -gt 4 ] && [ $n -lt 1000 ]
	ok $? "$what: there were writes to cut at ($((n - 1)))"
}

for shape in "seed=1 blocks=200 writes=60" \
	     "seed=2 blocks=200 writes=60 block-size=16384 cut=1" \
	     "seed=3 blocks=1024 writes=20 drop=1" \
	     "seed=4 blocks=300 writes=80 failing=1"; do
	# shellcheck disable=SC2086
	log_with $shape
	cuts "$shape: restore" original "$BOW" restore
	cuts "$shape: commit" live "$BOW" commit
done

# A commit that was cut is finished by restore, and the other way round.
log_with seed=5 blocks=200 writes=60
for n in 1 2 3 4; do
	cp before image
	"$BOW" commit --stop-after $n image >out 2>err
	exits 1 "commit cut after write $n: restore finishes it" "$BOW" restore image
	is_live "commit cut after write $n"
done
for n in 1 2 9; do
	cp before image
	"$BOW" restore --stop-after $n image >out 2>err
	exits 1 "restore cut after write $n: commit finishes it" "$BOW" commit image
	is_original "restore cut after write $n"
done

finish
