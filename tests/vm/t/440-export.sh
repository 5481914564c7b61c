#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kernels: 6.12 uml debug kcsan
# timeout: 900
# shellcheck disable=SC2086,SC2154
#
# Full copies and increments of snapshots as files: twenty rounds of them under load
# (eight, where time is short), exports that are killed, run out of space or are interrupted and go on, and who must
# start over.

# shellcheck source=/dev/null
. /tests/t/4snap.inc

is_image() { # FILE IMAGE [ID]
	cmp $1 /dev/mapper/$2 || die "$1 is not $2"
	grep -qF "${3:-$(id_of $2)}" $1.blksnap
}

not_there() { # FILE...
	local f

	for f in "$@"; do
		[ ! -e "$f" ] || die "there is a $f"
	done
}

nothing_left() { # FILE
	not_there $1.part $1.state
	[ -z "$(dmsetup ls --target blksnap-map | sed '/^No devices/d')" ] ||
		die "maps are left over"
}

load() { # SEED GENERATION
	bowio write -q -n 3 -s 512:16384 -a 512 -S $1 -g $2 /dev/mapper/o $work/model >/dev/null
}

scribble() { # IMAGE BLOCK
	dd if=/dev/urandom of=/dev/mapper/$1 bs=4k count=3 seek=$2 oflag=direct conv=notrunc status=none
}

dmsetup create under --table "0 16392 linear $D1 0"
exits 0 blksnap attach --create o /dev/mapper/under
bowio fill /dev/mapper/o $work/model
full=$work/full

rounds=8
! long || rounds=20
step "$rounds rounds"
exits 0 blksnap take -n 0 --store $store --block-size 16K o
exits 0 blksnap export --dry-run o-0 $full
not_there $full $full.*
exits 0 blksnap export --json o-0 $full
jq -e '.size_bytes == 8392704 and .data_bytes + .zero_bytes == .size_bytes and
	.since == null and .resumed_bytes == 0 and .origin == "o"' <<<"$out" >/dev/null
is_image $full o-0
cp --preserve=timestamps $full $work/first
cp $full.blksnap $work/first.blksnap
exits 16 blksnap export o-0 $full
says 'there already'
last=$(id_of o-0)
bytes=0
for ((n = 1; n <= rounds; n++)); do
	load $n $((n * 100))
	dd if=/dev/zero of=/dev/mapper/o bs=4k seek=$((n * 77)) count=20 oflag=direct \
		conv=notrunc status=none
	exits 0 blksnap take -n $n --store $store o
	load 9$n $((n * 100 + 50)) &
	# Some are written to before they are copied, some after.
	[ $((n % 3)) != 0 ] || scribble o-$n $((n * 37))
	if [ $((n % 4)) = 0 ]; then
		out=$(blksnap export --since $last o-$n - | tee $work/inc-$n |
			blksnap apply --json - $full)
	else
		exits 0 blksnap export --since $last o-$n $work/inc-$n
		exits 0 blksnap apply --json $work/inc-$n $full
	fi
	[[ $out =~ \"id\":\ *\"([0-9a-f:-]+)\" ]]
	last=${BASH_REMATCH[1]}
	is_image $full o-$n $last
	[ $((n % 3)) != 1 ] || scribble o-$n $((n * 31))
	wait
	bytes=$((bytes + $(stat -c %s $work/inc-$n)))
	[ $((n % 4)) != 0 ] ||
		exits 0 blksnap remove $((n - 4)) $((n - 3)) $((n - 2)) $((n - 1))
done
is_image $full o-$rounds
[ $bytes -lt $((rounds * 16392 * 512 / 4)) ] || die "increments of $bytes bytes"
step "$bytes bytes in $rounds increments; all of them at once"
exits 16 blksnap apply $work/inc-2 $work/first
for ((n = 1; n <= rounds; n++)); do
	exits 0 blksnap apply $work/inc-$n $work/first
done
is_image $work/first o-$rounds $last
exits 0 blksnap apply $work/inc-$rounds $work/first
says 'already'
rm $work/inc-* $work/first*

step "who cannot be told what has changed"
exits 16 blksnap export --since $last o-$rounds $work/inc
says 'itself'
exits 2 blksnap export --since ${last%:*}:0 o-$rounds $work/inc
exits 16 blksnap export --since ${last%:*}:99 o-$rounds $work/inc
exits 16 blksnap export o $work/inc
exits 0 blksnap remove $rounds
exits 0 blksnap detach o
exits 0 blksnap attach --create o /dev/mapper/under
exits 0 blksnap take -n a --store $store o
exits 1 blksnap export --since $last o-a $work/inc
says 'start over'
not_there $work/inc.part

step "interrupted while the image cannot be read"
rm $full*
dmsetup suspend o
blksnap export o-a $full 2>$work/said &
until_true test -e $full.part
kill -INT $!
dmsetup resume o
expect 8 wait $!
grep -q interrupted $work/said
not_there $full
exits 0 blksnap export --json o-a $full
is "$(jq .resumed_bytes <<<"$out")" 1048576 "what was there already"
is_image $full o-a
nothing_left $full

step "an image that changes"
rm $full*
dmsetup suspend o
blksnap export o-a $full 2>$work/said &
until_true test -e $full.part
kill -TERM $!
dmsetup resume o
expect 8 wait $!
scribble o-a 7
exits 0 blksnap export o-a $full
says 'starting over'
is_image $full o-a
# A filesystem in it, as it happens.
rm $full*
mke2fs -q -F -t ext4 /dev/mapper/o-a
mount /dev/mapper/o-a $mnt
exits 16 blksnap export o-a $full
says "mounted on $mnt"
umount $mnt
mount -o ro /dev/mapper/o-a $mnt
exits 0 blksnap export o-a $full
# Past the page cache, in which ext4 has its own idea of the journal.
is "$(sum_of /dev/mapper/o-a)" "$(sha256sum <$full | cut -d' ' -f1)" "what is mounted"
umount $mnt
exits 0 blksnap remove a
exits 0 blksnap detach o

step "no space, and killed"
dmsetup create large --table "0 73728 linear $D1 65536"
exits 0 blksnap attach --create o /dev/mapper/large
bowio fill /dev/mapper/o $work/model
dd if=/dev/zero of=/dev/mapper/o bs=1M count=1 seek=35 oflag=direct status=none
exits 0 blksnap take -n a --store $store o
mkdir $work/small
mount -t tmpfs -o size=33m none $work/small
full=$work/small/full
exits 8 blksnap export o-a $full
says 'No space left'
says 'goes on from there'
not_there $full
mount -o remount,size=200m $work/small
exits 0 blksnap export --json o-a $full
[ "$(jq .resumed_bytes <<<"$out")" -ge 33554432 ] || die "it has started over: $out"
is_image $full o-a
nothing_left $full
[ $(($(stat -c %b $full) * 512)) -lt $((36 << 20)) ] || die "it has no holes"

dd if=/dev/mapper/o-a of=/dev/mapper/o bs=1M count=35 seek=1 iflag=direct oflag=direct \
	status=none
dd if=/dev/zero of=/dev/mapper/o bs=1M count=1 oflag=direct status=none
exits 0 blksnap take -n b --store $store o
inc=$work/inc
(
	ulimit -f $((33 * 1024))
	exec blksnap export --since "$(id_of o-a)" o-b $inc
) >/dev/null 2>&1 || rc=$?
is ${rc-0} 153 "status of who was killed"
not_there $inc
cp $inc.part $work/half
exits 4 blksnap apply $work/half $full
says 'incomplete'
is_image $full o-a
exits 0 blksnap export --json --since "$(id_of o-a)" o-b $inc
is "$(jq .resumed_bytes <<<"$out")" 33554432 "what was there already"
nothing_left $inc
(
	ulimit -f $((20 * 1024))
	exec blksnap apply $inc $full
) >/dev/null 2>&1 || rc=$?
is $rc 153 "status of who was killed"
is "$(jq -r .applying $full.blksnap)" "$(id_of o-b)" "where it is going"
exits 0 blksnap apply $inc $full
is_image $full o-b
exits 0 blksnap remove a b
umount $work/small
