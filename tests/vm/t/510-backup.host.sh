#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kernels: 6.12
# timeout: 600
#
# The examples for backups in contrib/backup, with real snapshots: what is backed up is
# what was there when it began, and nothing is left behind.

# shellcheck source=/dev/null
. "$(dirname "$0")/../lib.sh"

guest 0 --new-disk 64M --new-disk 96M --add "$TOP/contrib/backup:/contrib" --timeout 500 '
sums() {
	(cd "$1" && find . -type f ! -name "*.store" -exec sha256sum {} + | sort -k 2)
}

nothing_left() {
	[ -z "$(dmsetup ls --target blksnap | sed "/^No devices/d")" ] || die "an image is left"
	not findmnt /run/image
}

# A program of its own: a shell that is not bash does not hand functions on.
cat >/run/change <<EOF
#!/bin/bash
seq \$1 400000 >/data/a
rm -f /data/b
seq \$1 1000 >/data/new-\$1
sync
EOF
chmod +x /run/change

blksnap attach --create data /dev/vda
mke2fs -q -t ext4 /dev/mapper/data
mkdir /data /run/image
mount /dev/mapper/data /data
seq 1 300000 >/data/a
seq 5 200000 >/data/b
sync

for store in /dev/vdb /data/snap.store; do
	sums /data >/run/before
	BLKSNAP_SIZE=16M /contrib/blksnap-backup data $store /run/image bash -c "
		/run/change 7
		tar -C /run/image -cf /run/backup.tar --exclude=snap.store ."
	mkdir /run/got
	tar -C /run/got -xf /run/backup.tar
	sums /run/got | cmp - /run/before
	not cmp -s <(sums /data) /run/before
	rm -r /run/got
	nothing_left
	echo "# ok: with $store: what was there when it began"
	/run/change 9
done
expect 3 /contrib/blksnap-backup data /dev/vdb /run/image sh -c "exit 3"
nothing_left
echo "# ok: a backup that fails leaves nothing"

umount /data
for round in 1 2 3; do
	mount /dev/mapper/data /data
	/run/change $((round * 11))
	umount /data
	/contrib/blksnap-increment data /dev/vdb /run/full
	cmp /run/full /dev/mapper/data
	nothing_left
done
is "$(ls /run/full* | wc -l)" 2 "files of a full image"
echo "# ok: increments: the image is the device"
blksnap detach data
'
