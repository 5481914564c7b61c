#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kernels: 6.12
#
# The power goes while an origin with a tracking device is written to: what changed since
# the snapshot before makes a full copy of that one a full copy of the next, and it is not
# all of the device.
# timeout: 600

# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/../lib.sh"

A=$(mkdisk a 64M) T=$(mkdisk t 1M) S=$(mkdisk s 96M) B=$(mkdisk backup 65M)
RANDOM=${SEED:-$$}
step "seed ${SEED:-$$}"

# The backup is of the size of the origin; behind it is the id of its snapshot.
begin='
modprobe dm-blksnap
blksnap attach --create --tracking /dev/vdb o /dev/vda >/dev/null
take() {
	blksnap take -n 1 --store /dev/vdc o >/dev/null
	id=$(blksnap list --json | jq -r ".origins[0].snapshots[0].id")
}
remember() {
	printf %-512s "$id" | dd of=/dev/vdd bs=512 seek=131072 oflag=direct status=none
	blksnap remove 1 >/dev/null
}'
# What has changed since, on top of the backup, is the next one.
fold='
since=$(dd if=/dev/vdd bs=512 skip=131072 count=1 status=none | tr -d " ")
take
blksnap changed --since $since o-1 >/dev/shm/changed || die "nothing is known"
while read -r offset length; do
	dd if=/dev/mapper/o-1 of=/dev/vdd iflag=skip_bytes,count_bytes,direct \
		oflag=seek_bytes bs=64k skip=$offset seek=$offset count=$length \
		conv=notrunc status=none
done </dev/shm/changed
cmp -n 67108864 /dev/vdd /dev/mapper/o-1 || die "a write has been missed"'
# Into 16 of 64 regions, anywhere in them.
load='
vm-token load
exec bowio write -q -t 2 -n 100000 -s 512:16384 -a 512 -r 32768+32768 -S '$RANDOM' -g 1 /dev/mapper/o /dev/shm/model'

step "the first snapshot, and writes"
guest 77 -d "$A" -d "$T" -d "$S" -d "$B" --kill-on load:$((RANDOM % 2000 + 1000)) "$begin
take
remember
bowio model -g 1 /dev/mapper/o /dev/shm/model
$load"

for n in 1 2; do
	step "what changed before cut $n"
	expect=77
	[ $n = 1 ] || expect=0
	guest $expect -d "$A" -d "$T" -d "$S" -d "$B" --kill-on load:$((RANDOM % 2000 + 1000)) "$begin
	$fold
	bytes=\$(awk '{ sum += \$2 } END { print sum + 0 }' /dev/shm/changed)
	echo \"# \$bytes bytes changed\"
	[ \$bytes -gt 0 ] && [ \$bytes -le 16777216 ] || die \"\$bytes bytes\"
	sync
	remember
	[ $n = 2 ] && exit 0
	bowio model -g 1 /dev/mapper/o /dev/shm/model
	$load"
done

# Old contents went there past everybody, and nobody saw that it ceased to be a store.
step "a store on the filesystem, and nobody removes it"
guest 77 -d "$A" -d "$T" -d "$S" -d "$B" "$begin
mke2fs -q -F -t ext4 /dev/mapper/o
mkdir /run/mnt
mount /dev/mapper/o /run/mnt
head -c 4M /dev/urandom >/run/mnt/file
sync
blksnap take -n 1 --store /run/mnt/store --size 8M o >/dev/null
id=\$(blksnap list --json | jq -r '.origins[0].snapshots[0].id')
dd if=/dev/mapper/o-1 of=/dev/vdd bs=1M oflag=direct conv=notrunc status=none
printf %-512s \"\$id\" | dd of=/dev/vdd bs=512 seek=131072 oflag=direct status=none
dd if=/dev/urandom of=/run/mnt/file bs=1M count=4 conv=notrunc,fsync status=none
powercut"
guest 0 -d "$A" -d "$T" -d "$S" -d "$B" "$begin
$fold"
