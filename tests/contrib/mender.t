#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Mender: the module is called with a state and a directory, in the order of the client.

# shellcheck source=tests/contrib/lib.sh
. "$(dirname "$0")/lib.sh"
stub bow
mkdir -p payload/files payload/header payload/tmp
echo 3 >payload/version
printf '#!/bin/sh\necho migrate >>"$LOG"\nexit "${MIGRATE-0}"\n' >payload/files/migrate

module() # STATE
{
	(cd payload && "$contrib/mender/bow" "$1" "$PWD")
}

is "$(module NeedsArtifactReboot)" Automatic "the client reboots"
is "$(module SupportsRollback)" Yes "it rolls back"
for state in Download DownloadWithFileSizes ProvidePayloadFileSizes NeedsUnpackedArtifact \
	ArtifactReboot ArtifactRollbackReboot ArtifactFailure Cleanup SomethingNew; do
	is "$(module $state)" "" "$state: nothing to say"
	exits 0 "and nothing to do" module $state
done
called "" "indeed"

exits 1 "a program is wanted" module ArtifactInstall
chmod +x payload/files/migrate
called "" "without it nothing is armed"
exits 0 "ArtifactInstall" module ArtifactInstall
is "$(cat out)" "" "says nothing"
called "bow boot arm" "arms"
bow_STATUS=16 exits 16 "refused: the update fails" module ArtifactInstall
: >log
bow_STATUS=3 exits 0 "ArtifactVerifyReboot" module ArtifactVerifyReboot
called "bow boot status
migrate" "the program runs under the checkpoint"
bow_STATUS=1 exits 1 "not without one" module ArtifactVerifyReboot
called "bow boot status" "the program is not run"
bow_STATUS=3 MIGRATE=5 exits 5 "it fails: the update fails" module ArtifactVerifyReboot
: >log
exits 0 "ArtifactCommit" module ArtifactCommit
called "bow boot commit" "commits"
bow_STATUS=8 exits 8 "a commit that fails is told" module ArtifactCommit
: >log
exits 0 "ArtifactRollback" module ArtifactRollback
called "bow boot abort" "has the next boot roll back"
bow_STATUS=0 exits 0 "ArtifactVerifyRollbackReboot" module ArtifactVerifyRollbackReboot
bow_STATUS=6 exits 1 "it is not done yet" module ArtifactVerifyRollbackReboot
understood "$contrib/mender/bow.conf" "root=/dev/sda2"
finish
