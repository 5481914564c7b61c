#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2086,SC2154,SC2251
#
# The tool killed while the device is suspended; messages against suspend and
# resume; writers that wait for space below a filesystem.

# shellcheck source=/dev/null
. /tests/t/2fs.inc

carve raw 48M
raw=/dev/mapper/raw
make_fs ext4 $raw

step "killed between suspend and resume: the guardian resumes"
bow create x $raw >/dev/null
mount /dev/mapper/x $mnt
fill $mnt
bow trim x
manifest $mnt >$work/before
bow checkpoint --test-pause-ms 600000 x &
tool=$!
until_true is_suspended x
until_true field_is x 1 checkpoint
is_suspended x || die "resumed too early"
pgrep bow-guardian >/dev/null || die "no guardian"
kill -KILL $tool
rc=0
wait $tool || rc=$?
[ $rc = 137 ] || die "the tool was not killed but gave $rc"
resumed() { ! is_suspended x; }
until_true resumed
gone() { ! pgrep bow-guardian >/dev/null; }
until_true gone
field_is x 1 checkpoint || die "no checkpoint"
churn $mnt
umount $mnt
bow remove x 2>/dev/null
roll_back $raw
check_fs ext4 $raw
mount -o ro $raw $mnt
same $mnt $work/before
umount $mnt

step "signals do not stop it half-way"
bow create x $raw >/dev/null
mount /dev/mapper/x $mnt
bow trim x
bow checkpoint --test-pause-ms 1500 x >$work/out &
tool=$!
until_true is_suspended x
kill -TERM $tool
kill -INT $tool
resumed_by_itself() { field_is x 1 checkpoint && ! is_suspended x; }
until_true resumed_by_itself
wait $tool || :
gone || until_true gone
bow commit x
umount $mnt
bow remove x

step "checkpoint and commit messages against suspend and resume"
bow create x $raw >/dev/null
mount /dev/mapper/x $mnt
bow trim x
touch $work/go
(while [ -e $work/go ]; do
	trap - ERR
	set +e
	dmsetup suspend x
	dmsetup resume x
done) 2>/dev/null &
(while [ -e $work/go ]; do
	trap - ERR
	set +e
	dmsetup suspend --noflush --nolockfs x
	dmsetup resume x
done) 2>/dev/null &
(while [ -e $work/go ]; do
	dd if=/dev/urandom of=$mnt/written bs=4096 count=64 conv=fsync status=none
done) &
writer=$!
taken=0 refused=0 tries=0
while [ $tries -lt 400 ] && [ $taken -lt 3 ]; do
	tries=$((tries + 1))
	if dmsetup message x 0 checkpoint 2>/dev/null; then
		field_is x 1 checkpoint || die "a checkpoint that is none"
		taken=$((taken + 1))
		dmsetup message x 0 commit
		field_is x 1 committed || die "not committed"
	else
		refused=$((refused + 1))
	fi
done
rm $work/go
wait $writer
wait
step "$taken taken, $refused refused"
[ $taken -gt 0 ] || die "not one checkpoint hit a suspend"
! is_suspended x || dmsetup resume x
churn $mnt 2
umount $mnt
bow remove x
exits 0 bow check $raw
check_fs ext4 $raw

step "on_full hold: writers wait until the commit"
bow create --on-full hold x $raw >/dev/null
mount /dev/mapper/x $mnt
rm -rf $mnt/unpacked* $mnt/copy*
dd if=/dev/urandom of=$mnt/old bs=1M count=14 conv=fsync status=none
bow trim x
bow checkpoint x
head -c 16000000 /dev/urandom >$work/new
(
	dd if=$work/new of=$mnt/old bs=64k oflag=direct conv=notrunc status=none
	cp $work/new $mnt/more
	sync -f $mnt
	echo written >$work/written
) &
writer=$!
until_true field_is x 14 full
[ ! -e $work/written ] || die "nobody waits"
bow status --json x | jq -e '.devices[0].mode == "full"' >/dev/null || die "the tool does not show it"
bow commit x
wait $writer
field_is x 1 committed || die "not committed"
field_is x 14 rw || die "still $(field x 14)"
cmp -n 14680064 $work/new $mnt/old || die "the writes that waited are wrong"
cmp $work/new $mnt/more
umount $mnt
bow remove x
check_fs ext4 $raw

step "on_full hold: a plain suspend fails the writers instead of waiting for ever"
bow create --on-full hold x $raw >/dev/null
mount -o errors=continue /dev/mapper/x $mnt
rm -f $mnt/more
sync -f $mnt
bow trim x
manifest $mnt >$work/before
bow checkpoint x
dd if=$work/new of=$mnt/old bs=64k count=220 oflag=direct conv=notrunc status=none 2>$work/err &
writer=$!
(trap - ERR; cp $work/new $mnt/more; cp -r $mnt/tree $mnt/tree3; sync -f $mnt) 2>/dev/null &
until_true field_is x 14 full
rc=0
timeout 60 dmsetup suspend x 2>/dev/null || rc=$?
[ $rc != 124 ] || die "no suspend while writers wait"
# ext4 may have been told of an error and not let itself be frozen: rc is 1 then.
! is_suspended x || dmsetup resume x
step "suspend gave $rc; a noflush one and another policy let go of who waits since"
dmsetup reload x --table "$(dmsetup table x | sed 's/ on_full hold/ on_full fail/')"
timeout 60 dmsetup suspend --noflush --nolockfs x || die "no second suspend"
dmsetup resume x
wait $writer || :
wait
umount $mnt
bow remove x 2>/dev/null
roll_back $raw
check_fs ext4 $raw
mount -o ro $raw $mnt
same $mnt $work/before
