# libmemo: one Makefile for all of it. `make help` lists what it can do.
#
#   make CC=clang            another compiler
#   make CFLAGS=-O0          flags after our own
#   make WERROR=             warnings do not stop the build
#   make SANITIZE=asan       or tsan: everything, instrumented, in build/asan or build/tsan
#   make V=1                 shows the commands

SANITIZE =
ifeq ($(SANITIZE),)
BUILD ?= build
else
BUILD = build/$(SANITIZE)
endif
CFLAGS =
LDFLAGS =
WERROR = -Werror
PREFIX = /usr/local
DESTDIR =
TEST_SECONDS = 600
V =
Q = $(if $(V),,@)

VERSION = 0.1.0
SONAME = libmemo.so.0

SANITIZE_asan = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# The library's fences order atomics alone, which TSan need not understand to check everything else; gcc would warn.
SANITIZE_tsan = -fsanitize=thread $(if $(findstring clang,$(CC)),,-Wno-tsan)
SANITIZE_FLAGS = $(if $(SANITIZE),$(or $(SANITIZE_$(SANITIZE)),$(error SANITIZE is asan or tsan, not $(SANITIZE))))

WARNINGS = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes $(WERROR)
COMPILE = $(CC) -std=c11 -D_GNU_SOURCE -I. -O2 -g -fvisibility=hidden $(WARNINGS) $(SANITIZE_FLAGS) $(CFLAGS)
LINK = $(CC) -g $(SANITIZE_FLAGS) $(CFLAGS) $(LDFLAGS)
LIBS = -lpthread -ldl

# What there is, and what is made of it.
LIB_OBJECTS = $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard libmemo/*/*.c)))
MEMO_OBJECTS = $(patsubst %.c,$(BUILD)/%.o,$(wildcard servers/memo.c) $(sort $(wildcard servers/memo_*.c)))
BENCH_OBJECTS = $(patsubst %.c,$(BUILD)/%.o,$(wildcard bench/memo-bench.c) $(sort $(wildcard bench/bench_*.c)))
TEST_OBJECTS = $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard t/lib/*.c)))

LIBRARIES = $(if $(LIB_OBJECTS),$(BUILD)/libmemo.a $(BUILD)/libmemo.so)
COMMANDS = $(if $(wildcard servers/memo.c),$(BUILD)/memo)
BENCH = $(if $(wildcard bench/memo-bench.c),$(BUILD)/memo-bench)
EXAMPLES = $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard examples/*.c)))
TESTS = $(patsubst %.c,$(BUILD)/%.t,$(sort $(wildcard t/*.c)))
SHELL_TESTS = $(sort $(wildcard t/*.sh))
MAN_PAGES = $(sort $(wildcard libmemo/man/*.[1-9]))
# Every call of a page is a page too, by a line that names the real one.
page_calls = $(shell sed -n 's/^\.Nm \(memo_[a-z_]*\).*/\1/p' libmemo/man/$(1).3)
MAN_CALLS = $(foreach page,$(basename $(notdir $(filter %.3,$(MAN_PAGES)))),\
    $(patsubst %,$(page)/%,$(filter-out $(page),$(call page_calls,$(page)))))

.PHONY: all lib check check-asan check-tsan check-models soak bench demo install uninstall deps build-deps clean format help FORCE
.SECONDARY:
.DELETE_ON_ERROR:

all: lib $(COMMANDS) $(EXAMPLES) $(BENCH) $(TESTS)

lib: $(LIBRARIES)

help:
	@echo 'make               the library, the memo command, examples, benchmark and test programs'
	@echo 'make lib           the library alone'
	@echo 'make demo          a demonstration; installs what is missing'
	@echo 'make check         all tests; installs what is missing'
	@echo 'make check-asan    the test programs with the address and undefined behaviour sanitizers'
	@echo 'make check-tsan    the test programs with the thread sanitizer'
	@echo 'make check-models  the Spin models alone'
	@echo 'make soak          random operations under an exact checker, without end'
	@echo 'make bench         the benchmark on both backends'
	@echo 'make install       into PREFIX ($(PREFIX)), below DESTDIR; also uninstall'
	@echo 'make deps          the Debian packages that are missing'
	@echo 'make format        clang-format on every source; also clean'

# ---- compiling ---------------------------------------------------------------------------------------------

# What was made by other commands, or of other files, is made again: these two remember them.
COMPILED_BY = $(COMPILE)
LINKED_BY = $(LINK) : $(LIB_OBJECTS) : $(MEMO_OBJECTS) : $(BENCH_OBJECTS) : $(TEST_OBJECTS)
if_differs = $(if $(subst <$(strip $(file <$(1)))>,,<$(strip $(2))>),FORCE)
remember = @mkdir -p $(@D) && echo '$(subst ','\'',$(strip $(1)))' > $@

$(BUILD)/compiled-by: $(call if_differs,$(BUILD)/compiled-by,$(COMPILED_BY))
	$(call remember,$(COMPILED_BY))

$(BUILD)/linked-by: $(call if_differs,$(BUILD)/linked-by,$(LINKED_BY))
	$(call remember,$(LINKED_BY))

$(BUILD)/libmemo/%.o: PIC = -fPIC
# Examples read as they would outside the tree: #include <memo.h>.
$(BUILD)/examples/%.o: INCLUDE_MEMO = -Ilibmemo

$(BUILD)/%.o: %.c $(BUILD)/compiled-by Makefile
	@mkdir -p $(@D)
	$(if $(V),,@echo '  CC      $<')
	$(Q)$(COMPILE) $(PIC) $(INCLUDE_MEMO) -MMD -MP -c -o $@ $<

-include $(patsubst %.c,$(BUILD)/%.d,$(wildcard libmemo/*/*.c servers/*.c bench/*.c examples/*.c t/*.c t/lib/*.c))

# ---- linking -----------------------------------------------------------------------------------------------

$(BUILD)/libmemo.a: $(LIB_OBJECTS) $(BUILD)/linked-by
	$(if $(V),,@echo '  AR      $@')
	$(Q)rm -f $@ && $(AR) rcs $@ $(LIB_OBJECTS)

# A sanitizer's run-time library is the program's to bring.
NO_UNDEFINED = $(if $(SANITIZE),,-Wl,-z,defs)

$(BUILD)/libmemo.so.$(VERSION): $(LIB_OBJECTS) $(BUILD)/linked-by
	$(if $(V),,@echo '  LINK    $@')
	$(Q)$(LINK) -shared -Wl,-soname,$(SONAME) $(NO_UNDEFINED) -o $@ $(LIB_OBJECTS) $(LIBS)

$(BUILD)/libmemo.so: $(BUILD)/libmemo.so.$(VERSION)
	$(Q)ln -sf libmemo.so.$(VERSION) $(BUILD)/$(SONAME) && ln -sf $(SONAME) $@

define link
$(if $(V),,@echo '  LINK    $@')
$(Q)$(LINK) -o $@ $(filter %.o,$^) $(filter %.a,$^) -Wl,--as-needed -lz -lm $(LIBS)
endef

ARCHIVE = $(if $(LIB_OBJECTS),$(BUILD)/libmemo.a) $(BUILD)/linked-by

$(BUILD)/memo: $(MEMO_OBJECTS) $(ARCHIVE)
	$(link)

$(BUILD)/memo-bench: $(BENCH_OBJECTS) $(ARCHIVE)
	$(link)

$(EXAMPLES): %: %.o $(ARCHIVE)
	$(link)

# What tests share: each takes from it what it uses.
$(BUILD)/t/lib.a: $(TEST_OBJECTS) $(BUILD)/linked-by
	$(Q)rm -f $@ && $(AR) rcs $@ $(TEST_OBJECTS)

$(TESTS): %.t: %.o $(if $(TEST_OBJECTS),$(BUILD)/t/lib.a) $(ARCHIVE)
	$(link)

# ---- running -----------------------------------------------------------------------------------------------

# Tests find what they run in BUILD. No test runs longer than TEST_SECONDS; its children end with it.
PROVE = BUILD=$(BUILD) prove --timer --exec 'timeout -k 5 $(TEST_SECONDS)'
BUILD_ALL = +@$(MAKE) --no-print-directory all

check: deps
	$(BUILD_ALL)
	@$(PROVE) $(TESTS) $(SHELL_TESTS)

check-asan: deps
	+@$(MAKE) --no-print-directory SANITIZE=asan run-tests

check-tsan: deps
	+@$(MAKE) --no-print-directory SANITIZE=tsan run-tests

# TSan cannot bear every address space layout; see `setarch -R`. What a test does in a signal handler is to report that it
# hangs: unsafe, and about to end.
.PHONY: run-tests
run-tests: all
	@export ASAN_OPTIONS="$${ASAN_OPTIONS:-detect_stack_use_after_return=0}" \
	    UBSAN_OPTIONS="$${UBSAN_OPTIONS:-print_stacktrace=1}" \
	    TSAN_OPTIONS="$${TSAN_OPTIONS:-die_after_fork=0 report_signal_unsafe=0}"; \
	$(if $(filter tsan,$(SANITIZE)),export MEMO_TSAN=1; ! setarch -R true 2>/dev/null || fixed='setarch -R';) \
	BUILD=$(BUILD) $$fixed prove --timer --exec 'timeout -k 5 $(TEST_SECONDS)' $(TESTS)

check-models: deps
	@$(PROVE) t/models.sh

soak: deps
	$(BUILD_ALL)
	$(BUILD)/t/storm.t --soak

bench: all
	$(BUILD)/memo-bench

demo: build-deps
	$(BUILD_ALL)
	@BUILD=$(BUILD) examples/demo.sh

build-deps:
	@CC='$(CC)' .ci/deps

deps:
	@CC='$(CC)' .ci/deps test

# ---- installing --------------------------------------------------------------------------------------------

BIN = $(DESTDIR)$(PREFIX)/bin
LIB = $(DESTDIR)$(PREFIX)/lib
INCLUDE = $(DESTDIR)$(PREFIX)/include
MAN = $(DESTDIR)$(PREFIX)/share/man

# The loader finds libraries in these by a cache.
LDCONFIG = $(if $(DESTDIR),,$(if $(filter /usr /usr/local,$(PREFIX)),PATH="$$PATH:/usr/sbin:/sbin" ldconfig || true))

# The archive to install is one object whose internal names nobody else can meet.
$(BUILD)/install/libmemo.a: $(LIB_OBJECTS) $(BUILD)/linked-by
	@mkdir -p $(@D)
	$(Q)$(LD) -r -o $(@D)/libmemo.o $(LIB_OBJECTS) && objcopy --localize-hidden $(@D)/libmemo.o
	$(Q)rm -f $@ && $(AR) rcs $@ $(@D)/libmemo.o

install: lib $(COMMANDS) $(BUILD)/install/libmemo.a
	install -d '$(BIN)' '$(INCLUDE)' '$(LIB)/pkgconfig'
	install -m 644 libmemo/memo.h '$(INCLUDE)/memo.h'
	install -m 644 $(BUILD)/install/libmemo.a '$(LIB)/libmemo.a'
	install -m 755 $(BUILD)/libmemo.so.$(VERSION) '$(LIB)/libmemo.so.$(VERSION)'
	ln -sf libmemo.so.$(VERSION) '$(LIB)/$(SONAME)'
	ln -sf $(SONAME) '$(LIB)/libmemo.so'
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' libmemo/memo.pc.in > '$(LIB)/pkgconfig/memo.pc'
	$(if $(COMMANDS),install -m 755 $(COMMANDS) '$(BIN)')
	$(foreach page,$(MAN_PAGES),install -D -m 644 $(page) \
	    '$(MAN)/man$(subst .,,$(suffix $(page)))/$(notdir $(page))' &&) true
	@for pair in $(MAN_CALLS); do echo ".so man3/$${pair%/*}.3" > '$(MAN)/man3'/"$${pair#*/}.3" || exit 1; done
	$(LDCONFIG)

uninstall:
	rm -f '$(INCLUDE)/memo.h' '$(LIB)/libmemo.a' '$(LIB)/libmemo.so.$(VERSION)' '$(LIB)/$(SONAME)' \
	    '$(LIB)/libmemo.so' '$(LIB)/pkgconfig/memo.pc' '$(BIN)/memo' \
	    $(foreach page,$(MAN_PAGES),'$(MAN)/man$(subst .,,$(suffix $(page)))/$(notdir $(page))') \
	    $(foreach pair,$(MAN_CALLS),'$(MAN)/man3/$(notdir $(pair)).3')
	$(LDCONFIG)

# ---- keeping -----------------------------------------------------------------------------------------------

clean:
	rm -rf build $(BUILD)

format:
	clang-format -i $$(git ls-files '*.c' '*.h')
