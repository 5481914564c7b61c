#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# No memory for the index of a snapshot. A write to the origin waits for some, and if it
# comes nothing is lost. If none comes for seconds the snapshot is, and the write is not.
# Of a transient one and of a persistent one.
# kernels: uml debug
# timeout: 300

# shellcheck disable=SC2015,SC2046,SC2086,SC2154
# shellcheck source=tests/vm/block.sh
. /tests/block.sh
# shellcheck source=tests/vm/faults.inc
. /tests/faults.inc

modprobe dm-blksnap
faults_of cow blksnap
# One after the other, and one may have been put into the other by the compiler.
fill=$(address cow_range_pool_fill)
promise=$(address cow_range_pool_promise)
[ "${fill% *}" \< "${promise#* }" ] || die "$fill, $promise"
below ${fill% *} ${promise#* }
dmsetup create raw --table "0 8192 linear $D_SMALL 0"
dmsetup create store --table "0 65536 linear $D1 0"
raw=/dev/mapper/raw store=/dev/mapper/store

no_memory() {
	set_all times 1000000 $memory
	set_all probability 100 $memory
}

# Nothing is in reserve.
begin() { # MODE
	bowio fill $raw $W/old
	no_memory
	dmsetup create origin --table "0 8192 blksnap-origin $raw"
	dmsetup create image --notable
	dmsetup reload image --table "0 8192 blksnap $raw $store $1 4096"
	dmsetup suspend origin
	dmsetup resume image
	dmsetup resume origin
}

end() {
	dmsetup remove image
	dmsetup remove origin
}

state_is() {
	is "$(dmsetup status image | cut -d' ' -f4)" "$1" "state"
}

write_block() { # BLOCK
	dd if=/dev/urandom of=/dev/mapper/origin bs=4k seek=$1 count=1 oflag=direct \
		conv=notrunc status=none
}

rolled_back() {
	expect 1 blksnap restore --quiet --store $store $raw
	same "rolled back" verify $raw $W/old
}

for mode in transient persistent; do
	begin $mode
	write_block 700 &
	writer=$!
	sleep 2
	kill -0 $writer || die "the write has not waited"
	state_is active
	dd if=/dev/mapper/origin of=/dev/null bs=4k skip=701 count=1 iflag=direct status=none
	quiet
	ok "$mode: a write that has waited" wait $writer
	state_is active
	same "$mode: the image" verify /dev/mapper/image $W/old
	for ((i = 0; i < 1000; i += 2)); do write_block $i; done
	same "$mode: the image, later" verify /dev/mapper/image $W/old
	is "$(dmsetup status image | cut -d' ' -f7)" 500 "blocks kept"
	end
	[ $mode = transient ] || rolled_back

	begin $mode
	began=$SECONDS
	ok "$mode: a write that has waited in vain" write_block 700
	took=$((SECONDS - began))
	[ $took -ge 4 ] && [ $took -le $((5 + 10 * ${VM_SLOW:-1})) ] || die "it waited for $took s"
	state_is failed
	dmesg | tail -n 3 | grep -q 'snapshots are lost: no memory' || die "no reason is told"
	ok "$mode: another one does not wait" timeout 2 dd if=/dev/zero of=/dev/mapper/origin \
		bs=4k seek=800 count=1 oflag=direct conv=notrunc status=none
	quiet
	end
	[ $mode = transient ] || expect 0 blksnap check --quiet --store $store $raw
done
dmsetup remove raw
dmsetup remove store
