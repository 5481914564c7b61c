#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# timeout: 600
#
# The kernel refuses the damaged logs of tests/images for the reasons that the
# tool gives, and writes nothing; it takes the good ones, and a restore is the
# same after that. Without `resume' it takes nothing that may carry a log.

# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/../lib.sh"

mkdir "$WORK/images"
for d in "$TOP"/tests/images/*/; do
	name=$(basename "$d")
	"$TOP/tests/images/build" "$d/image" "$WORK/images/$name"
	cp "$d/resume" "$WORK/images/$name.resume"
done
guest 0 --add "$WORK/images:/images" --new-disk 16M -t 500 '. /tests/hostile.sh'
