# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# In the guest: what the kernel says to the images of tests/images, which are in
# /images. Sourced by t/310-hostile-logs.host.sh, after lib.sh.

export DM_DISABLE_UDEV=1
modprobe dm-bow
raw=/dev/mapper/raw

# Has the kernel, since dmesg was cleared, taken or refused it, and why?
answer() {
	local said

	if dmsetup info bow >/dev/null 2>&1 && said=$(dmsetup status bow) && [ -n "$said" ]; then
		case $said in
		*' checkpoint '*)	echo resumed ;;
		*' trim '*)		dmesg | grep -q 'finished an interrupted commit' &&
						echo committed || echo trim ;;
		*)			echo "strange: $said" ;;
		esac
		return
	fi
	dmesg | sed -n 's/.*device-mapper: bow: [^ ]*: //p' | sed -n \
		-e 's/^log is damaged: \(.*\) (page at sector .*/refused: \1/p' \
		-e 's/^log has a/refused: has a/p' -e 's/^the log is being/busy: &/p' | tail -n 1
}

bow_gone() {
	! dmsetup info bow >/dev/null 2>&1 || dmsetup remove bow
}

same_as() { # FILE SECTORS
	cmp -n $((512 * $2)) "$1" $raw
}

# Without resume only a device without a log is taken; nothing is written.
plain() { # IMAGE SECTORS WANT
	dmesg -C
	if dmsetup create bow --table "0 $2 bow $raw" 2>/dev/null; then
		bow_gone
		[ "$3" = trim ] || die "${1##*/}: taken without resume"
	else
		bow_gone
		[ "$3" != trim ] || die "${1##*/}: refused without resume"
		dmesg | grep -q 'Device carries a log: restore, commit or resume it' ||
			die "${1##*/}: no word of the log"
	fi
	same_as "$1" "$2" || die "${1##*/}: written to, without resume"
}

resume() { # IMAGE SECTORS WANT
	local got bs features="1 resume"

	bs=$(bow check --json "$1" 2>/dev/null | jq '.log.block_bytes // 4096' || :)
	[ "$bs" = 4096 ] || features="3 resume block_size $bs"
	dmesg -C
	dmsetup create bow --table "0 $2 bow $raw $features" 2>/dev/null || :
	got=$(answer)
	bow_gone
	[ "$got" = "$3" ] || die "${1##*/}: '$got', not '$3'"
	case $got in
	refused*|busy*|trim)
		same_as "$1" "$2" || die "${1##*/}: refused, but written to" ;;
	esac
}

# What was in use at the checkpoint is in the first 400 sectors of them all.
restored() { # IMAGE
	local rc=0 again=0

	bow restore "$1" >/dev/null 2>&1 || rc=$?
	bow restore $raw >/dev/null 2>&1 || again=$?
	[ $rc = $again ] || die "${1##*/}: restore ends with $rc, after a resume with $again"
	[ $rc = 4 ] || same_as "$1" 400 || die "${1##*/}: restored to something else"
}

for want in /images/*.resume; do
	image=${want%.resume}
	size=$(($(stat -c %s "$image") / 512))
	dd if="$image" of=/dev/vda bs=64k conv=fsync status=none
	dmsetup create raw --table "0 $size linear /dev/vda 0"
	want=$(cat "$want")
	plain "$image" $size "$want"
	resume "$image" $size "$want"
	[ "$want" != resumed ] || restored "$image"
	dmsetup remove raw
	echo "# ok: ${image##*/}: $want"
done
rmmod dm-bow dm-cow
