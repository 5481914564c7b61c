#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# long: 6.1
# shellcheck disable=SC2086,SC2154,SC2251
#
# Filesystems keep quiet about free space they believe to be trimmed already,
# each in its own way; the tool knows them and says when it gets too little.

# shellcheck source=/dev/null
. /tests/t/2fs.inc

# Bytes discarded on a bow device so far.
discarded() {
	local stat

	read -ra stat <"$(stats "$1")"
	echo $((stat[13] * 512))
}

free_extents() { # DEVICE
	bow dump --json "$1" >$work/dump || [ $? = 1 ] || die "no dump of $1"
	jq -r '.. | objects | select(.kind? == "free") | "\(.source) \(.sectors)"' $work/dump |
		sort -n | awk '$1 == end { end += $2; next }
			end != "" { print start, end - start }
			{ start = $1; end = $1 + $2 }
			END { print start, end - start }'
}

about() { # BYTES BYTES: the first is at least nine tenths of the second
	[ $(($1 * 10)) -ge $(($2 * 9)) ] || die "only $1 bytes, not $2"
}

step "ext4: each group once per mount, but the tool gets all of them again"
carve raw 96M
raw=/dev/mapper/raw
make_fs ext4 $raw
bow create x $raw >/dev/null
mount /dev/mapper/x $mnt
fill $mnt
sync -f $mnt
fstrim $mnt
first=$(discarded x)
about "$first" $(($(stat -f -c '%f * %S' $mnt)))
fstrim $mnt
[ "$(discarded x)" = "$first" ] || die "a second FITRIM offers $(($(discarded x) - first)) bytes"
bow trim --json $mnt >$work/json
jq -e '.shortfall == false and .filesystem == "ext4" and .collected_bytes * 10 >= .free_bytes * 9' \
	$work/json >/dev/null || die "$(cat $work/json)"
about $(($(discarded x) - first)) "$first"

step "ext4 unmounted: the bitmaps say the same"
umount $mnt
bow remove x
bow create x $raw >/dev/null
mount -o ro /dev/mapper/x $mnt
bow trim $mnt
umount $mnt
mounted=$(field x 4)
bow checkpoint x
bow remove x 2>/dev/null
free_extents $raw >$work/mounted
roll_back $raw
bow create x $raw >/dev/null
exits 0 bow trim x
[ "$(field x 4)" = "$mounted" ] || die "unmounted $(field x 4) blocks, mounted $mounted"
bow checkpoint x
bow remove x 2>/dev/null
free_extents $raw >$work/unmounted
about $(($(awk '{ sum += $2 } END { print sum }' $work/mounted) * 512)) $((mounted * 4096))
cmp $work/mounted $work/unmounted || die "not the same blocks"
roll_back $raw

step "a shortfall has a warning: holes smaller than a block"
bow create --block-size 1M x $raw >/dev/null
mount /dev/mapper/x $mnt
truncate -s 700K $work/chunk
n=0
while cp $work/chunk $mnt/chunk$n 2>/dev/null && fallocate -l 700K $mnt/chunk$n 2>/dev/null; do
	n=$((n + 1))
done
rm -f $mnt/chunk*[13579] $mnt/chunk$n
exits 0 bow trim x
says 'warning: x: only [0-9]+% of the free space was collected'
says 'smaller block size'
bow trim --json x 2>/dev/null | jq -e .shortfall >/dev/null || die "the report does not tell"
umount $mnt
bow remove x

step "f2fs with its default discard: nothing, and the tool says what to do"
dmsetup remove raw
carve raw 128M
make_fs f2fs $raw
bow create x $raw >/dev/null
mount -t f2fs -o discard /dev/mapper/x $mnt
exits 0 bow trim x
says 'only [0-9]+% of the free space'
says "remount,nodiscard $mnt"
mount -o remount,nodiscard $mnt
exits 0 bow trim x
! grep -q only <<<"$out" || die "after the remount: $out"
umount $mnt
bow remove x

step "f2fs trimmed by mkfs: nothing until the second mount"
mkfs.f2fs -q -f $raw >/dev/null
bow create x $raw >/dev/null
mount -t f2fs -o nodiscard /dev/mapper/x $mnt
exits 0 bow trim x
says 'only [0-9]+% of the free space'
says 'mount -o nodiscard, then trim again'
echo "the first segment that is not as mkfs left it" >$mnt/file
sync -f $mnt
umount $mnt
mount -t f2fs -o nodiscard /dev/mapper/x $mnt
exits 0 bow trim x
! grep -q only <<<"$out" || die "after the second mount: $out"
umount $mnt
bow remove x

step "btrfs: unallocated space once per mount"
dmsetup remove raw
carve raw 256M
make_fs btrfs $raw
bow create x $raw >/dev/null
mount /dev/mapper/x $mnt
exits 0 bow trim x
first=$(discarded x)
[ "$first" -gt $((150 << 20)) ] || die "only $first bytes the first time"
fstrim $mnt
second=$(($(discarded x) - first))
[ $((second * 2)) -lt "$first" ] || die "$first bytes the first time, $second the second"
umount $mnt
bow remove x

step "btrfs trimmed past the tool, without bow: it says so"
mount $raw $mnt
umount $mnt
bow create x $raw >/dev/null
mount /dev/mapper/x $mnt
fstrim $mnt
before=$(field x 4)
dd if=/dev/zero of=$mnt/all bs=1M 2>/dev/null || :
sync -f $mnt
rm $mnt/all
sync -f $mnt
exits 0 bow trim x
step "$before blocks before, $(field x 4) after all was written and deleted: $out"
umount $mnt
bow remove x
