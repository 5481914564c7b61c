# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# In the guest: what the kernel says to the images of tests/images, checkpoints and
# snapshots, which are in /images. Sourced by t/310-hostile-logs.host.sh, after lib.sh.

export DM_DISABLE_UDEV=1
modprobe dm-bow
raw=/dev/mapper/raw

# Has the kernel, since dmesg was cleared, taken or refused it, and why? Processes
# are slow to start here, so this is bash.
answer() {
	local status said

	status=$(dmsetup status bow 2>/dev/null) || status=
	said=$(dmesg)
	if [[ $status == *' checkpoint '* ]]; then
		got=resumed
	elif [[ $status == *' trim '* && $said == *'finished an interrupted commit'* ]]; then
		got=committed
	elif [[ $status == *' trim '* ]]; then
		got=trim
	elif [[ $said =~ 'log is damaged: '(.*)' (page at sector ' ]]; then
		got="refused: ${BASH_REMATCH[1]}"
	elif [[ $said =~ 'log '(has a feature[^$'\n']*) ]]; then
		got="refused: ${BASH_REMATCH[1]}"
	elif [[ $said =~ (the log is being [^$'\n']*) ]]; then
		got="busy: ${BASH_REMATCH[1]}"
	else
		got="strange: $status"
	fi
}

same_as() { # FILE SECTORS
	cmp -n $((512 * $2)) "$1" $raw
}

# Without resume only a device without a log is taken.
plain() { # IMAGE SECTORS WANT
	dmesg -C
	if dmsetup create bow --table "0 $2 bow $raw" 2>/dev/null; then
		dmsetup remove bow
		[ "$3" = trim ] || die "${1##*/}: taken without resume"
	else
		[ "$3" != trim ] || die "${1##*/}: refused without resume"
		[[ $(dmesg) == *'Device carries a log: restore, commit or resume it'* ]] ||
			die "${1##*/}: no word of the log"
	fi
}

resume() { # IMAGE SECTORS WANT BLOCK-SIZE
	local got features="1 resume"

	[ "$4" = 4096 ] || features="3 resume block_size $4"
	dmesg -C
	if dmsetup create bow --table "0 $2 bow $raw $features" 2>/dev/null; then
		answer
		dmsetup remove bow
	else
		answer
		# Some versions leave a device without a table.
		dmsetup remove bow 2>/dev/null || :
	fi
	[ "$got" = "$3" ] || die "${1##*/}: '$got', not '$3'"
	case $got in
	refused*|busy*|trim)
		same_as "$1" "$2" || die "${1##*/}: refused, but written to" ;;
	esac
}

# Restored after a resume: as without one. What was in use at the checkpoint is in
# the first 400 sectors of them all.
restored() { # IMAGE
	local rc=0

	bow restore $raw >/dev/null 2>&1 || rc=$?
	if [ -e "$1.restored" ]; then
		[ $rc = 1 ] || die "${1##*/}: restore ends with $rc after a resume"
		same_as "$1.restored" 400 || die "${1##*/}: restored to something else"
	else
		[ $rc = 4 ] || die "${1##*/}: restore ends with $rc, not 4"
	fi
}

while read -r name size bs want; do
	image=/images/$name
	dd if="$image" of=/dev/vda bs=64k conv=fsync status=none
	dmsetup create raw --table "0 $size linear /dev/vda 0"
	plain "$image" "$size" "$want"
	resume "$image" "$size" "$want" "$bs"
	[ "$want" != resumed ] || restored "$image"
	dmsetup remove raw
	echo "# ok: $name: $want"
done </images/list
rmmod dm-bow

# ---- snapshots in stores ------------------------------------------------------

modprobe dm-blksnap
low=/dev/mapper/low

snap_answer() {
	local status said

	status=$(dmsetup status i 2>/dev/null) || status=
	said=$(dmesg)
	if [[ $status == *' active '* ]]; then
		got=resumed
	elif [[ $said =~ 'cannot go on with the log: '(.*)' (page at sector ' ]]; then
		got="refused: ${BASH_REMATCH[1]}"
	elif [[ $said =~ 'the log '(has a feature[^$'\n']*) ]]; then
		got="refused: ${BASH_REMATCH[1]}"
	elif [[ $said =~ (the log is being [^:$'\n']*) ]]; then
		got="busy: ${BASH_REMATCH[1]}"
	else
		got="strange: $status"
	fi
}

# No other snapshot is put over one.
snap_plain() { # NAME ORIGIN-SECTORS
	! dmsetup create i --table "0 $2 blksnap $low $raw persistent 4096" 2>/dev/null ||
		die "$1: taken for an empty store"
	dmsetup remove i 2>/dev/null || :
}

snap_resume() { # NAME ORIGIN-SECTORS WANT
	dmesg -C
	dmsetup create i --notable
	dmsetup reload i --table "0 $2 blksnap $low $raw persistent 4096 1 resume"
	dmsetup suspend o
	dmsetup resume i 2>/dev/null || :
	dmsetup resume o
	snap_answer
	[ "$got" = "$3" ] || die "$1: '$got', not '$3'"
}

# What is written then is saved first, block 20 again, of a group that was cut.
snap_restored() { # IMAGE ORIGIN-SECTORS
	dd if=/dev/urandom of=/dev/mapper/o bs=4k seek=17 count=6 oflag=direct status=none
	dmsetup remove i
	dmsetup remove o
	expect 1 blksnap restore --quiet --store $raw $low
	cmp -n $((512 * $2)) "$1.restored" $low || die "${1##*/}: restored to something else"
}

snap_untouched() { # IMAGE STORE-SECTORS ORIGIN-SECTORS
	dmsetup remove i
	dmsetup remove o
	{ same_as "$1" "$2" && cmp -n $((512 * $3)) "$1.origin" $low; } ||
		die "${1##*/}: refused, but written to"
}

while read -r name size origin want; do
	image=/images/$name
	dd if="$image" of=/dev/vda bs=64k conv=fsync status=none
	dd if="$image.origin" of=/dev/vda bs=64k seek=64 conv=fsync status=none
	dmsetup create raw --table "0 $size linear /dev/vda 0"
	dmsetup create low --table "0 $origin linear /dev/vda 8192"
	dmsetup create o --table "0 $origin blksnap-origin $low"
	snap_plain "$name" "$origin"
	snap_resume "$name" "$origin" "$want"
	case $want in
	resumed)	snap_restored "$image" "$origin" ;;
	*)		snap_untouched "$image" "$size" "$origin" ;;
	esac
	dmsetup remove low
	dmsetup remove raw
	echo "# ok: $name: $want"
done </images/stores
rmmod dm-blksnap dm-cow
