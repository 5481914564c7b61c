#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2015,SC2086,SC2154,SC2251
#
# What bow takes is bounded, and it needs no memory to make memory free: swapping
# to a file of a filesystem above it, while other files there are written as fast
# as it goes, all in a checkpoint, in a machine whose memory does not suffice.
# MINUTES=10 makes it last (make check-memory).

# boot: --mem 320
# kernels: 6.12
# timeout: 600

# shellcheck source=/dev/null
. /tests/t/2fs.inc
# shellcheck source=/dev/null
. /tests/t/3press.inc

FREE=$((34 << 11))+$((30 << 11))	# the upper half of a small device

memory() { field "$1" 15; }
peak() { field "$1" 16; }

# ---- the bound -------------------------------------------------------------------

# Reads of old contents hang, so copies pile up, until no more are begun.
step "more copies than there may be"
carve small 64M
dmsetup create slow --table "0 $((64 << 11)) linear /dev/mapper/small 0"
plain_create y /dev/mapper/slow
bowio fill /dev/mapper/y $work/model
bowio discard -r $FREE /dev/mapper/y
plain_checkpoint y
stand=$(memory y)
at_exit "dmsetup resume slow 2>/dev/null"
dmsetup suspend --nolockfs slow
bowio write -t 26 -s $((1 << 20)) -q -r 2048+$((26 << 11)) -g 100 /dev/mapper/y $work/model >/dev/null &
until_true reaches y 15 $((stand + FULL))
[ "$(memory y)" -le $((stand + BOUND)) ] || die "$(($(memory y) - stand)) bytes of copies"
step "$(($(memory y) - stand)) bytes of copies, $stand without"
dmsetup resume slow
wait $!
is "$(memory y)" "$stand" "memory after all copies"
most=$(peak y)
[ "$most" -ge $((stand + FULL)) ] && [ "$most" -le $((stand + BOUND)) ] ||
	die "$((most - stand)) bytes of copies"
bowio verify -x $FREE /dev/mapper/y $work/model
dmsetup message y 0 commit
dmsetup remove y
dmsetup remove slow
rm $work/model

# ---- pressure ---------------------------------------------------------------------

carve raw 400M
raw=/dev/mapper/raw
make_fs ext4 $raw
mount $raw $mnt
make_files
manifest $mnt >$work/before
umount $mnt

begin() {
	bow create x $raw >/dev/null
	mount /dev/mapper/x $mnt
	bow trim x >/dev/null
	bow checkpoint x >/dev/null
	stand=$(memory x)
	squeeze
}

end() {
	copies=$(field x 9)
	highest=$(peak x)
	is "$(field x 1) $(field x 14)" "checkpoint rw"
	relieve
	is "$(memory x)" "$stand" "memory after all copies"
	umount $mnt
	bow remove x 2>/dev/null
	roll_back $raw
	check_fs ext4 $raw
	mount -o ro $raw $mnt
	same $mnt $work/before
	umount $mnt
}

until=$((SECONDS + ${MINUTES:-0} * 60))
round=0 most=0
while [ $round = 0 ] || [ $SECONDS -lt $until ]; do
	round=$((round + 1))
	began=$(swapped)
	begin
	left=$(available)
	press $round
	pages=$(($(swapped) - began))
	end
	step "round $round: $left KiB left, $pages pages swapped out, $copies copies with $((highest - stand)) bytes"
	[ $pages -gt 2500 ] || die "only $pages pages were swapped out"
	[ $copies -gt 100 ] || die "only $copies copies"
	[ "$highest" -gt "$stand" ] && [ "$highest" -le $((stand + BOUND)) ] ||
		die "$((highest - stand)) bytes of copies"
	[ $((highest - stand)) -le $most ] || most=$((highest - stand))
done
step "$round rounds; $most bytes of copies at the most, and $stand without"
