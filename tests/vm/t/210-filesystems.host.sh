#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2086,SC2154,SC2251
#
# ext4, xfs, f2fs, vfat and btrfs: an update, a power cut in the middle of it,
# and back; another one, a power cut, on and committed.  One boot a phase:
#   update    files, checkpoint, churn, power cut
#   rollback  nothing to be mounted, restore, clean, all files as they were;
#             the second checkpoint, churn, power cut
#   commit    resume, the files are there, trim and reclaim, more, commit

set -euo pipefail

# On 6.1 not all of them, unless there is time.
all="ext4 xfs f2fs vfat btrfs"
[ "${VM_KERNEL-}" != 6.1 ] || [ -n "${LONG-}" ] || all="ext4 xfs"
filesystems=${FILESYSTEMS:-$all}

# ---- on the host ---------------------------------------------------------------

size_of() {
	case $1 in
	xfs)	echo 304M ;;
	btrfs)	echo 256M ;;
	f2fs)	echo 128M ;;
	*)	echo 80M ;;
	esac
}

if [ ! -e /vm/script ]; then
	top=$(cd "$(dirname "$0")/../../.." && pwd -P)
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	disks=()
	for fs in $filesystems; do
		truncate -s "$(size_of "$fs")" "$tmp/$fs"
		disks+=(-d "$tmp/$fs,serial=$fs")
	done
	truncate -s 8M "$tmp/notes"
	disks+=(-d "$tmp/notes,serial=notes")

	phase() { # NAME STATUS
		local rc=0

		echo "# $1"
		"$top/scripts/vm" -k "${VM_KERNEL:-6.12}" -m 768 -e "FILESYSTEMS=$filesystems" \
			"${disks[@]}" "$0" "$1" || rc=$?
		[ $rc = "$2" ] || { echo "phase $1: exit status $rc, not $2" >&2; exit 1; }
	}
	phase update 77
	phase rollback 77
	phase commit 0
	exit
fi

# ---- in the guest --------------------------------------------------------------

# shellcheck source=/dev/null
. /tests/t/2fs.inc

declare -A dev
for d in /dev/vd?; do
	dev[$(cat "/sys/block/${d##*/}/serial")]=$d
done

# What is to be remembered over a power cut: a tar on a disk of its own.
keep_notes() {
	tar -C $work -cf - notes | dd of="${dev[notes]}" bs=64k conv=fsync status=none
}

fetch_notes() {
	tar -C $work -xf "${dev[notes]}"
}

start() { # FILESYSTEM
	local options=rw

	# With its own discards on, f2fs offers nothing to FITRIM.
	[ "$1" != f2fs ] || options+=,nodiscard
	mkdir -p "$mnt/$1"
	mount -t "$1" -o $options "/dev/mapper/$1" "$mnt/$1"
}

checkpoint() { # FILESYSTEM
	bow create "$1" "${dev[$1]}" >/dev/null
	start "$1"
}

churn_until_dark() {
	local fs

	for fs in $filesystems; do
		churn "$mnt/$fs" "$1"
		reaches "$fs" 7 100 || [ "$fs" = btrfs ] || die "$fs: little was overwritten"
	done
}

# All of them busy when it happens.
cut_the_power() {
	local fs

	for fs in $filesystems; do
		(while :; do churn "$mnt/$fs" dark; done) 2>/dev/null &
	done
	for fs in $filesystems; do
		until_true test -e "$mnt/$fs/unpacked-dark"
	done
	powercut
}

phase_update() {
	local fs

	mkdir $work/notes
	for fs in $filesystems; do
		make_fs "$fs" "${dev[$fs]}"
		checkpoint "$fs"
		fill "$mnt/$fs"
		bow trim "$mnt/$fs"
		# btrfs is not frozen, so this must be quiet by itself
		sync -f "$mnt/$fs"
		manifest "$mnt/$fs" >$work/notes/$fs
		bow checkpoint "$fs"
	done
	keep_notes
	churn_until_dark 1
	cut_the_power
}

not_to_be_seen() { # FILESYSTEM
	! mount -t "$1" "${dev[$1]}" "$mnt" 2>/dev/null || die "$1 can be mounted past the log"
	! mount -t "$1" -o ro "${dev[$1]}" "$mnt" 2>/dev/null || die "$1 can be mounted read-only"
	exits 2 blkid -p "${dev[$1]}"
}

phase_rollback() {
	local fs

	fetch_notes
	for fs in $filesystems; do
		step "$fs"
		not_to_be_seen "$fs"
		exits 1 bow check "${dev[$fs]}"
		[ -n "${SKIP_RESTORE-}" ] || roll_back "${dev[$fs]}"
		check_fs "$fs" "${dev[$fs]}"
		checkpoint "$fs"
		same "$mnt/$fs" $work/notes/$fs
		bow trim "$fs"
		bow checkpoint "$fs"
	done
	churn_until_dark 2
	for fs in $filesystems; do
		manifest "$mnt/$fs/unpacked-2" >$work/notes/$fs.2
		mkdir "$mnt/$fs/keep"
		cp "$mnt/$fs/big/noise" "$mnt/$fs/keep/"
		sha256sum <"$mnt/$fs/keep/noise" >>$work/notes/$fs.2
		sync -f "$mnt/$fs"
	done
	keep_notes
	cut_the_power
}

present() { # FILESYSTEM
	{ manifest "$mnt/$1/unpacked-2"; sha256sum <"$mnt/$1/keep/noise"; } |
		cmp - $work/notes/$1.2 || die "$1: what was there before the power cut is not"
}

phase_commit() {
	local fs before

	fetch_notes
	for fs in $filesystems; do
		step "$fs"
		not_to_be_seen "$fs"
		bow create --resume "$fs" "${dev[$fs]}" >/dev/null
		field_is "$fs" 1 checkpoint || die "$fs: not resumed"
		# It has no journal: clusters that nobody has are the power cut's.
		[ "$fs" != vfat ] || fsck.vfat -a /dev/mapper/vfat >/dev/null || [ $? = 1 ]
		start "$fs"
		present "$fs"
		before=$(field "$fs" 4)
		bow trim --reclaim "$fs"
		reaches "$fs" 4 $((before + 1000)) || die "$fs: nothing was reclaimed"
		churn "$mnt/$fs" 3
		bow commit "$fs"
		field_is "$fs" 1 committed || die "$fs: not committed"
		present "$fs"
		echo "after the commit" >"$mnt/$fs/last"
		umount "$mnt/$fs"
		bow remove "$fs"
		exits 0 bow check "${dev[$fs]}"
		check_fs "$fs" "${dev[$fs]}"
		mount -t "$fs" -o ro "${dev[$fs]}" "$mnt/$fs"
		present "$fs"
		[ "$(cat "$mnt/$fs/last")" = "after the commit" ] || die "$fs: not all is there"
		[ -e "$mnt/$fs/unpacked-3/usr/bin/sed" ] || die "$fs: no new files"
		umount "$mnt/$fs"
	done
}

"phase_$1"
