# SPDX-License-Identifier: GPL-2.0-only
#
# One Makefile, nothing but `make` needed beforehand: whatever else is missing is
# named, and installed where make runs as root (scripts/setup). Sources are found
# by wildcard; all that is made lands below $(BUILD).

BUILD	?= build
CLANG	?= clang
LLVM_STRIP ?= llvm-strip
BPFTOOL	?= bpftool
PREFIX	?= /usr
DESTDIR	?=
SANITIZE ?=
FUZZ_SECONDS ?= 30
TESTS	?=
KERNELS	?=
DEB_VERSION ?=

export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

Q = $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s%s\n' $(1) $(2))
# Asked once, when first used: by then scripts/setup has run.
once = $(eval $(1) := $(shell $(2)))$($(1))

PKGS	= libbpf libxdp yaml-0.1 jansson libmicrohttpd libsystemd libmnl libcap-ng libseccomp libcurl ncursesw
PKG_CFLAGS = $(call once,PKG_CFLAGS,pkg-config --cflags $(PKGS) cmocka)
PKG_LIBS = $(call once,PKG_LIBS,pkg-config --libs $(PKGS))
MULTIARCH = $(call once,MULTIARCH,$(CC) -print-multiarch)
VERSION	= $(call once,VERSION,git -c safe.directory='*' describe --always --dirty 2>/dev/null || echo unknown)

WARN	= -Wall -Wextra -Wno-unused-parameter
ALL_CFLAGS = -std=gnu11 -O2 -g $(WARN) -Werror -fno-strict-aliasing -D_GNU_SOURCE \
	-Iinclude -Iuserspace -I$(BUILD) $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(PKG_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = -Wl,--as-needed $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(LDFLAGS)
BPF_ARCH = $(call once,BPF_ARCH,uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/')
BPF_CFLAGS = -O2 -g -target bpf -mcpu=v3 -D__TARGET_ARCH_$(BPF_ARCH) $(WARN) -Iinclude -Ibpf -I/usr/include/$(MULTIARCH)
# Headers of packets lie at odd places by nature: BPF reads them so, and so does this.
CHECKED	= -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-sanitize=alignment
NATIVE_CFLAGS = $(filter-out -O2,$(ALL_CFLAGS)) -O1 -Itests/native/include -Ibpf -Itests $(CHECKED) -fno-omit-frame-pointer
FUZZ_CFLAGS = $(filter-out -fsanitize=% -O2,$(ALL_CFLAGS)) -O1 -Itests/native/include -Ibpf -Itests \
	$(CHECKED)

# ---- what there is ------------------------------------------------------------
parts	= $(wildcard $(1:%=userspace/%/*.c))
obj	= $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
LIBRARY	:= $(call parts,lib core config kernel net host probe doctor control)
DAEMON	:= $(call parts,daemon api tundishd)
CLI	:= $(call parts,cli)
BPF	:= $(patsubst bpf/%.bpf.c,$(BUILD)/%.bpf.o,$(wildcard bpf/*.bpf.c))
SKELETONS := $(BPF:.bpf.o=.skel.h)
PROGRAMS := $(if $(DAEMON),$(BUILD)/tundishd) $(if $(CLI),$(BUILD)/tundish)

# A program per test_*.c; the other .c files of a directory are common to its tests.
tests	= $(patsubst tests/$(1)/test_%.c,$(BUILD)/tests/$(2)_%,$(wildcard tests/$(1)/test_*.c))
common	= $(filter-out tests/$(1)/test_% tests/$(1)/fuzz_% tests/$(1)/bench_% %.bpf.c,$(wildcard tests/$(1)/*.c))
UNIT	:= $(call tests,unit,test)
NATIVE	:= $(call tests,native,native)
BPF_TESTS := $(call tests,bpf,bpf)
TEST_BPF := $(patsubst tests/bpf/%.bpf.c,$(BUILD)/tests/%.bpf.o,$(wildcard tests/bpf/*.bpf.c))
FUZZERS	:= $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
BENCHES	:= $(patsubst tests/bench/bench_%.c,$(BUILD)/bench/%,$(wildcard tests/bench/bench_*.c))
NET_TOOLS := $(addprefix $(BUILD)/bench/,check_way connections server ports) # for scenarios too
BENCH_BPF := $(patsubst tests/bench/%.bpf.c,$(BUILD)/bench/%.bpf.o,$(wildcard tests/bench/*.bpf.c))
SOURCES	:= $(LIBRARY) $(DAEMON) $(CLI) $(wildcard tests/unit/*.c tests/native/*.c tests/fuzz/*.c) \
	$(filter-out %.bpf.c,$(wildcard tests/bpf/*.c tests/bench/*.c))
FORMATTED := $(wildcard include/tundish/*.h bpf/*.[ch] userspace/*/*.[ch] tests/*/*.[ch])
MANUALS	:= $(wildcard scripts/man/*.[1-8])
SCRIPTS	:= scripts/setup scripts/check-includes scripts/make-page scripts/demo scripts/package \
	$(wildcard tests/run tests/soak/run tests/fuzz/run tests/bench/run tests/kernels/* tests/package/run tests/*/*.sh scripts/completion/*.bash)
READY	:= $(BUILD)/.ready
# Where zsh looks for completions of others: Debian has a place of its own for them below /usr.
ZSH_FUNCTIONS ?= $(if $(wildcard /etc/debian_version),$(if $(filter /usr,$(PREFIX)),vendor-completions,site-functions),site-functions)

.PHONY: version-is-asked all setup tests benches test test-kernels deb setup-package test-package soak test-soak bench fuzz fuzzers demo format lint install clean help
.DELETE_ON_ERROR:
.SECONDARY:

all: $(SKELETONS) $(BUILD)/libtundish.a $(PROGRAMS) ## builds tundishd and tundish (the default)

help: ## this list
	@awk -F':.*## ' '/^[a-z_.-]+:.*## /{printf "  make %-22s %s\n", $$1, $$2}' Makefile
	@echo "  variables: V=1 shows commands, TESTS='unit net/10-*' chooses tests, SANITIZE=address,undefined"
	@echo "             BUILD=DIR, FUZZ_SECONDS=30, SOAK_MINUTES=60, DESTDIR= PREFIX=/usr"

setup: ## installs what building and testing need (as root), if anything is missing
	@scripts/setup test

$(READY): scripts/setup
	@scripts/setup build
	@mkdir -p $(@D) && touch $@

# ---- data path ----------------------------------------------------------------
# With what each function takes of the stack (.su), for scripts/check-stack.
define bpf
$(call say,BPF,$(1).o)
$(Q)mkdir -p $(dir $(1)) && $(CLANG) $(BPF_CFLAGS) -fstack-usage -MMD -MP -c $< -o $(1).o && $(LLVM_STRIP) -g $(1).o
endef
$(BUILD)/%.bpf.o $(BUILD)/%.bpf.su: bpf/%.bpf.c | $(READY)
	$(call bpf,$(BUILD)/$*.bpf)
$(BUILD)/bench/%.bpf.o $(BUILD)/bench/%.bpf.su: tests/bench/%.bpf.c | $(READY)
	$(call bpf,$(BUILD)/bench/$*.bpf)
$(BUILD)/tests/%.bpf.o $(BUILD)/tests/%.bpf.su: tests/bpf/%.bpf.c | $(READY)
	$(call bpf,$(BUILD)/tests/$*.bpf)

$(BUILD)/%.skel.h: $(BUILD)/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $* > $@

# The stats page, as a header.
$(BUILD)/page.h: scripts/make-page include/tundish/counters.h $(wildcard userspace/page/*)
	$(call say,PAGE,$@)
	$(Q)mkdir -p $(@D) && scripts/make-page userspace/page include/tundish/counters.h >$@
$(call obj,userspace/api/page.c): $(BUILD)/page.h

# ---- programs -------------------------------------------------------------------
# What tells its version is made anew when there is another one.
$(BUILD)/.version: version-is-asked
	@mkdir -p $(@D) && echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' >$@
$(call obj,$(shell grep -ls TD_VERSION userspace/daemon/*.c userspace/api/*.c userspace/tundishd/*.c userspace/cli/*.c tests/unit/*.c)): $(BUILD)/.version

$(BUILD)/obj/%.o: %.c | $(READY) $(SKELETONS)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -Itests -Ibpf -DTD_VERSION='"$(VERSION)"' -MMD -MP -c $< -o $@

define link
$(call say,LINK,$@)
$(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o %.a,$^) $(PKG_LIBS) -lm $(1)
endef

# Of all parts, for the tests too; a program takes from it what it needs. Appended (q),
# since files of different parts may have the same name.
$(BUILD)/libtundish.a: $(call obj,$(filter-out %/main.c,$(LIBRARY) $(DAEMON) $(CLI)))
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) qcs $@ $^

$(BUILD)/tundishd: $(call obj,userspace/tundishd/main.c) $(BUILD)/libtundish.a
	$(link)
$(BUILD)/tundish: $(call obj,userspace/cli/main.c) $(BUILD)/libtundish.a
	$(link)

# ---- tests ------------------------------------------------------------------------
tests: $(PROGRAMS) $(UNIT) $(NATIVE) $(BPF_TESTS) $(TEST_BPF) $(patsubst %.o,%.su,$(BPF) $(TEST_BPF)) $(NET_TOOLS) ## builds all tests
benches: $(PROGRAMS) $(BENCHES) $(BENCH_BPF) $(BUILD)/tests/nat.bpf.o
fuzzers: $(FUZZERS)

$(UNIT): $(BUILD)/tests/test_%: $(BUILD)/obj/tests/unit/test_%.o $(call obj,$(call common,unit)) $(BUILD)/libtundish.a
	$(call link,-lcmocka)
$(BPF_TESTS): $(BUILD)/tests/bpf_%: $(BUILD)/obj/tests/bpf/test_%.o $(call obj,$(call common,bpf)) $(BUILD)/libtundish.a
	$(call link,-lcmocka)
$(BENCHES): $(BUILD)/bench/%: $(BUILD)/obj/tests/bench/bench_%.o $(call obj,$(call common,bench)) $(BUILD)/libtundish.a
	$(link)

$(NATIVE): $(BUILD)/tests/native_%: tests/native/test_%.c $(call common,native) | $(READY)
	$(call say,NATIVE,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(NATIVE_CFLAGS) -MMD -MP -MT $@ -MF $@.d $< $(call common,native) -o $@ -lcmocka

$(BUILD)/fuzz/obj/%.o: %.c | $(READY) $(SKELETONS)
	$(call say,FUZZ,$@)
	$(Q)mkdir -p $(@D) && $(CLANG) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@
$(BUILD)/fuzz/libtundish.a: $(patsubst %.c,$(BUILD)/fuzz/obj/%.o,$(LIBRARY))
	$(Q)rm -f $@ && $(AR) qcs $@ $^
$(FUZZERS): $(BUILD)/fuzz/%: $(BUILD)/fuzz/obj/tests/fuzz/%.o $(BUILD)/fuzz/libtundish.a
	$(call say,LINK,$@)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -Wl,--as-needed -o $@ $^ $(PKG_LIBS) -lm

test: setup ## every test this machine can run, in some twenty minutes (as root)
	@+$(MAKE) --no-print-directory tests
	@BUILD=$(BUILD) tests/run $(TESTS)

test-kernels: ## what depends on the kernel, in Debian's 6.1 and 6.12 under qemu (as root); KERNELS=6.1
	@scripts/setup kernels
	@+$(MAKE) --no-print-directory tests
	@BUILD=$(BUILD) KERNELS='$(KERNELS)' tests/kernels/run $(TESTS)

deb: setup-package all ## a Debian package in $(BUILD)/deb, held to lintian
	@BUILD=$(BUILD) scripts/package $(DEB_VERSION)

setup-package:
	@scripts/setup package

test-package: setup-package all ## the Debian package in a clean Debian 12 with systemd: install, upgrade, remove (as root)
	@BUILD=$(BUILD) tests/package/run

soak: setup ## a hundred reloads, kills, upgrades, and former versions, under wrk, in some 20 minutes (as root)
	@+$(MAKE) --no-print-directory tests
	@BUILD=$(BUILD) tests/soak/run

test-soak: setup ## an hour of churn, load and a hundred kills (as root)
	@+$(MAKE) --no-print-directory tests
	@BUILD=$(BUILD) tests/soak/hour.sh

bench: setup ## measures the data path; prints a table, writes $(BUILD)/bench.json (as root)
	@+$(MAKE) --no-print-directory benches
	@BUILD=$(BUILD) tests/bench/run

fuzz: setup ## runs each fuzzer for FUZZ_SECONDS
	@+$(MAKE) --no-print-directory fuzzers
	@BUILD=$(BUILD) FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz/run $(FUZZERS)

demo: setup ## a client, an edge host and three backends in network namespaces (as root)
	@+$(MAKE) --no-print-directory all $(BUILD)/tests/pass.bpf.o
	@BUILD=$(BUILD) scripts/demo $(if $(KEEP),--keep)

# ---- for those who change the code -----------------------------------------------
format: ## formats all C files as .clang-format says
	$(Q)clang-format -i $(FORMATTED) && clang-format -i $(FORMATTED) # its first result is not always its last

lint: ## includes, style, static analysis, manuals
	$(Q)scripts/check-includes
	$(Q)scripts/check-manuals
	$(Q)clang-format --dry-run -Werror $(FORMATTED)
	$(Q)cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --enable=warning,portability \
		--suppress=missingInclude --suppress=nullPointerRedundantCheck --suppress=memleak \
		'--suppress=uninitvar:userspace/kernel/*' \
		'-DLIBBPF_OPTS(t,n,...)=struct t n = {0}' -Iinclude -Iuserspace userspace # _cleanup_ frees
	$(Q)if command -v shellcheck >/dev/null; then shellcheck -x -S warning $(SCRIPTS); \
		else echo 'lint: no shellcheck here, scripts were not checked'; fi
	$(Q)$(if $(MANUALS),mandoc -T lint -W warning $(MANUALS))

compile_commands.json: Makefile ## for editors and clang-tidy
	@{ sep='['; for f in $(SOURCES); do \
		printf '%s\n{"directory": "%s", "file": "%s", "arguments": [%s "-c", "%s"]}' "$$sep" "$(CURDIR)" "$$f" \
			"$$(printf '"%s", ' $(CC) $(ALL_CFLAGS) -Ibpf -Itests)" "$$f"; sep=','; \
	done; printf '\n]\n'; } > $@

install: all ## installs below $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)/etc/tundish
	install -m 0755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/sbin
	$(foreach m,$(MANUALS),install -D -m 0644 $(m) $(DESTDIR)$(PREFIX)/share/man/man$(subst .,,$(suffix $(m)))/$(notdir $(m));)
	$(foreach u,$(wildcard scripts/*.service),install -D -m 0644 $(u) $(DESTDIR)$(PREFIX)/lib/systemd/system/$(notdir $(u));)
	$(foreach u,$(wildcard scripts/sysusers.d/*.conf),install -D -m 0644 $(u) $(DESTDIR)$(PREFIX)/lib/sysusers.d/$(notdir $(u));)
	sed -i 's|=/usr/sbin/|=$(PREFIX)/sbin/|' $(DESTDIR)$(PREFIX)/lib/systemd/system/*tundish*.service
	$(foreach y,$(wildcard scripts/*.yaml*),install -D -m 0644 $(y) $(DESTDIR)$(PREFIX)/share/doc/tundish/$(notdir $(y));)
	$(foreach r,$(wildcard scripts/prometheus/*.yaml scripts/prometheus/*.json),install -D -m 0644 $(r) $(DESTDIR)$(PREFIX)/share/tundish/prometheus/$(notdir $(r));)
	$(foreach l,$(wildcard scripts/*.lua),install -D -m 0644 $(l) $(DESTDIR)$(PREFIX)/share/tundish/$(notdir $(l));)
	install -m 0644 include/tundish/README.md $(DESTDIR)$(PREFIX)/share/doc/tundish/maps.md
	$(foreach c,$(wildcard scripts/completion/*.bash),install -D -m 0644 $(c) $(DESTDIR)$(PREFIX)/share/bash-completion/completions/$(basename $(notdir $(c)));)
	$(foreach c,$(wildcard scripts/completion/*.zsh),install -D -m 0644 $(c) $(DESTDIR)$(PREFIX)/share/zsh/$(ZSH_FUNCTIONS)/_$(basename $(notdir $(c)));)

clean: ## removes all that was made
	rm -rf $(BUILD) compile_commands.json

-include $(shell find $(BUILD) \( -path $(BUILD)/package -o -path $(BUILD)/deb \) -prune -o -type f -name '*.d' -print 2>/dev/null)
