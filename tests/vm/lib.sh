# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What every test may use, in the guest and on the host:
#
#   . /tests/lib.sh                         in the guest
#   . "$(dirname "$0")/../lib.sh"           in t/*.host.sh
#
# A test fails when it exits with anything but 0 (or 200: skipped); every command
# that fails ends it and is named.  So most of a test is plain commands, and
#
#   not COMMAND...          which must fail
#   should COMMAND...       which is told of when it fails, no more
#   ok WHAT COMMAND...      which is told of either way
#   expect RC COMMAND...    which must exit with RC
#   is GOT WANT [WHAT]      compares two strings
#   long                                   is there time for more of the same?
#   die WHAT, skip WHY, step WHAT, at_exit COMMAND
#
# Lines that scripts read start the file of a test, after its licence:
#   # timeout: SECONDS      instead of 300; slow kernels get more
#   # kernels: 6.12         not on others
#   # long: 6.1             there only if it is named, or $LONG is set
#   # boot: OPTIONS         a machine of its own; OPTIONS, if any, for scripts/vm

set -eEuo pipefail
shopt -s inherit_errexit

die() {
	trap - ERR
	echo "# FAILED: $*"
	exit 1
}

# shellcheck disable=SC2154
_on_err() {
	local rc=$? i

	trap - ERR
	echo "# FAILED with status $rc: $1"
	for ((i = 1; i < ${#BASH_SOURCE[@]}; i++)); do
		echo "#   at ${BASH_SOURCE[i]##*/}:${BASH_LINENO[i - 1]}"
	done
	exit 1
}
trap '_on_err "$BASH_COMMAND"' ERR

skip() {
	trap - ERR
	echo "# skipped: $*"
	exit 200
}

step() {
	echo "# $*"
}

not() {
	if "$@"; then
		die "must not succeed: $*"
	fi
}

should() {
	"$@" || echo "# should have succeeded (status $?): $*"
}

ok() {
	local what=$1 rc=0

	shift
	"$@" || rc=$?
	[ $rc = 0 ] || die "$what (status $rc): $*"
	echo "# ok: $what"
}

expect() {
	local want=$1 rc=0

	shift
	"$@" || rc=$?
	[ $rc = "$want" ] || die "status $rc instead of $want: $*"
}

is() {
	[ "$1" = "$2" ] || die "${3:-value} is '$1', not '$2'"
}

_at_exit=()
at_exit() {
	_at_exit=("$*" "${_at_exit[@]}")
	trap _run_at_exit EXIT
}

_run_at_exit() {
	local rc=$? c

	set +e
	trap - ERR EXIT
	for c in "${_at_exit[@]}"; do
		eval "$c"
	done
	exit $rc
}

# Is there time for more of the same?  make check-long says so.
long() {
	[ -n "${LONG-}" ]
}

# Try for SECONDS until COMMAND succeeds.
wait_for() { # SECONDS COMMAND...
	local end=$((SECONDS + $1 * ${VM_SLOW:-1}))

	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || die "waited in vain for: $*"
		sleep 0.1
	done
}

# --- on the host -----------------------------------------------------------------

if [ ! -e /vm/argv ]; then
	TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
	VM_KERNEL=${VM_KERNEL:-6.12}
	WORK=$(mktemp -d "${TMPDIR:-/tmp}/dm-cow-test.XXXXXX")
	at_exit 'rm -rf "$WORK"'

	# A sparse image in the working directory; prints its path.
	mkdisk() { # NAME SIZE
		truncate -s "$2" "$WORK/$1"
		echo "$WORK/$1"
	}

	# scripts/vm on the kernel under test.
	vm() {
		"$TOP/scripts/vm" --kernel "$VM_KERNEL" "$@"
	}

	# guest RC OPTION... COMMANDS: commands in a guest that knows this library;
	# scripts/vm must exit with RC (77: the power was cut).
	guest() {
		local want=$1 commands=${*: -1}

		set -- "${@:2:$#-2}"
		expect "$want" vm "$@" -c ". /tests/lib.sh
$commands"
	}
	return 0
fi

# --- in the guest ----------------------------------------------------------------

# The scratch disks of t/*.sh, all zeroes when a test starts.  See tests/vm/run.
# shellcheck disable=SC2034
D1=/dev/vda D2=/dev/vdb D3=/dev/vdc D_SMALL=/dev/vdd D_ODD=/dev/vde D_4K=/dev/vdf

sectors() {
	blockdev --getsz "$1"
}

# A device that goes away with the test.
dm_create() { # NAME TABLE
	dmsetup create "$1" --table "$2"
	at_exit "dm_remove_quietly $1"
	[ -b "/dev/mapper/$1" ] || die "there is no /dev/mapper/$1"
}

dm_exists() {
	dmsetup info "$1" >/dev/null 2>&1
}

dm_remove() {
	dmsetup remove --retry "$1"
}

dm_remove_quietly() {
	! dm_exists "$1" || dmsetup remove --retry "$1" >/dev/null 2>&1 ||
		dmsetup remove --force "$1" >/dev/null 2>&1 || :
}

dm_gone() {
	! dm_exists "$1"
}

dm_wait_removed() { # NAME [SECONDS]
	wait_for "${2:-10}" dm_gone "$1"
}

# A counter of a block device: reads, rsectors, writes, wsectors, discards,
# dsectors, flushes, inflight.
blk_stat() { # DEVICE COUNTER
	local dev f i

	dev=$(readlink -f "$1")
	read -ra f <"/sys/class/block/${dev##*/}/stat"
	case $2 in
	reads)		i=0 ;;
	rsectors)	i=2 ;;
	writes)		i=4 ;;
	wsectors)	i=6 ;;
	inflight)	i=8 ;;
	discards)	i=11 ;;
	dsectors)	i=13 ;;
	flushes)	i=15 ;;
	*)		die "no counter $2" ;;
	esac
	echo "${f[i]}"
}

blk_limit() { # DEVICE NAME
	local dev

	dev=$(readlink -f "$1")
	cat "/sys/class/block/${dev##*/}/queue/$2"
}

# Checksum of what is on the device, past the page cache.
sum_of() { # DEVICE
	blockdev --flushbufs "$1"
	dd if="$1" bs=1M iflag=direct status=none | sha256sum | cut -d' ' -f1
}

load_null_blk() {
	modprobe null_blk nr_devices=0
	[ -d /sys/kernel/config/nullb ] || mount -t configfs none /sys/kernel/config
}

# A disk in memory that forgets what is discarded.
# disk NAME MEGABYTES [ATTRIBUTE=VALUE...]: sets $disk
disk() {
	local dir=/sys/kernel/config/nullb/$1 attr

	mkdir "$dir"
	echo "$2" >"$dir/size"
	shift 2
	for attr in memory_backed=1 discard=1 "$@"; do
		echo "${attr#*=}" >"$dir/${attr%%=*}"
	done
	echo 1 >"$dir/power"
	disk=/dev/${dir##*/}
	[ -b "$disk" ] || disk=/dev/nullb$(cat "$dir/index")
	[ -b "$disk" ] || die "no $disk"
}

# Does this kernel have disks with zones?  disk NAME MEGABYTES zoned=1 zone_size=4
zones_known() {
	grep -qw blkdev_zone_mgmt /proc/kallsyms
}

disk_gone() { # NAME
	rmdir "/sys/kernel/config/nullb/$1"
}
