# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# In the guest: what the kernel says to the images of tests/images, which are in
# /images. Sourced by t/310-hostile-logs.host.sh, after lib.sh.

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
rmmod dm-bow dm-cow
