#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# timeout: 1700
#
# The kernel refuses the damaged logs of tests/images for the reasons that the
# tool gives, and writes nothing; it takes the good ones, and a restore is the
# same after that. Without `resume' it takes nothing that may carry a log.

# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/../lib.sh"

mkdir "$WORK/images"
for d in "$TOP"/tests/images/*/; do
	name=$(basename "$d")
	image=$WORK/images/$name
	"$TOP/tests/images/build" "$d/image" "$image"
	bs=$("$TOP/build/bow" check --json "$image" 2>/dev/null | jq '.log.block_bytes // 4096') || :
	echo "$name $(($(stat -c %s "$image") / 512)) $bs $(cat "$d/resume")" >>"$WORK/images/list"
	if [ "$(cat "$d/resume")" = resumed ]; then
		cp "$image" "$image.restored"
		"$TOP/build/bow" restore --quiet "$image.restored" 2>/dev/null ||
			[ $? = 1 ] || rm "$image.restored"
	fi
done
[ "$(wc -l <"$WORK/images/list")" -ge 60 ] || die "where are the images?"
guest 0 --add "$WORK/images:/images" --new-disk 16M -t 1500 '. /tests/hostile.sh'
