#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kernels: 6.12
# timeout: 600
# shellcheck disable=SC2034,SC2086,SC2154,SC2251
#
# Volumes that lvm and cryptsetup have made and go on managing: attached, taken
# snapshots of and detached while mounted, with fio verifying what it writes there.
# Eight devices of all kinds at one instant.

# shellcheck source=/dev/null
. /tests/t/4snap.inc

export LVM_SYSTEM_DIR=$work/lvm LVM_SUPPRESS_FD_WARNINGS=1
mkdir $LVM_SYSTEM_DIR
cat >$LVM_SYSTEM_DIR/lvm.conf <<END
devices {
	dir = "/dev"
	scan = [ "/dev" ]
	obtain_device_list_from_udev = 0
	external_device_info_source = "none"
	use_devicesfile = 0
	global_filter = [ "a|^$D1$|", "r|.*|" ]
}
activation {
	udev_sync = 0
	udev_rules = 0
	monitoring = 0
}
global {
	event_activation = 0
	use_lvmpolld = 0
}
backup {
	backup = 0
	archive = 0
}
END

# cryptsetup and lvm leave devices of their own.
clean_volumes() {
	trap - ERR
	touch $work/stop
	wait
	clean_snapshots
	cryptsetup close secret
	lvm vgchange -q -an vg
} >/dev/null 2>&1
at_exit clean_volumes

step "volumes"
lvm pvcreate -q -ff -y $D1 >/dev/null
lvm vgcreate -q vg $D1 >/dev/null
for lv in data:48m gap:8m crypt:64m raw:16m; do
	lvm lvcreate -q -y -W n -L ${lv#*:} -n ${lv%:*} vg >/dev/null
done
# In two pieces.
lvm lvextend -q -L +32m vg/data >/dev/null
is "$(dmsetup table vg-data | wc -l)" 2 "pieces of vg-data"
echo -n secret >$work/key
cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
	/dev/mapper/vg-crypt $work/key
cryptsetup open --key-file $work/key /dev/mapper/vg-crypt secret
exits 16 blksnap attach secret
says "cryptsetup refresh --disable-keyring secret"
not dmsetup info secret-real 2>/dev/null
cryptsetup refresh --disable-keyring --key-file $work/key secret
dmsetup create striped --table "0 32768 striped 2 64 $D3 0 $D3 65536"
dmsetup create line --table "0 16384 linear $D3 131072"
disk=$D3 carved=262144
carve one 8M
carve two 8M
disk=$D_SMALL carved=0
carve apart 8M
make_fs ext4 /dev/mapper/vg-data
make_fs ext4 /dev/mapper/secret
mounts=()
for d in vg-data secret; do
	mkdir $work/$d
	mount /dev/mapper/$d $work/$d
	mkdir -p $work/$d/tree/a
	split -b 9000 /usr/bin/sed $work/$d/tree/a/
	mounts+=("$work/$d")
done
tables=$(dmsetup table)

verify() { # DIRECTORY
	local n=0

	until [ -e $work/stop ] && [ $n -gt 0 ]; do
		fio --name=v --directory=$1 --rw=randrw --bsrange=4k-64k --size=6m --direct=1 \
			--ioengine=libaio --iodepth=4 --verify=crc32c --verify_fatal=1 \
			--output=$1.fio || return
		n=$((n + 1))
	done
	echo $n >$1.rounds
}
writers=()
for d in "${mounts[@]}"; do
	verify $d &
	writers+=($!)
done

step "attached, mounted and busy"
origins=(vg-data secret vg-raw striped line)
for d in "${origins[@]}"; do
	exits 0 blksnap attach $d
done
exits 0 blksnap attach --create a /dev/mapper/one
exits 0 blksnap attach --create b /dev/mapper/two
exits 0 blksnap attach --create c /dev/mapper/apart
origins+=(a b c)
is "$(lvm lvs --noheadings -o lv_name,lv_size --units m vg | xargs)" \
	"crypt 64.00m data 80.00m gap 8.00m raw 16.00m" "lvm's own view"

step "eight at one instant"
for d in "${mounts[@]}"; do
	(cd $d && find tree -type f -exec sha256sum {} + | LC_ALL=C sort) >$d.before
done
exits 0 blksnap take -n all --store $store "${origins[@]}"
says 'taken of 8 device\(s\), suspended for'
step "$(grep suspended <<<"$out")"
says 'secret is encrypted and .* is not'
nothing_suspended
raw=$(sum_of /dev/mapper/vg-raw-all)
for d in vg-raw striped line a b c; do
	dd if=/dev/urandom of=/dev/mapper/$d bs=64k count=20 seek=3 oflag=direct conv=notrunc status=none
done
for d in "${mounts[@]}"; do
	change $d
	exits 0 mount -o ro /dev/mapper/${d##*/}-all $image
	(cd $image && find tree -type f -exec sha256sum {} + | LC_ALL=C sort) >$work/now
	diff $d.before $work/now || die "the image of $d"
	umount $image
	e2fsck -fn /dev/mapper/${d##*/}-all >/dev/null 2>&1 || die "fsck of the image of $d"
done
is "$(sum_of /dev/mapper/vg-raw-all)" "$raw" "the image of a raw volume"
exits 0 blksnap remove all

step "detached, mounted and busy"
for d in "${origins[@]}"; do
	exits 0 blksnap detach $d
done
is "$(dmsetup table)" "$tables" "all tables"
touch $work/stop
for n in "${writers[@]}"; do
	wait $n || die "what fio reads is not what it wrote: $(tail -n 20 $work/*.fio)"
done
step "rounds of fio: $(cat $work/*.rounds | xargs)"
cryptsetup status secret >/dev/null
for d in "${mounts[@]}"; do
	umount $d
	check_fs ext4 /dev/mapper/${d##*/}
done
cryptsetup close secret
lvm vgchange -q -an vg >/dev/null
