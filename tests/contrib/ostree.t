#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# OSTree: units, beside its own.

# shellcheck source=tests/contrib/lib.sh
. "$(dirname "$0")/lib.sh"
understood "$contrib/ostree/bow.conf" "root=UUID=1 ostree=/ostree/boot.1/x/y/0"
our_units
sed 's,/usr/sbin/bow,/bin/true,' "$contrib/ostree/bow-ostree-arm.service" \
	>units/bow-ostree-arm.service
cp -r "$contrib/ostree/bow-commit.service.d" units/
for u in ostree-finalize-staged ostree-boot-complete; do
	printf '[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/bin/true\n' \
		>units/$u.service
done
verify bow-ostree-arm.service bow-commit.service
verb=$(sed -n 's,^Exec.*/bow boot ,,p' "$contrib/ostree/bow-ostree-arm.service")
exits 0 "the verb $verb is there" "$real_bow" boot "$verb" --help
says units/bow-commit.service.d/ostree.conf '^After=ostree-boot-complete.service$' \
	"commit after OSTree has called the boot complete"
says "$contrib/ostree/bow-ostree-arm.service" '^After=ostree-finalize-staged.service$' \
	"stopped, and so armed, before the deployment is finalized"
finish
