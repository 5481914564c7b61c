#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kernels: 6.12
#
# Thirty snapshots (twelve, where time is short) of one origin, most of them taken while several threads write to
# it, all held at a time: none ever changes, whatever is written to the origin, to
# the others, or removed.

# shellcheck disable=SC2015,SC2017,SC2046,SC2086,SC2154,SC2207
# shellcheck source=/dev/null
. /tests/t/4blk.inc

disk low 4
origin c "$disk"
bowio fill /dev/mapper/c $W/load
declare -A sum

# A model is right only of what nobody writes to: those images are compared with it,
# the others with what they showed at first.
unchanged() { # SNAPSHOT...
	local n

	for n in "$@"; do
		if [ -e $W/c-$n ]; then
			shows c-$n
		else
			is "$(sum_of /dev/mapper/c-$n)" "${sum[$n]}" "c-$n"
		fi
	done
}

writer() { # GENERATION
	bowio write -t 4 -n 40 -s 512:32768 -a 512 -S $1 -g $(($1 * 1000)) \
		/dev/mapper/c $W/load >/dev/null
}

last=12
! long || last=30
all=($(seq $last))
for n in "${all[@]}"; do
	if [ $((n % 5)) = 0 ]; then
		take $n $D1 4096 c
		cp $W/load $W/c-$n
		writer $n
	else
		writer $n &
		take $n $D1 4096 c
		[ $((n % 3)) != 0 ] || dd if=/dev/urandom of=/dev/mapper/c-$n bs=3k count=9 \
			seek=$((n * 5)) oflag=direct status=none
		sum[$n]=$(sum_of /dev/mapper/c-$n)
		wait $! || die "writing failed"
	fi
done
is "$(info c 1) $(info c 2)" "active $last" "the origin"
bowio verify /dev/mapper/c $W/load
unchanged "${all[@]}"
ok "$last at a time" true

# From both ends and from the middle, under load.
left=($(printf '%s\n' "${all[@]}" | sort -R --random-source=<(yes 7)))
while [ ${#left[@]} -gt 0 ]; do
	writer $((100 + ${#left[@]})) &
	gone $(printf 'c-%s ' "${left[@]:0:6}")
	left=("${left[@]:6}")
	wait $! || die "writing failed"
	unchanged "${left[@]:0:4}"
done
is "$(info c 1) $(info c 2)" "idle 0" "the origin"
bowio verify /dev/mapper/c $W/load
gone c
disk_gone low
ok "removed in any order" true
