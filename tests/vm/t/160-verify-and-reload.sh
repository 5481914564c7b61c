#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# fio verifies what it writes while the device is suspended, resumed and reloaded
# all the time; the free map survives; a table line comes back as it went in.

# shellcheck disable=SC2015
# shellcheck source=tests/vm/block.sh
. /tests/block.sh

disk a 48
FREE=32768+65536
for line in "" "block_size 65536" "on_full hold" "on_full commit low_water 12" \
	"block_size 8192 on_full hold low_water 5 resume"; do
	# shellcheck disable=SC2086
	load "$disk" $line
	table=$(dmsetup table bow)
	read -r _ n rest <<<"$(cut -d' ' -f4- <<<"$table") "
	is "${rest% }" "$line" "features"
	[ -z "$line" ] || is "$n" "$(wc -w <<<"$line")" "number of features"
	dmsetup reload bow --table "$table"
	dmsetup suspend bow
	dmsetup resume bow
	is "$(dmsetup table bow)" "$table" "table after a reload of itself"
	dmsetup remove bow
done
ok "table lines come back"

load "$disk"
bowio fill $D $W/old
bowio discard -r $FREE $D
free=$(field free)
# In trim state a reload keeps what was collected.
dmsetup reload bow --table "$(table "$disk" low_water 10)"
dmsetup suspend bow
dmsetup resume bow
is "$(field free)" "$free" "free blocks after a reload"
checkpoint
free=$(field free)
cp $W/old $W/new

fio --name=verify --filename=$D --rw=randrw --bsrange=512-32k --blockalign=512 --size=12m \
	--ioengine=libaio --iodepth=8 --direct=1 --verify=crc32c --verify_fatal=1 \
	--verify_backlog=64 --randrepeat=1 --io_size=6m --randseed=5 \
	--output-format=terse --output=$W/fio.out 2>$W/fio.err &
fio=$!
loops=0
while kill -0 $fio 2>/dev/null; do
	case $((loops % 4)) in
	0)	dmsetup suspend bow; dmsetup resume bow ;;
	1)	dmsetup suspend --noflush bow; dmsetup resume bow ;;
	2)	dmsetup reload bow --table "$(table "$disk" low_water $loops)"
		dmsetup suspend --noflush bow; dmsetup resume bow ;;
	3)	dmsetup reload bow --table "$(table "$disk")"
		# Resume of a loaded table suspends by itself.
		dmsetup resume bow ;;
	esac
	loops=$((loops + 1))
	is "$(field state)" checkpoint state
done
wait $fio || die "fio: $(cat $W/fio.err $W/fio.out)"
[ $loops -ge 4 ] || die "only $loops loops"
ok "fio verify, $loops suspends"
[ "$(field free)" -lt "$free" ] && [ "$(field copies)" -gt 0 ] || die "$(dmsetup status bow)"

# Not one block more or less is free after all these reloads.
before=$(dmsetup status bow)
dmsetup reload bow --table "$(table "$disk")"
dmsetup suspend bow
not dmsetup message bow 0 reclaim
dmsetup resume bow
is "$(dmsetup status bow)" "$before" "status after a reload"
copies=$(field copies)
bowio write -q -n 50 -s 4096 -r 40000+400 -g 900000 $D $W/new >/dev/null
is "$(field copies)" "$copies" "copies, after writes to free blocks"
ok "a reload keeps the free map"

# Messages and suspends from all sides: nothing is taken but in its time.
for _ in 1 2 3 4 5; do
	dmsetup suspend bow &
	dmsetup message bow 0 checkpoint 2>/dev/null && die "a second checkpoint was taken"
	dmsetup resume bow
	wait
	dmsetup resume bow
done
is "$(field state)" checkpoint state
rollback "$disk"
same "rolled back" verify -x $FREE "$disk" $W/old
disk_gone a
