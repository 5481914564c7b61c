#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Run by tests/deb/run in a virtual machine: vda is a Debian with the packages, vdb and
# vdc are empty. Everything is done with what that Debian has, its udev and its modprobe
# included, in a chroot: what is around it only boots.

. /tests/lib.sh

root=/mnt
mount -t securityfs securityfs /sys/kernel/security
mount -o ro /dev/vda $root
for d in dev proc sys; do
	mount --rbind /$d $root/$d
done
for d in run tmp mnt; do
	mount -t tmpfs tmpfs $root/$d
done
mkdir -p $root/run/udev $root/run/cryptsetup

# What the kernel calls when a target is not there.
printf '#!/bin/sh\nexec chroot %s /sbin/modprobe "$@"\n' $root >/run/modprobe
chmod 755 /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe
not grep -E '^dm_(cow|bow|blksnap) ' /proc/modules

chroot $root /lib/systemd/systemd-udevd --daemon

cat >$root/tmp/inside <<'END'
set -eEu
trap 'echo "failed: $BASH_COMMAND (line $LINENO)"' ERR
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
kver=$(uname -r)

has() { # MODULE: is it loaded, and from the right place?
	local file

	file=$(modinfo -n "$1")
	[ "${file%.xz}" = "/lib/modules/$kver/updates/dkms/$1.ko" ]
	[ "$(cat "/sys/module/${1//-/_}/version")" = "$VERSION" ]
	[ "$(cat "/sys/module/${1//-/_}/srcversion")" = "$(modinfo -F srcversion "$1")" ]
}

exits() { # STATUS COMMAND...
	local want=$1 rc=0

	shift
	"$@" || rc=$?
	[ $rc = "$want" ]
}

sums() {
	(cd "$1" && find . -type f -exec sha256sum {} + | sort)
}

fill() { # DIR: some MiB of files
	cp -r /usr/lib/udev /etc "$1"
	sync
}

change() {
	rm -r "$1/udev"
	find "$1/etc" -type f -size +1k >/tmp/list
	while IFS= read -r f; do
		sha256sum "$f" | dd of="$f" conv=notrunc status=none
	done </tmp/list
	cp /bin/bash "$1"
	sync
}

modprobe dm-bow
has dm-bow
has dm-cow
modprobe dm-blksnap
has dm-blksnap
rmmod dm-blksnap dm-bow dm-cow
echo "# ok: the installed modules can be loaded"

mkdir /mnt/fs /mnt/image
mke2fs -q -t ext4 /dev/vdb
[ "$(bow --version)" = "bow $VERSION" ]
bow create data /dev/vdb
has dm-bow
[ -e "/run/udev/data/b$(dmsetup info -c --noheadings -o major,minor --separator : data)" ]
mount /dev/mapper/data /mnt/fs
fill /mnt/fs
sums /mnt/fs >/tmp/before
bow trim data
bow checkpoint data
change /mnt/fs
bow status data
umount /mnt/fs
bow remove data
exits 1 bow check /dev/vdb
exits 1 bow restore /dev/vdb
e2fsck -fn /dev/vdb
mount /dev/vdb /mnt/fs
sums /mnt/fs | cmp - /tmp/before
umount /mnt/fs
echo "# ok: bow: rolled back, every file as it was"

bow create data /dev/vdb
mount /dev/mapper/data /mnt/fs
bow trim /mnt/fs
bow checkpoint data
change /mnt/fs
sums /mnt/fs >/tmp/after
bow commit data
umount /mnt/fs
bow remove data
exits 0 bow restore /dev/vdb
mount /dev/vdb /mnt/fs
sums /mnt/fs | cmp - /tmp/after
umount /mnt/fs
echo "# ok: bow: committed, every file as it is"

[ "$(blksnap --version)" = "blksnap $VERSION" ]
blksnap attach --create data /dev/vdb
has dm-blksnap
mount /dev/mapper/data /mnt/fs
blksnap take --name then --store /dev/vdc data
rm -r /mnt/fs/etc
fill /mnt/fs
[ -e /dev/mapper/data-then ]
mount -o ro,noload /dev/mapper/data-then /mnt/image
sums /mnt/image | cmp - /tmp/after
blksnap list
umount /mnt/image
blksnap remove then
umount /mnt/fs
blksnap detach data
echo "# ok: blksnap: the image shows every file as it was"

bow create data /dev/vdb
mount /dev/mapper/data /mnt/fs
sums /mnt/fs >/tmp/before
bow trim data
bow checkpoint data
change /mnt/fs
umount /mnt/fs
bow remove data
rmmod dm-blksnap dm-bow dm-cow

# As with Secure Boot: the key that DKMS has signed with is nobody's yet.
echo integrity >/sys/kernel/security/lockdown
exits 1 modprobe dm-bow
dmesg | tail -n 1
exits 8 bow create --resume data /dev/vdb
exits 32 mount /dev/vdb /mnt/fs
exits 1 bow restore /dev/vdb
mount /dev/vdb /mnt/fs
sums /mnt/fs | cmp - /tmp/before
umount /mnt/fs
echo "# ok: with the kernel locked down the module is refused, and a checkpoint rolled back"
END
chroot $root env VERSION="$VERSION" bash /tmp/inside
