#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The harness itself: what was flushed before a power cut is there after it, the
# status of a guest comes through, and a crash does not look like success.
# timeout: 600

# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/../lib.sh"

disk=$(mkdisk disk 64M)

step "power cut"
guest 77 --disk "$disk" '
	mke2fs -q -F -t ext4 /dev/vda
	mount /dev/vda /mnt
	head -c 3M /dev/urandom >/mnt/data
	sha256sum </mnt/data >/mnt/sum
	sync
	echo lost >/mnt/lost
	powercut'
guest 0 --disk "$disk" '
	mount /dev/vda /mnt
	is "$(sha256sum </mnt/data)" "$(cat /mnt/sum)" "checksum"
	not grep -q . /mnt/lost 2>/dev/null
	umount /mnt
	e2fsck -fn /dev/vda'

step "power cut some time after a token, while writing"
guest 77 --disk "$disk" --kill-after 200 '
	vm-token armed
	while :; do dd if=/dev/zero of=/dev/vda bs=1M count=4 oflag=direct status=none; done'

step "status and arguments"
guest 43 'exit 43'
is "$(vm -c 'echo "$# $1"; exit 0' 'one word')" "1 one word"

step "a crash is a crash, and a complaint of the kernel is a failure"
guest 121 'echo c >/proc/sysrq-trigger; sleep 60' 2>/dev/null
guest 120 'echo "<4>WARNING: CPU: 0 PID: 1 at nothing" >/dev/kmsg' 2>/dev/null

step "a script that takes too long"
guest 122 --timeout 2 'sleep 60' 2>/dev/null
