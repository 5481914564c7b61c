#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# long: 6.1
# shellcheck disable=SC2086,SC2154,SC2251
#
# An ext4 overwrites more than there is room for backups, under each policy.

# shellcheck source=/dev/null
. /tests/t/2fs.inc

carve raw 48M
raw=/dev/mapper/raw
make_fs ext4 $raw
mount $raw $mnt
fill $mnt
dd if=/dev/urandom of=$mnt/old bs=1M count=18 conv=fsync status=none
umount $mnt
head -c 19000000 /dev/urandom >$work/new

begin() { # POLICY
	step "on_full $1"
	bow create --on-full "$1" x $raw >/dev/null
	mount -o errors=continue /dev/mapper/x $mnt
	manifest $mnt >$work/before
	bow trim x
	bow checkpoint x
}

overwrite() {
	dd if=$work/new of=$mnt/old bs=64k count=280 oflag=direct conv=notrunc,fsync status=none
}

end_with_rollback() {
	umount $mnt
	bow remove x 2>/dev/null
	exits 1 bow check $raw
	roll_back $raw
	check_fs ext4 $raw
	mount -o ro $raw $mnt
	same $mnt $work/before
	umount $mnt
}

begin fail
churn $mnt
! overwrite 2>$work/err || die "all was overwritten"
grep -q 'No space left' $work/err || die "$(cat $work/err)"
field_is x 14 full || die "mode is $(field x 14)"
field_is x 1 checkpoint || die "state is $(field x 1)"
# ext4 may have given its journal up, but not the device: all of it can be read.
cat /dev/mapper/x >/dev/null
[ "$(field x 4)" -lt 64 ] || die "full, but $(field x 4) blocks are free"
end_with_rollback

begin hold
churn $mnt
(
	trap - ERR
	overwrite
) 2>/dev/null &
writer=$!
until_true field_is x 14 full
# Reads do not wait; after all these, a writer that was refused would be gone.
cat /dev/mapper/x >/dev/null
kill -0 $writer 2>/dev/null || die "nobody waits"
field_is x 1 checkpoint || die "state is $(field x 1)"
step "the policy is changed to fail: nobody waits any longer"
dmsetup reload x --table "$(dmsetup table x | sed 's/on_full hold/on_full fail/')"
dmsetup suspend --noflush --nolockfs x
dmsetup resume x
! wait $writer || die "all was overwritten"
end_with_rollback

begin commit
churn $mnt
overwrite
field_is x 1 committed || die "state is $(field x 1)"
field_is x 14 rw || die "mode is $(field x 14)"
cmp -n 18350080 $work/new $mnt/old || die "live data is damaged"
head -c 3000000 $work/new >$mnt/more
manifest $mnt >$work/before
umount $mnt
bow remove x
exits 0 bow restore $raw
check_fs ext4 $raw
mount -o ro $raw $mnt
same $mnt $work/before
