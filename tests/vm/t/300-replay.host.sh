#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Real runs, recorded by dm-log-writes: thousands of the states that a power cut
# could have left are rolled back or committed.  See tests/replay/run.
# kernels: 6.12
# timeout: 1200

set -euo pipefail
top=$(cd "$(dirname "$0")/../../.." && pwd -P)
exec "$top/tests/replay/run" -k "${VM_KERNEL:-6.12}" -n "${STATES:-6000}"
