#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# greenboot: its directories, run as it runs them: all scripts, in order.

# shellcheck source=tests/contrib/lib.sh
. "$(dirname "$0")/lib.sh"
stub bow grub2-editenv

scripts() # DIRECTORY
{
	local s rc=0

	for s in "$contrib/greenboot/$1"/*.sh; do
		"$s" || rc=1
	done
	return $rc
}

for s in 0 1 3 5; do
	bow_STATUS=$s exits 0 "status $s is well" scripts check/required.d
done
for s in 2 6 7 8 9; do
	bow_STATUS=$s exits 1 "status $s is not" scripts check/required.d
done
: >log
exits 0 "green" scripts green.d
called "bow boot commit" "commits"
bow_STATUS=16 exits 1 "a refused commit is told" scripts green.d
: >log
bow_STATUS=3 exits 0 "red" scripts red.d
called "bow boot status" "changes nothing"
exits 0 "mark good" "$contrib/greenboot/mark" good
called "grub2-editenv - set boot_success=1
grub2-editenv - unset boot_counter" "GRUB stays"
exits 0 "mark bad" "$contrib/greenboot/mark" bad
called "grub2-editenv - set boot_counter=0 boot_success=0" "GRUB goes back"
grub2_editenv_STATUS=1 exits 1 "what GRUB did not take" "$contrib/greenboot/mark" good
understood "$contrib/greenboot/bow.conf" "root=UUID=1 ostree=/ostree/boot.1/x/y/0"
finish
