#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# RAUC: the handler with the environment that RAUC gives it, and the order of units.

# shellcheck source=tests/contrib/lib.sh
. "$(dirname "$0")/lib.sh"
stub bow
handler() # TARGET-SLOTS
{
	env RAUC_SYSTEM_CONFIG=/etc/rauc/system.conf RAUC_CURRENT_BOOTNAME=A \
		RAUC_BUNDLE_MOUNT_POINT=/mnt/rauc/bundle RAUC_MOUNT_PREFIX=/mnt/rauc \
		RAUC_SLOTS="1 2 3 4" RAUC_TARGET_SLOTS="$1" \
		RAUC_SLOT_NAME_1=rootfs.0 RAUC_SLOT_CLASS_1=rootfs RAUC_SLOT_DEVICE_1=/dev/sda2 \
		RAUC_SLOT_BOOTNAME_1=A RAUC_SLOT_PARENT_1= \
		RAUC_SLOT_NAME_2=appfs.0 RAUC_SLOT_CLASS_2=appfs RAUC_SLOT_DEVICE_2=/dev/sda4 \
		RAUC_SLOT_BOOTNAME_2= RAUC_SLOT_PARENT_2=rootfs.0 \
		RAUC_SLOT_NAME_3=appfs.1 RAUC_SLOT_CLASS_3=appfs RAUC_SLOT_DEVICE_3=/dev/sda5 \
		RAUC_SLOT_BOOTNAME_3= RAUC_SLOT_PARENT_3=rootfs.1 \
		RAUC_SLOT_NAME_4=rootfs.1 RAUC_SLOT_CLASS_4=rootfs RAUC_SLOT_DEVICE_4=/dev/sda3 \
		RAUC_SLOT_BOOTNAME_4=B RAUC_SLOT_PARENT_4= \
		"$contrib/rauc/pre-install"
}
exits 0 "pre-install" handler "3 4"
called "bow boot arm --system B" "arms for the slot that has a name"
exits 0 "pre-install, of the other slot" handler "1 2"
called "bow boot arm --system A" "arms for that"
exits 1 "only an application is written" handler 3
called "" "and nothing is armed"
bow_STATUS=16 exits 16 "what cannot be armed is not installed" handler "3 4"
says "$contrib/rauc/system.conf" '^pre-install=/usr/lib/dm-cow/rauc/pre-install$' "RAUC calls it"

understood "$contrib/rauc/bow.conf" "root=/dev/sda2 rauc.slot=A"
our_units
cp -r "$contrib"/rauc/systemd/* units/
cat >units/rauc-mark-good.service <<'END'
[Unit]
DefaultDependencies=no
After=boot-complete.target
Requires=boot-complete.target
[Service]
ExecStart=/bin/true
END
verify bow-commit.service rauc-mark-good.service
for key in After Requires; do
	says units/rauc-mark-good.service.d/bow.conf "^$key=bow-good.service$" \
		"$key: good is recorded before the slot is marked"
	says units/bow-commit.service.d/rauc.conf "^$key=rauc-mark-good.service$" \
		"$key: the slot is marked before the commit"
done
finish
