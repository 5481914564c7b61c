#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# One boot's worth of measurements, in the guest: see run. Each result is a line,
# "RESULT {...}".
#
# DISKS, STACKS, JOBS: which; ROUNDS: how often each.

# shellcheck disable=SC2086,SC2154
# shellcheck source=/dev/null
. /tests/lib.sh
# shellcheck source=tests/bench/stacks.inc
. /bench/stacks.inc
export DM_DISABLE_UDEV=1
modprobe -a dm-bow dm-blksnap dm-latency dm-snapshot dm-thin-pool
load_null_blk

# Megabytes. Few of the random writes are near another one, however large the chunks.
DATA=1024		# of $base, is written to
MB=$((DATA + 320))	# all of $base
SPARE=320		# of $spare
SEQ=90			# of those written one after the other
region="--offset=1m --size=$((DATA - 2))m"

# ---- disks ----------------------------------------------------------------------

# null_blk that keeps what is written, with a volatile cache. All its memory is there
# before anything is measured; so nothing is discarded either.
memory_disk() { # NAME MEGABYTES [ATTRIBUTE=VALUE...]
	local name=$1 mb=$2

	shift 2
	disk "$name" "$mb" discard=0 cache_size=32 queue_mode=2 irqmode=0 "$@"
	dd if=/dev/zero of="$disk" bs=1M count="$mb" oflag=direct status=none
}

# What an SSD takes, in microseconds; or ten times that, where the processor is emulated
# and as much slower than a real one.
ssd() { # NAME KIND
	local times=1

	[[ $2 != ssd10* ]] || times=10
	dmsetup create "$1" --table "0 $(sectors "$disk") latency $disk $((80 * times)) $((20 * times)) $((1000 * times))"
}

disks() { # memory | ssd | ssd-fua | ssd10 | ssd10-fua
	local fua=1

	[[ $1 = *fua || $1 = memory ]] || fua=0
	memory_disk base $MB fua=$fua
	base=$disk counted=("${disk##*/}")
	[ "$1" = memory ] || { ssd d-base "$1"; base=/dev/mapper/d-base; }
	memory_disk spare $SPARE fua=$fua
	spare=$disk counted+=("${disk##*/}")
	[ "$1" = memory ] || { ssd d-spare "$1"; spare=/dev/mapper/d-spare; }
}

disks_gone() {
	[ "$1" = memory ] || { dm_remove d-base; dm_remove d-spare; }
	disk_gone base
	disk_gone spare
}

# Reads, their sectors, writes, their sectors, flushes: of all that is below.
counts() {
	local d

	for d in "${counted[@]}"; do
		cat "/sys/block/$d/stat"
	done | awk '{ r += $1; rs += $3; w += $5 - $16; ws += $7; f += $16 } END { print r, rs, w, ws, f }'
}

# ---- jobs -----------------------------------------------------------------------

# Measure COMMAND, which prints operations, bytes and seconds.
measure() { # STACK JOB COMMAND...
	local stack=$1 job=$2 before after ops bytes seconds i

	shift 2
	udevadm settle 2>/dev/null || :
	read -ra before < <(counts)
	read -r ops bytes seconds < <("$@")
	read -ra after < <(counts)
	for i in 0 1 2 3 4; do
		after[i]=$((after[i] - before[i]))
	done
	printf 'RESULT {"disk":"%s","job":"%s","stack":"%s","round":%d,"ops":%s,"bytes":%s,"seconds":%s,"reads":%d,"read_bytes":%d,"writes":%d,"written_bytes":%d,"flushes":%d}\n' \
		"$disk_kind" "$job" "$stack" "$round" "$ops" "$bytes" "$seconds" \
		"${after[0]}" $((after[1] * 512)) "${after[2]}" $((after[3] * 512)) "${after[4]}"
}

# Operations, bytes, seconds.
fio_job() { # OPTION...
	fio --name=x --filename="$dev" --direct=1 --ioengine=libaio --invalidate=0 \
		--randseed=42 --allrandrepeat=1 --output-format=json "$@" |
		jq -r '.jobs[0] | [.read, .write] | max_by(.total_ios) |
			"\(.total_ios) \(.io_bytes) \(.runtime / 1000)"'
}

# shellcheck disable=SC2086
rand() { # read|write DEPTH COUNT
	fio_job $region --rw="rand$1" --bs=4k --iodepth="$2" --number_ios="$3"
}

# shellcheck disable=SC2086
seq() { # read|write BLOCK-SIZE DEPTH COUNT
	fio_job $region --rw="$1" --bs="$2" --iodepth="$3" --number_ios="$4"
}

# What costs nothing but the way is over in a moment: as often as it takes to measure it.
# As fio_job, of all of them together.
eight_times() { # COMMAND...
	local i

	for i in 1 2 3 4 5 6 7 8; do
		"$@"
	done | awk '{ ops += $1; bytes += $2; s += $3 } END { printf "%d %d %.3f\n", ops, bytes, s }'
}

# A job begins with nothing kept. What a stack cannot do is left out.
job_rand1() { # STACK
	arm "$1"
	measure "$1" rand1 rand write 1 1500
	disarm "$1"
}

job_rand32() {
	arm "$1"
	measure "$1" rand32 rand write 32 4096
	measure "$1" rewrite32 eight_times rand write 32 4096
	measure "$1" read32 eight_times rand read 32 4096
	disarm "$1"
	measure "$1" after32 eight_times rand write 32 4096
}

job_seq1m() {
	arm "$1"
	measure "$1" seq1m seq write 1m 4 $SEQ
	disarm "$1"
}

job_seq4k() {
	arm "$1"
	measure "$1" seq4k seq write 4k 1 1500
	disarm "$1"
}

# What the bound of a first touch is made of: what the device reads.
job_bound() {
	[ "$1" = raw ] || return 0
	measure raw read1 rand read 1 1500
	measure raw readseq1m seq read 1m 4 $SEQ
	measure raw readseq4k seq read 4k 1 1500
}

job_free() {
	case $1 in
	linear|bow) ;;
	*)	return 0 ;;
	esac
	arm "$1"
	# The lower end of free space: backups come from the other one.
	measure "$1" free32 eight_times fio_job --offset=$((DATA + 1))m --size=$(((MB - DATA) / 2))m \
		--rw=randwrite --bs=4k --iodepth=32 --number_ios=4096
	disarm "$1"
}

job_four() {
	local i

	case $1 in
	blksnapT)
		for i in 1 2 3 4; do arm_blksnap transient $i; done ;;
	*)	return 0 ;;
	esac
	measure "$1" four32 rand write 32 4096
	disarm "$1"
}

# ---- a filesystem ---------------------------------------------------------------

tree=/run/tree.tar
mnt=/run/mnt
mkdir -p $mnt

# Some hundred files of 1 to 40 KiB.
make_tree() {
	local dir=/run/tree i

	mkdir -p $dir
	for i in {1..24}; do
		mkdir $dir/$i
		head -c $((i * 17000)) /dev/urandom | split -a 3 -b $((i * 1700)) - $dir/$i/f
	done
	tar -C /run -cf $tree tree
	rm -rf $dir
}

# As fio_job.
timed() { # OPERATIONS BYTES COMMAND...
	local ops=$1 bytes=$2 start=${EPOCHREALTIME/./}

	shift 2
	"$@" >/dev/null
	echo "$ops $bytes $((${EPOCHREALTIME/./} - start))e-6"
}

untar() {
	mkdir $mnt/new
	tar -C $mnt/new -xf $tree
	sync -f $mnt
}

fio_files() { # OPTION...
	fio --name=f --directory=$mnt --ioengine=sync --rw=write --bs=4k --fsync=1 --randseed=42 \
		--output-format=json "$@" |
		jq -r '.jobs[0].write | "\(.total_ios) \(.io_bytes) \(.runtime / 1000)"'
}

job_ext4() { # STACK
	[ -e $tree ] || make_tree
	mkfs.ext4 -q -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 "$dev" 96M
	mount "$dev" $mnt
	tar -C $mnt -xf $tree
	sync -f $mnt
	[ "$1" != bow ] || fstrim $mnt
	arm "$1"
	measure "$1" untar timed "$(tar -tf $tree | wc -l)" "$(stat -c %s $tree)" untar
	measure "$1" smallfiles fio_files --filesize=4k --nrfiles=300 --create_on_open=1
	measure "$1" append fio_files --size=1200k
	umount $mnt
	disarm "$1"
}

# ---- all of them ------------------------------------------------------------------

one() { # JOB STACK
	up "$2"
	"job_$1" "$2"
	down "$2"
}

for disk_kind in ${DISKS:-memory ssd ssd-fua ssd10}; do
	disks "$disk_kind"
	for ((round = 1; round <= ${ROUNDS:-2}; round++)); do
		for job in ${JOBS:-bound rand1 rand32 seq1m seq4k free four ext4}; do
			for stack in ${STACKS:-$stacks}; do
				one "$job" "$stack"
			done
		done
	done
	disks_gone "$disk_kind"
done
