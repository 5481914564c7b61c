#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# long: 6.1
# timeout: 1700
#
# The kernel refuses the damaged logs of tests/images for the reasons that the
# tool gives, and writes nothing; it takes the good ones, and a restore is the
# same after that. Without `resume' it takes nothing that may carry a log. The same of
# snapshots in stores, by blksnap.

# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/../lib.sh"

mkdir "$WORK/images"

checkpoint() { # NAME IMAGE WANT
	local bs

	bs=$("$TOP/build/bow" check --json "$2" 2>/dev/null | jq '.log.block_bytes // 4096') || :
	echo "$1 $(($(stat -c %s "$2") / 512)) $bs $3" >>"$WORK/images/list"
	[ "$3" = resumed ] || return 0
	cp "$2" "$2.restored"
	"$TOP/build/bow" restore --quiet "$2.restored" 2>/dev/null || [ $? = 1 ] || rm "$2.restored"
}

snapshot() { # NAME IMAGE WANT
	echo "$1 $(($(stat -c %s "$2") / 512)) $(($(stat -c %s "$2.origin") / 512)) $3" \
		>>"$WORK/images/stores"
	[ "$3" = resumed ] || return 0
	cp "$2" "$WORK/store"
	cp "$2.origin" "$2.restored"
	expect 1 "$TOP/build/blksnap" restore --quiet --store "$WORK/store" "$2.restored"
}

for d in "$TOP"/tests/images/*/; do
	name=$(basename "$d")
	image=$WORK/images/$name
	[ -e "$d/resume" ] || continue
	"$TOP/tests/images/build" "$d/image" "$image"
	if [ -e "$image.origin" ]; then
		snapshot "$name" "$image" "$(cat "$d/resume")"
	else
		checkpoint "$name" "$image" "$(cat "$d/resume")"
	fi
done
[ "$(wc -l <"$WORK/images/list")" -ge 60 ] || die "where are the images?"
[ "$(wc -l <"$WORK/images/stores")" -ge 10 ] || die "where are the stores?"
guest 0 --add "$WORK/images:/images" --new-disk 16M -t 1500 '. /tests/hostile.sh'
