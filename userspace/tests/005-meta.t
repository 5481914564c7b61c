#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The version and the range of kernels are the same everywhere: those of META.

top=$(dirname "$(realpath "$0")")/../..
# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
: "${BLKSNAP:?is to be the path of the tool}"
meta=$top/scripts/meta
md=$top/drivers/md

version=$("$meta" Version)
min=$("$meta" Linux-Minimum)
max=$("$meta" Linux-Maximum)
exits 1 "a key that is not there" "$meta" Colour
rm err

is "$("$BOW" --version)" "bow $version" "bow --version"
is "$("$BLKSNAP" --version)" "blksnap $version" "blksnap --version"
is "$(sed -n 's/^#define DM_COW_VERSION "\(.*\)"/\1/p' "$md"/*.h)" "$version" \
	"DM_COW_VERSION"
is "$(grep -l '^MODULE_VERSION(DM_COW_VERSION);' "$md"/*.c)" \
	"$(grep -l '^MODULE_LICENSE' "$md"/*.c)" "every module has it"
is "$(sed -n '1s/ unstable;.*//p' "$top/debian/changelog")" "$("$meta" Name) ($version)" \
	"debian/changelog"

# --- kernels -----------------------------------------------------------------------

range=$(sed -n '/^#if (LINUX_VERSION_CODE/,/^#endif/p' "$md/dm-cow-compat.h")
is "$(grep -o 'KERNEL_VERSION([0-9 +,]*)' <<<"$range" | xargs)" \
	"KERNEL_VERSION(${min/./, }, 0) KERNEL_VERSION(${max/./, } + 1, 0)" \
	"the range in dm-cow-compat.h"
says - "Linux $min to $max;" "and in what it says of others" <<<"$range"
is "$("$top/scripts/kernel" list | grep '^[0-9]' | xargs)" \
	"$(sed -n 's/^KERNELS ?= //p' "$top/Makefile")" "the kernels of the tests are those there are"
is "$("$top/scripts/kernel" list | grep '^[0-9]' | sort -V | sed -n '1p;$p' | xargs)" \
	"$min $max" "they are from the minimum to the maximum"
page=$top/Documentation/admin-guide/device-mapper/dm-cow-install.rst
says "$page" "Linux $min to $max" "the documentation"

# What `uname -r` says, as it is with $min 6.1 and $max 6.12.
next=${max%.*}.$((${max#*.} + 1))
for v in "$min.0-56-amd64" "$min.159" "$min" "$max.0" "$max.117+deb12-amd64" "$max-rc1"; do
	grep -qE "$("$meta" --kernels)" <<<"$v"
	ok $? "$v is supported"
done
for v in "$next.0" "${min%.*}.0.9" "5.10.0-8-amd64" "1$min.0" "${max}0.1" "7.1.0"; do
	! grep -qE "$("$meta" --kernels)" <<<"$v"
	ok $? "$v is not"
done

# --- DKMS --------------------------------------------------------------------------

exits 0 "the tree for DKMS" "$top/scripts/dkms-tree" tree
exits 1 "it is not written over another one" "$top/scripts/dkms-tree" tree
! grep -n '@' tree/dkms.conf >err
ok $? "nothing is left to be filled in"

# As DKMS reads it.
# shellcheck disable=SC2034
dkms_tree=/var/lib/dkms kernel_source_dir=/lib/modules/6.1.0/build
# shellcheck disable=SC1091
. ./tree/dkms.conf
is "$PACKAGE_NAME $PACKAGE_VERSION" "$("$meta" Name) $version" "name and version"
is "$BUILD_EXCLUSIVE_KERNEL_MIN $BUILD_EXCLUSIVE_KERNEL" "$min $("$meta" --kernels)" \
	"the kernels it is built for"
modules=$(sed -n 's/^obj-.*+= \(.*\)\.o/\1/p' "$md/Makefile")
is "$(printf '%s\n' "${BUILT_MODULE_NAME[@]}")" "$modules" "every module is installed"
is "${#DEST_MODULE_LOCATION[@]} ${#BUILT_MODULE_LOCATION[@]}" "3 3" "and has a place"
grep -o '^obj-$(CONFIG_[A-Z_]*' "$md/Makefile" | sed 's/.*(//' >options
while read -r o; do
	says - "make .* $o=m .*modules" "$o is set" <<<"${MAKE[0]}"
	says "$top/scripts/build-modules" "$o=m" "and without DKMS"
done <options
for m in $modules; do
	says "$top/Makefile" "rm -f .*$m\\.ko" "make uninstall knows $m"
done

# Nothing that a file includes is missing; only the tools include dm-cow-user.h.
sed -n 's/^#include "\(.*\)"/\1/p' tree/drivers/md/*.[ch] | grep -vx dm-cow-user.h | sort -u >names
sed -n 's,^#include <\(linux/dm-cow.*\|linux/dm-blksnap.*\)>,../../include/uapi/\1,p' \
	tree/drivers/md/*.[ch] tree/include/uapi/linux/*.h | sort -u >>names
missing=$(cd tree/drivers/md && xargs ls -d <../../../names 2>&1 >/dev/null)
is "$missing" "" "every header of ours is there"
finish
