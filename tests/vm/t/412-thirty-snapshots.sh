#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kernels: 6.12
#
# Thirty snapshots of one origin, every third of them, with LONG most, taken while several
# threads write to it, all held at a time: each has what had been written at its take,
# nothing newer, nothing older, and none ever changes, whatever is written to the origin,
# to the others, or removed.

# shellcheck disable=SC2015,SC2017,SC2046,SC2086,SC2154,SC2207
# shellcheck source=/dev/null
. /tests/t/4blk.inc

disk low 2
origin c "$disk"
bowio fill /dev/mapper/c $W/c

# Until it is told to stop; the same options go to `bowio settle`.
options="-t 4 -s 512:32768 -a 512"
begin_writing() { # NUMBER
	bowio write $options -n 200000 -S $1 -g $(($1 * 1000000)) /dev/mapper/c $W/c >/dev/null &
	writer=$!
}

end_writing() {
	kill $writer
	wait $writer || die "writing failed"
}

under_load() { # NUMBER
	[ $(($1 % 3)) = 1 ] || { long && [ $(($1 % 5)) != 0 ]; }
}

last=30
all=($(seq $last))
busy=0
for n in "${all[@]}"; do
	! under_load $n || begin_writing $n
	# The model is copied while the origin is suspended.
	take $n $D1 4096 c
	if under_load $n; then
		end_writing
		done=$(bowio settle $options -g $((n * 1000000)) /dev/mapper/c-$n $W/c-$n)
		[ "$done" -lt 8 ] || busy=$((busy + 1))
		shows c-$n
	fi
	[ $((n % 3)) != 0 ] || bowio write -n 9 -s 3072 -a 512 -S $n -g 900000000 \
		/dev/mapper/c-$n $W/c-$n >/dev/null
done
is "$(info c 1) $(info c 2)" "active $last" "the origin"
[ $busy -ge 5 ] || die "of all that were taken under load $busy had any"
bowio verify /dev/mapper/c $W/c
shows $(printf 'c-%s ' "${all[@]}")
ok "$last at a time, $busy taken in the middle of writing" true

# From both ends and from the middle, under load.
left=($(printf '%s\n' "${all[@]}" | sort -R --random-source=<(yes 7)))
while [ ${#left[@]} -gt 0 ]; do
	begin_writing $((100 + ${#left[@]}))
	gone $(printf 'c-%s ' "${left[@]:0:6}")
	left=("${left[@]:6}")
	end_writing
	[ ${#left[@]} = 0 ] || shows $(printf 'c-%s ' "${left[@]:0:6}")
done
is "$(info c 1) $(info c 2)" "idle 0" "the origin"
bowio verify /dev/mapper/c $W/c
gone c
disk_gone low
ok "removed in any order" true
