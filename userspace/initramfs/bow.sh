# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
#
# What an initramfs does if the root file system, or /usr, is in bow.conf(5); shared by
# initramfs-tools and dracut. For busybox: no bashisms, nothing from /usr.

bow_conf=${BOW_CONF:-/etc/bow.conf}	# for tests
bow_status=0

# Lines of the file: COMMAND WORD... The last one may have no end.
bow_each_line() {
	while read -r bow_w bow_x bow_y bow_z bow_rest || [ -n "$bow_w" ]; do
		case $bow_w in
		''|'#'*) ;;
		*)	"$1" "$bow_w" "$bow_x" "$bow_y" "$bow_z" "$bow_rest" ;;
		esac
	done <"$bow_conf"
}

bow_early() {
	case $1:$3 in
	set:*)	;;
	*:/|*:/usr) bow_names="$bow_names $2" ;;
	esac
}

# Names of the devices that are needed before the root file system is there; none if
# bow-activate.service will do.
bow_early_names() {
	bow_names=
	[ ! -r "$bow_conf" ] || bow_each_line bow_early
	echo "${bow_names# }"
}

bow_state_type() {
	[ "$1:$2" != set:state_device ] || echo "$4"
}

# Modules for the file system with the state, beside dm-bow itself.
bow_modules() {
	echo dm-bow
	bow_types=$(bow_each_line bow_state_type)
	case $bow_types in
	vfat)	echo vfat nls_cp437 nls_ascii nls_iso8859-1 nls_utf8 ;;
	?*)	echo "$bow_types" ;;
	esac
}

# Programs that bow.conf names: which system it is, and marks.
bow_program() {
	case $1:$2:$3 in
	set:system:command) echo "$4" ;;
	set:mark_good:*|set:mark_bad:*) echo "$3" ;;
	esac
}

bow_programs() {
	bow_each_line bow_program
}

bow_all_made() {
	for bow_n in $(bow_early_names); do
		[ -e "/dev/mapper/$bow_n" ] || return 1
	done
}

# Make all devices, also those that are not needed yet: they are one transaction.
# False if it is no use to try again; $bow_status is what bow said.
bow_activate() {
	[ -n "$(bow_early_names)" ] || return 0
	! bow_all_made || return 0
	bow_status=0
	bow boot activate --kmsg || bow_status=$?
	case $bow_status in
	0|32)	return 0 ;;
	8)	return 0 ;;	# a device is not there yet, perhaps
	esac
	bow_all_made
}

# With root mounted and nothing run from it. False if it is not safe to go on.
bow_protect() {
	[ -n "$(bow_early_names)" ] || return 0
	bow_status=0
	bow boot protect --kmsg || bow_status=$?
	# A disk beside that of root may have come later.
	if [ "$bow_status" = 16 ] && { bow boot activate --kmsg || [ $? = 32 ]; }; then
		bow_status=0
		bow boot protect --kmsg || bow_status=$?
	fi
	[ "$bow_status" = 0 ] || [ "$bow_status" = 32 ]
}

bow_trouble() { # WHAT
	echo "bow: $1: see its messages above, 'bow boot status' and 'bow check DEVICE'." \
		"'bow restore DEVICE' goes back to the checkpoint, 'bow commit DEVICE' keeps" \
		"what is there; then reboot."
}
