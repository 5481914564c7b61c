#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# long: 6.12
# shellcheck disable=SC2015,SC2086,SC2153,SC2154,SC2251
#
# As 330, of blksnap: what a snapshot takes is bounded, and an origin needs no memory to
# make memory free. Swapping to a file of its filesystem, while other files there are
# written and the image is read, with a transient snapshot, a persistent one, and one
# whose store is too small. In the end it is bit for bit what was there at the take, or
# it is lost and nothing else is.
# MINUTES=10 makes it last (make check-memory).

# boot: --mem 320
# kernels: 6.12
# timeout: 900

# shellcheck source=/dev/null
. /tests/t/4snap.inc
# shellcheck source=/dev/null
. /tests/t/3press.inc

memory() { field "$1" 7; }
peak() { field "$1" 8; }
index() { field i 6; }

# ---- the bound -------------------------------------------------------------------

# The store hangs, so copies pile up, until no more are begun.
step "more copies than there may be"
carve small 64M
dmsetup create slow --table "0 $((64 << 11)) linear $store 0"
dmsetup create y --table "0 $((64 << 11)) blksnap-origin /dev/mapper/small"
bowio fill /dev/mapper/y $work/model
dmsetup create i --notable
dmsetup reload i --table "0 $((64 << 11)) blksnap /dev/mapper/small /dev/mapper/slow transient 4096"
dmsetup suspend y
dmsetup resume i
dmsetup resume y
cp $work/model $work/before
stand=$(memory y)
at_exit "dmsetup resume slow 2>/dev/null"
dmsetup suspend --nolockfs slow
bowio write -t 26 -s $((1 << 20)) -q -r 2048+$((26 << 11)) -g 100 /dev/mapper/y $work/model >/dev/null &
until_true reaches y 7 $((stand + FULL))
[ "$(memory y)" -le $((stand + BOUND)) ] || die "$(($(memory y) - stand)) bytes of copies"
step "$(($(memory y) - stand)) bytes of copies, $stand without"
dmsetup resume slow
wait $!
is "$(memory y)" "$((stand + $(index)))" "memory after all copies"
most=$(($(peak y) - $(index)))
[ "$most" -ge $((stand + FULL)) ] && [ "$most" -le $((stand + BOUND)) ] ||
	die "$((most - stand)) bytes of copies"
bowio verify /dev/mapper/y $work/model
bowio verify /dev/mapper/i $work/before
dmsetup remove i
# Two bits a block.
[ "$(memory y)" -le $((stand - (64 << 20) / 4096 / 4)) ] || die "$(memory y) bytes without a snapshot"
dmsetup remove y
dmsetup remove slow
rm $work/model $work/before

# ---- pressure ---------------------------------------------------------------------

carve raw 300M
carve track 1M
dmsetup create few --table "0 $((16 << 11)) linear $store 0"
dmsetup create many --table "0 $((600 << 11)) linear $store $((16 << 11))"
few=/dev/mapper/few many=/dev/mapper/many
raw=/dev/mapper/raw
size=$(sectors $raw)
make_fs ext4 $raw
mount $raw $mnt
make_files
unchanged() { # of the files
	manifest $1 | grep -vE ' ./(old|direct|new|swap)$'
}
unchanged $mnt >$work/files
umount $mnt

origin() {
	dmsetup create x --table "0 $size blksnap-origin $raw 2 tracking /dev/mapper/track"
}

# Of the memory, all but the index. No write comes between one figure and the next.
figures() {
	fsfreeze -f $mnt
	copies=$(field x 5)
	kept=$(index)
	highest=$(($(peak x) - kept))
	rest=$(($(memory x) - kept))
	fsfreeze -u $mnt
}

# On D3 there is what was there then.
begin() { # STORE MODE
	origin
	mount /dev/mapper/x $mnt
	dmsetup create i --notable
	dmsetup reload i --table "0 $size blksnap $raw $1 $2 4096"
	dmsetup suspend x
	dd if=$raw of=$D3 bs=1M iflag=direct oflag=direct status=none
	dmsetup resume i
	dmsetup resume x
	figures
	stand=$rest
	squeeze
}

is_as_before() { # DEVICE
	blockdev --flushbufs $1
	dd if=$1 bs=1M iflag=direct status=none | cmp -n $((size << 9)) - $D3 ||
		die "$1 is not what was there at the take"
}

# As a backup does, all the time; what it gets is looked at later.
read_image() {
	while [ -e $work/go ]; do
		dd if=/dev/mapper/i of=/dev/null bs=64k count=400 iflag=direct status=none 2>$work/reader ||
			field_is i 1 overflow || die "a read of the image: $? $(cat $work/reader), $(dmsetup status i)"
	done
}

lost() {
	is "$(field i 1) $(field x 1)" "overflow idle" "states"
	not dd if=/dev/mapper/i of=/dev/null bs=4k count=1 iflag=direct status=none 2>/dev/null
}

rolled_back() { # STORE
	if [ $1 = $many ]; then
		exits 1 blksnap restore --store $1 $raw
		is_as_before $raw
	else
		exits 0 blksnap check --store $1 $raw
	fi
}

end() { # STORE MODE
	relieve
	figures
	is "$rest" "$stand" "memory after all copies"
	is "$(field x 13)" kept "tracking"
	umount $mnt
	[ $1 = $many ] || lost
	[ $1 != $many ] || is_as_before /dev/mapper/i
	dmsetup remove i
	dmsetup remove x
	check_fs ext4 $raw
	mount -o ro $raw $mnt
	unchanged $mnt | diff $work/files - || die "files have changed that nobody wrote to"
	umount $mnt
	[ $2 != persistent ] || rolled_back $1
}

# STORE MODE of each round. Without a log groups of copies have no bound of their own, so
# the first one is where memory runs short.
kinds=("$many transient" "$few persistent" "$many persistent" "$few transient")
# Swapped one by one, pages are copied one by one.
BOUND=$((PAGES + (16 << 20) * 600 / 4096))
until=$((SECONDS + ${MINUTES:-0} * 60))
round=0 most=0
while [ $round -lt ${#kinds[@]} ] || [ $SECONDS -lt $until ]; do
	kind=${kinds[round % ${#kinds[@]}]}
	round=$((round + 1))
	began=$(swapped)
	begin $kind
	left=$(available)
	touch $work/go
	read_image &
	reader=$!
	press $round
	wait $reader
	pages=$(($(swapped) - began))
	end $kind
	step "round $round, $kind: $left KiB left, $pages pages swapped out, $copies copies with $((highest - stand)) bytes, $kept of the index"
	[ $pages -gt 2500 ] || die "only $pages pages were swapped out"
	[ $copies -gt 100 ] || die "only $copies copies"
	# What is known of each run of blocks: 32 to 48 bytes. Many copies may be one run.
	[ "${kind% *}" != $many ] || { [ $kept -ge 32 ] && [ $kept -le $((copies * 48)) ]; } ||
		die "$kept bytes for $copies copies"
	[ "$highest" -gt "$stand" ] && [ "$highest" -le $((stand + BOUND)) ] ||
		die "$((highest - stand)) bytes of copies"
	[ $((highest - stand)) -le $most ] || most=$((highest - stand))
done
step "$round rounds; $most bytes of copies at the most, and $stand without"
