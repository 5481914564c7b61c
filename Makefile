# SPDX-License-Identifier: GPL-2.0-or-later
#
# dm-cow: device-mapper targets on one copy-on-write core
#
#   make              the tool and the modules for the kernel that runs here (if
#                     its headers are installed, else for the newest at hand)
#   make modules KVER=6.12
#                     build/<version>/*.ko; KVER is a full `uname -r`, or 6.1 or
#                     6.12: Debian's newest of that line, downloaded if need be
#   make tool         build/bow, build/blksnap
#   make demo         see it work: checkpoint, update, power cut, rollback
#   make check        unit tests, then tests in virtual machines on both kernels;
#                     the last line counts
#   make unit         unit tests only
#   make model        crash explorers only: 300,000 crash states, with real and
#                     with small sizes; `make model-long`: 10,000,000
#   make mutations    rules of the protocol broken on purpose, one at a time;
#                     a table says who noticed
#   make vm-mutations MUTATIONS="413 401-late"
#                     modules and tools broken on purpose, one thing at a time: the
#                     virtual machine test that is there for it must fail; all of
#                     them take hours
#   make fuzz FUZZ_SECONDS=3600 FUZZ_SEED=0
#                     hostile logs for an hour; `check` does a minute of it
#   make check-vm KERNELS="6.1 6.12" TESTS="000 010-resume"
#                     virtual machine tests only, all of them or some
#   make check-long   those tests with more cases of a kind: more filesystems, more
#                     rounds, more snapshots (about an hour)
#   make replay       recorded runs of the real modules: 6,000 crash states of bow,
#                     3,000 of persistent snapshots (part of `check`); `make
#                     replay-long` 400,000 on both kernels, `make replay-mutations`
#                     breaks the modules on purpose and sees the replay notice
#   make check-debug  virtual machine tests on a kernel with KASAN, lockdep, leak
#                     detection, faults on demand and gcov, built once (User Mode
#                     Linux: a process, as fast without KVM); then coverage, in
#                     build/coverage. DEBUG=debug: the same in QEMU, if you have KVM
#   make detectors    bugs planted in the modules, one at a time, each of which
#                     that kernel must report
#   make check-races  those that do most at a time, on a kernel with KCSAN
#   make check-memory MINUTES=10
#                     swap and write through bow, and through an origin with a
#                     snapshot, with almost no free memory
#   make check-boot SCENARIOS="good cut-commit"
#                     updates of a Debian with two root slots and one data partition,
#                     with real systemd, udev and initramfs, and with power cuts; needs
#                     root, for chroot, and half an hour
#   make bench BOOTS=3
#                     bow and blksnap beside dm-linear, dm-snapshot and thin, the same
#                     jobs in turn in one boot; tables and plots in build/bench
#   make bench-scale  how cost grows: windows and memory up to 16 TiB, rollbacks
#   make style        static checks of shell scripts, licence lines, white space
#   make deps         install the host packages all this needs (`check` and
#                     `demo` do it themselves)
#   make install      modules into /lib/modules/KVER/updates, tools, man pages and
#                     documentation below PREFIX; DESTDIR is put before all of it
#   make uninstall    removes exactly that; give it the same variables
#   make dkms-install have DKMS build the modules, for this kernel and every later
#                     one; `make dkms-uninstall`
#   make deb          packages for Debian 12, in build/deb
#   make check-deb    those packages in a Debian 12 made for it: DKMS builds for both
#                     kernels, the modules load, the tools work, nothing is left
#   make clean        remove build/; `make distclean` the downloaded kernels too
#
# V=1 shows the commands.  J=N sets how many virtual machines, or mutations, run
# at a time.
# Nothing needs root but installing packages, `make install`, `make dkms-install` and
# `make check-deb`.

top := $(CURDIR)
B := $(top)/build

V ?= 0
ifeq ($(V),0)
Q := @
MAKEFLAGS += --no-print-directory
say = @printf '  %-7s %s\n' $(1) '$(2)'
else
Q :=
say = @:
endif
export V

KERNELS ?= 6.1 6.12
TESTS ?=
J ?= 2
export LONG

PREFIX ?= /usr
DESTDIR ?=

# Which kernel?  A line (6.1) stands for the kernel fetched for it.
KVER ?= $(shell scripts/kernel default)
ifeq ($(strip $(KVER)),)
KVER := 6.1
endif
line := $(filter $(KVER),$(shell scripts/kernel list))

export DM_COW_CACHE

.DEFAULT_GOAL := all
.PHONY: all help modules tool unit model model-long mutations fuzz check check-vm \
	check-debug detectors check-races demo style deps kernels install uninstall clean distclean

all: tool modules

help:
	$(Q)sed -n '3,/^$$/s/^#  \{0,1\}//p' Makefile

deps:
	$(Q)scripts/deps build unit vm

kernels: | deps
	$(Q)scripts/kernel fetch $(KERNELS)

# Kbuild leaves its objects beside the sources, so each kernel gets a directory
# of links to drivers/md to build in.
modules:
ifneq ($(line),)
	$(Q)scripts/kernel fetch $(line)
endif
	$(Q)scripts/build-modules '$(KVER)'

tool:
	$(Q)if [ -e userspace/Makefile ]; then \
		$(MAKE) -C userspace; \
	else \
		echo "  SKIP    tool: there is no userspace/Makefile"; \
	fi

unit:
	$(Q)if [ -e tests/unit/Makefile ]; then \
		$(MAKE) -C tests/unit check; \
	else \
		echo "  SKIP    unit: there is no tests/unit/Makefile"; \
	fi

model:
	$(Q)$(MAKE) -C tests/model check

model-long:
	$(Q)$(MAKE) -C tests/model long

mutations: | deps
	$(Q)tests/model/mutate.sh -j '$(J)'
	$(Q)userspace/tests/boot-mutate.sh

MUTATIONS ?=
vm-mutations: | deps
	$(Q)$(MAKE) kernels KERNELS=6.12
	$(Q)tests/vm/mutate.sh $(MUTATIONS)
.PHONY: vm-mutations

fuzz: | deps
	$(Q)$(MAKE) -C tests/fuzz check

# Everything the tests load into the guests.
vm-modules: kernels
	$(Q)for k in $(KERNELS); do \
		$(MAKE) modules KVER=$$k || exit; \
		DM_COW_SRC='$(top)/tests/vm/kmod' DM_COW_SUB=tests \
			scripts/build-modules $$k || exit; \
	done
.PHONY: vm-modules

check: | deps
	$(Q)$(MAKE) tool vm-modules
	$(Q)scripts/check --unit --vm '$(KERNELS)' --jobs '$(J)' $(TESTS)

check-vm: | deps
	$(Q)$(MAKE) tool vm-modules
	$(Q)scripts/check --vm '$(KERNELS)' --jobs '$(J)' $(TESTS)

check-long: | deps
	$(Q)$(MAKE) check-vm LONG=1
.PHONY: check-long

replay:
	$(Q)$(MAKE) check-vm KERNELS=6.12 TESTS='300 463'

# Other recordings for each seed.
REPLAY_SEEDS ?= 1 2
REPLAY_STATES ?= 51000
replay-long: | deps
	$(Q)$(MAKE) tool vm-modules
	$(Q)for k in $(KERNELS); do \
		for s in $(REPLAY_SEEDS); do \
			tests/replay/run -k $$k -s $$s -n $(REPLAY_STATES) -t 400 || exit; \
			tests/replay/run -k $$k -s $$s -n $(REPLAY_STATES) -t 400 \
				apart apart-full apart-resume || exit; \
		done; \
	done

replay-mutations: | deps
	$(Q)$(MAKE) kernels KERNELS=6.12
	$(Q)tests/replay/mutate.sh

.PHONY: replay replay-long replay-mutations

# On our own kernels, see scripts/debug-kernel.  Not those tests that boot dozens of
# times: that is about the disk, not about the kernel.
DEBUG ?= uml
DEBUG_TESTS := 10 11 12 13 14 15 16 17 22 23 24 25 26 28 31 320 321 323 34 \
	400 401 410 411 413 420 430 431 440 450 451 452 460 461 462 464 465 466
check-debug: | deps
	$(Q)$(MAKE) tool
	$(Q)$(MAKE) vm-modules KERNELS=$(DEBUG)
	$(Q)rm -rf $(B)/coverage && mkdir -p $(B)/coverage/raw
	$(Q)VM_COVERAGE=$(B)/coverage/raw scripts/check --vm $(DEBUG) --jobs '$(J)' \
		$(or $(TESTS),$(DEBUG_TESTS))
	$(Q)scripts/coverage -l $(if $(TESTS),0,90) -f $(if $(TESTS),0,100) $(DEBUG)

detectors: | deps
	$(Q)$(MAKE) tool
	$(Q)$(MAKE) kernels KERNELS=$(DEBUG)
	$(Q)KERNEL=$(DEBUG) tests/vm/detectors.sh

RACES := 100 110 230 240 400 401 410 431
check-races: | deps
	$(Q)$(MAKE) tool
	$(Q)$(MAKE) vm-modules KERNELS=kcsan
	$(Q)scripts/check --vm kcsan --jobs '$(J)' $(or $(TESTS),$(RACES))

BOOTS ?= 3
BENCH_KERNEL ?= 6.12
bench: | deps
	$(Q)scripts/deps bench
	$(Q)$(MAKE) tool vm-modules KERNELS=$(BENCH_KERNEL)
	$(Q)tests/bench/run -k $(BENCH_KERNEL) -n $(BOOTS) $(JOBS)

bench-scale: | deps
	$(Q)$(MAKE) tool vm-modules KERNELS=$(BENCH_KERNEL)
	$(Q)mkdir -p $(B)/bench
	$(Q)scripts/vm --kernel $(BENCH_KERNEL) --fio --mem 6144 --timeout 3600 \
		--emulate-without sse4.2 tests/bench/scale.sh | tee $(B)/bench/scale.txt
.PHONY: bench bench-scale

BOOT_KERNEL ?= 6.12
check-boot: | deps
	$(Q)scripts/deps boot
	$(Q)$(MAKE) tool
	$(Q)$(MAKE) kernels KERNELS=$(BOOT_KERNEL)
	$(Q)$(MAKE) modules KVER=$(BOOT_KERNEL)
	$(Q)mkdir -p $(B)/boot
	$(Q)tests/boot/root $(BOOT_KERNEL) $(B)/boot
	$(Q)tests/boot/run -k $(BOOT_KERNEL) $(SCENARIOS)
.PHONY: check-boot

MINUTES ?= 10
check-memory: | deps
	$(Q)$(MAKE) tool vm-modules
	$(Q)for k in $(KERNELS); do \
		MINUTES='$(MINUTES)' tests/vm/run -v --any -k $$k 330 331 || exit; \
	done
.PHONY: check-memory

demo: | deps
	$(Q)if [ ! -x scripts/demo ]; then \
		echo "there is no scripts/demo" >&2; exit 1; \
	fi
	$(Q)scripts/demo

style:
	$(Q)scripts/deps style
	$(Q)scripts/style

# --- installing ----------------------------------------------------------------

DOCDIR ?= $(PREFIX)/share/doc/dm-cow
documents = README.md $(shell find Documentation -name '*.rst')
# For the shell, which knows the full version as $kver.
moddir = /lib/modules/$$kver/updates/dm-cow

install: install-modules install-tools install-doc
uninstall: uninstall-modules uninstall-tools uninstall-doc

install-modules: modules
	$(Q)set -e; kver=$$(scripts/build-modules --kver '$(KVER)'); \
	dir="$(DESTDIR)$(moddir)"; install -d "$$dir"; \
	install -m 644 "$(B)/$$kver"/*.ko "$$dir"; \
	[ -n '$(DESTDIR)' ] || depmod "$$kver"

uninstall-modules:
	$(Q)set -e; kver=$$(scripts/build-modules --kver '$(KVER)'); \
	dir="$(DESTDIR)$(moddir)"; [ -d "$$dir" ] || exit 0; \
	(cd "$$dir" && rm -f dm-cow.ko dm-bow.ko dm-blksnap.ko); \
	rmdir --ignore-fail-on-non-empty "$$dir"; \
	[ -n '$(DESTDIR)' ] || depmod "$$kver"

install-tools: tool
	$(Q)$(MAKE) -C userspace install DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)'

uninstall-tools:
	$(Q)$(MAKE) -C userspace uninstall DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)'

install-doc:
	$(Q)set -e; for f in $(documents); do \
		install -D -m 644 "$$f" "$(DESTDIR)$(DOCDIR)/$$f"; \
	done

uninstall-doc:
	$(Q)[ ! -d '$(DESTDIR)$(DOCDIR)' ] || { \
		(cd '$(DESTDIR)$(DOCDIR)' && rm -f $(documents)) && \
		find '$(DESTDIR)$(DOCDIR)' -depth -type d -empty -delete; }

# DKMS keeps the source and builds it for each kernel that is installed.
dkms_module = $(shell scripts/meta Name)/$(shell scripts/meta Version)
dkms_source = /usr/src/$(subst /,-,$(dkms_module))

dkms-install:
	$(Q)scripts/dkms-tree '$(dkms_source)'
	$(Q)dkms add $(dkms_module)
	$(Q)dkms install $(dkms_module) -k "$$(scripts/build-modules --kver '$(KVER)')"

dkms-uninstall:
	$(Q)dkms remove $(dkms_module) --all
	$(Q)rm -rf '$(dkms_source)'

.PHONY: install-modules install-tools install-doc uninstall-modules uninstall-tools \
	uninstall-doc dkms-install dkms-uninstall

deb:
	$(Q)scripts/deps build deb
	$(Q)scripts/deb

check-deb: deb | deps
	$(Q)scripts/deps check-deb
	$(Q)$(MAKE) kernels
	$(Q)tests/deb/run $(KERNELS)
.PHONY: deb check-deb

clean:
	$(call say,CLEAN,build)
	$(Q)if [ -e userspace/Makefile ]; then $(MAKE) -C userspace clean; fi
	$(Q)if [ -e tests/unit/Makefile ]; then $(MAKE) -C tests/unit clean; fi
	$(Q)rm -rf $(B)

distclean: clean
	$(Q)rm -rf "$$(scripts/kernel cache)"
