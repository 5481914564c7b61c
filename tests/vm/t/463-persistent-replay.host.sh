#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Real runs of a persistent snapshot, recorded by dm-log-writes: thousands of the states
# that a power cut could have left of origin and store are rolled back.  See
# tests/replay/run.
# kernels: 6.12
# timeout: 1200

set -euo pipefail
top=$(cd "$(dirname "$0")/../../.." && pwd -P)
exec "$top/tests/replay/run" -k "${VM_KERNEL:-6.12}" -n "${STATES:-3000}" \
	apart apart-full apart-resume
