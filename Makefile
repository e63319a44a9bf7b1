# libmemo: one Makefile for all of it. `make help` lists what it can do.
#
#   make CC=clang            another compiler
#   make CFLAGS=-O0          flags after our own
#   make WERROR=             warnings do not stop the build
#   make SANITIZE=asan       or tsan: everything, instrumented, in build/asan or build/tsan
#   make MPI=no              without the spaces over MPI (also left out, and said so, where there is no mpicc)
#   make V=1                 shows the commands
#   make MINUTES=5 soak-mpi  that long for each of its six jobs
#   make SECONDS=600 fuzz    that long for each target
#   make SECONDS=600 FROM=shm-lock/put/0 kill-all  no longer than that; from there on, as the one before said at its end

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
SECONDS = 60
MINUTES = 40
FROM =
MPI =
V =
Q = $(if $(V),,@)

VERSION = 0.1.0
SONAME = libmemo.so.0
MPI_SONAME = libmemo-mpi.so.0

SANITIZE_asan = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# The library's fences order atomics alone, which TSan need not understand to check everything else; gcc would warn.
SANITIZE_tsan = -fsanitize=thread $(if $(findstring clang,$(CC)),,-Wno-tsan)
# Of make fuzz and make fuzz-afl, which bring their compilers.
SANITIZE_fuzz = -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SANITIZE_afl = -fno-omit-frame-pointer
SANITIZE_FLAGS = $(if $(SANITIZE),$(or $(SANITIZE_$(SANITIZE)),$(error SANITIZE is asan or tsan (or fuzz or afl), not $(SANITIZE))))

WARNINGS = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes $(WERROR)
COMPILE = $(CC) -std=c11 -D_GNU_SOURCE -I. -O2 -g -fvisibility=hidden $(WARNINGS) $(SANITIZE_FLAGS) $(CFLAGS)
LINK = $(CC) -g $(SANITIZE_FLAGS) $(CFLAGS) $(LDFLAGS)
LIBS = -lpthread -ldl

# MPI's headers are not ours to warn about.
MPICC := $(if $(filter no,$(MPI)),,$(shell command -v mpicc))
MPI_SHOWN := $(if $(MPICC),$(shell $(MPICC) -show))
MPI_INCLUDE := $(patsubst -I%,-isystem %,$(filter -I%,$(MPI_SHOWN)))
MPI_LIBS := $(filter -L% -l% -Wl%,$(MPI_SHOWN))

# ---- what there is, and what is made of it -------------------------------------------------------------------

objects = $(patsubst %.c,$(BUILD)/%.o,$(1))
programs = $(patsubst %.c,$(BUILD)/%,$(1))

# The library, and the programs that come with it.
LIB_OBJECTS = $(call objects,$(sort $(filter-out libmemo/wire/%,$(wildcard libmemo/*/*.c))))
MEMO_OBJECTS = $(call objects,servers/memo.c $(sort $(wildcard servers/memo_*.c)))
BENCH_OBJECTS = $(call objects,bench/memo-bench.c $(sort $(wildcard bench/bench_*.c)))

# The MPI half, a library of its own that libmemo loads: it brings its own copy of what both use. Sources that
# include mpi.h are MPI_SOURCES; ENGINES are those that are pure, or need no more than a node region: for tests.
MPI_SOURCES = $(sort $(wildcard libmemo/wire/mpi_*.c))
MPI_SHARED = $(sort $(wildcard libmemo/node/*.c)) libmemo/api/folder.c
MPI_MAP = libmemo/wire/exports.map
SERVER_SOURCES = $(sort $(filter-out servers/memo.c servers/memo_%.c servers/memo-%.c,$(wildcard servers/*.c)))
ENGINES = $(sort $(filter-out libmemo/wire/host.c $(MPI_SOURCES),$(wildcard libmemo/wire/*.c))) \
    $(filter-out servers/loop%,$(SERVER_SOURCES)) $(sort $(filter-out stubs/space%,$(wildcard stubs/*.c)))
ENGINE_OBJECTS = $(call objects,$(ENGINES))
MPI_OWN = $(sort $(wildcard libmemo/wire/*.c) $(SERVER_SOURCES) $(wildcard stubs/*.c))
MPI_OBJECTS = $(call objects,$(MPI_OWN) $(MPI_SHARED))

# What is made always, and what is made with MPI: without it those are empty.
MPI_LIBRARY = $(if $(MPICC),$(BUILD)/libmemo-mpi.so)
LIBRARIES = $(BUILD)/libmemo.a $(BUILD)/libmemo.so $(MPI_LIBRARY)
COMMANDS = $(BUILD)/memo $(if $(MPICC),$(BUILD)/memo-server)
BENCH = $(BUILD)/memo-bench

# Examples. Programs that include memo_mpi.h are linked with its library.
uses_library = $(if $(1),$(shell grep -lE '^.include [<"](libmemo/)?memo_mpi\.h[>"]' /dev/null $(1)))
EXAMPLE_SOURCES := $(sort $(wildcard examples/*.c))
MPI_EXAMPLE_SOURCES := $(call uses_library,$(EXAMPLE_SOURCES))
EXAMPLES = $(call programs,$(filter-out $(MPI_EXAMPLE_SOURCES),$(EXAMPLE_SOURCES)))
MPI_EXAMPLES = $(if $(MPICC),$(call programs,$(MPI_EXAMPLE_SOURCES)))

# Tests, and what they share.
TESTS = $(patsubst %.c,$(BUILD)/%.t,$(sort $(wildcard t/*.c)))
SHELL_TESTS = $(sort $(wildcard t/*.sh))
TEST_OBJECTS = $(call objects,$(sort $(wildcard t/lib/*.c)))

# Fuzz targets: each a test that replays its corpus, and, with SANITIZE=fuzz or afl, a program that goes on from it.
FUZZ_TARGETS = $(filter-out replay,$(patsubst t/fuzz/%.c,%,$(sort $(wildcard t/fuzz/*.c))))
FUZZ_TESTS = $(FUZZ_TARGETS:%=$(BUILD)/t/fuzz/%.t)
FUZZERS = $(FUZZ_TARGETS:%=$(BUILD)/t/fuzz/%)

# Programs that shell tests and benchmarks run under mpiexec. Those that include memo_mpi.h use the library as programs
# do, the others may reach into it.
MPI_PROGRAM_SOURCES := $(sort $(wildcard t/mpi/*.c bench/mpi_*.c))
MPI_USER_SOURCES := $(call uses_library,$(MPI_PROGRAM_SOURCES))
MPI_USERS = $(if $(MPICC),$(call programs,$(MPI_USER_SOURCES)))
MPI_INSIDERS = $(if $(MPICC),$(call programs,$(filter-out $(MPI_USER_SOURCES),$(MPI_PROGRAM_SOURCES))))

# Man pages. Every call of a page is a page too, by a line that names the real one.
MAN_PAGES = $(sort $(wildcard libmemo/man/*.[1-9]))
page_calls = $(shell sed -n 's/^\.Nm \(memo_[a-z_]*\).*/\1/p' libmemo/man/$(1).3)
MAN_CALLS = $(foreach page,$(basename $(notdir $(filter %.3,$(MAN_PAGES)))),\
    $(patsubst %,$(page)/%,$(filter-out $(page),$(call page_calls,$(page)))))

# ---- what can be asked for -------------------------------------------------------------------------------------

.PHONY: all lib mpi-or-not check run-check check-asan check-tsan run-tests check-models check-mpi soak soak-mpi \
    kill-all soak-kill fuzz fuzz-afl run-fuzz \
    bench bench-backends bench-mpi demo install uninstall deps build-deps clean format help FORCE
.SECONDARY:
.DELETE_ON_ERROR:

all: lib $(COMMANDS) $(EXAMPLES) $(MPI_EXAMPLES) $(BENCH) $(TESTS) $(FUZZ_TESTS) $(MPI_USERS) $(MPI_INSIDERS)

lib: $(LIBRARIES) mpi-or-not

# Nothing of an earlier build with MPI stays where libmemo would find it.
mpi-or-not:
ifeq ($(MPICC),)
	@rm -f $(BUILD)/libmemo-mpi.so* $(BUILD)/memo-server
endif
ifeq ($(MPI),no)
	@echo '  (MPI=no: libmemo-mpi.so and memo-server, the spaces over MPI, are left out)'
else ifneq ($(MPICC),)
else ifeq ($(MPI),)
	@echo '  (no mpicc: libmemo-mpi.so and memo-server, the spaces over MPI, are left out; Debian: mpich, libmpich-dev)'
else
	@echo 'MPI=$(MPI), but there is no mpicc; Debian: apt-get install mpich libmpich-dev, or make deps' >&2; exit 1
endif

help:
	@echo 'make               the library, the memo command, examples, benchmark and test programs'
	@echo 'make lib           the library alone'
	@echo 'make demo          a demonstration; installs what is missing'
	@echo 'make check         all tests; installs what is missing'
	@echo 'make check-asan    the test programs with the address and undefined behaviour sanitizers'
	@echo 'make check-tsan    the test programs with the thread sanitizer'
	@echo 'make check-models  the Spin models alone'
	@echo 'make check-mpi     the contract over MPI: every backend with 1, 2 and 3 servers and nodes, a million operations'
	@echo 'make soak          random operations under an exact checker, without end'
	@echo 'make soak-mpi      the same over MPI: MINUTES ($(MINUTES)) on each backend, one node and two, in one space that must not grow'
	@echo 'make fuzz          each fuzz target for SECONDS ($(SECONDS)), by libFuzzer; make fuzz-afl: by AFL++'
	@echo 'make kill-all      every operation killed at each of its instructions, on both shm backends; adds to a count of all kills'
	@echo 'make soak-kill     storms of processes that are killed and replaced, for MINUTES ($(MINUTES)), under the exact checker'
	@echo 'make bench         the benchmark on shared memory, both backends'
	@echo 'make bench-backends the benchmark on all five backends: a table, and a plot in $(BUILD)'
	@echo 'make bench-mpi     requests through a server next to plain MPI_Send and MPI_Recv'
	@echo 'make install       into PREFIX ($(PREFIX)), below DESTDIR; also uninstall'
	@echo 'make deps          the Debian packages that are missing'
	@echo 'make format        clang-format on every source; also clean'

# ---- compiling ---------------------------------------------------------------------------------------------

# What was made by other commands, or of other files, is made again: these two remember them.
COMPILED_BY = $(COMPILE)
LINKED_BY = $(LINK) : $(LIB_OBJECTS) : $(MEMO_OBJECTS) : $(BENCH_OBJECTS) : $(TEST_OBJECTS) : $(ENGINE_OBJECTS) \
    : $(if $(MPICC),$(MPI_LIBS) $(MPI_OBJECTS))
if_differs = $(if $(subst <$(strip $(file <$(1)))>,,<$(strip $(2))>),FORCE)
remember = @mkdir -p $(@D) && echo '$(subst ','\'',$(strip $(1)))' > $@

$(BUILD)/compiled-by: $(call if_differs,$(BUILD)/compiled-by,$(COMPILED_BY))
	$(call remember,$(COMPILED_BY))

$(BUILD)/linked-by: $(call if_differs,$(BUILD)/linked-by,$(LINKED_BY))
	$(call remember,$(LINKED_BY))

$(BUILD)/libmemo/%.o: PIC = -fPIC
$(MPI_OBJECTS): PIC = -fPIC
# Examples read as they would outside the tree: #include <memo.h>.
$(BUILD)/examples/%.o: INCLUDE_MEMO = -Ilibmemo
$(call objects,$(MPI_SOURCES) servers/memo-server.c $(MPI_EXAMPLE_SOURCES) $(MPI_PROGRAM_SOURCES)): \
    USE_MPI = $(MPI_INCLUDE)

$(BUILD)/%.o: %.c $(BUILD)/compiled-by Makefile
	@mkdir -p $(@D)
	$(if $(V),,@echo '  CC      $<')
	$(Q)$(COMPILE) $(PIC) $(INCLUDE_MEMO) $(USE_MPI) -MMD -MP -c -o $@ $<

-include $(patsubst %.c,$(BUILD)/%.d,$(wildcard libmemo/*/*.c servers/*.c stubs/*.c bench/*.c examples/*.c t/*.c \
    t/lib/*.c t/mpi/*.c t/fuzz/*.c))

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

# It exports what the map says, and needs nothing of libmemo.so: that hands over what it needs (wire/host.h).
$(BUILD)/libmemo-mpi.so.$(VERSION): $(MPI_OBJECTS) $(MPI_MAP) $(BUILD)/linked-by
	$(if $(V),,@echo '  LINK    $@')
	$(Q)$(LINK) -shared -Wl,-soname,$(MPI_SONAME) -Wl,--version-script,$(MPI_MAP) $(NO_UNDEFINED) -o $@ \
	    $(MPI_OBJECTS) $(MPI_LIBS) $(LIBS)

$(BUILD)/libmemo-mpi.so: $(BUILD)/libmemo-mpi.so.$(VERSION)
	$(Q)ln -sf libmemo-mpi.so.$(VERSION) $(BUILD)/$(MPI_SONAME) && ln -sf $(MPI_SONAME) $@

define link
$(if $(V),,@echo '  LINK    $@')
$(Q)$(LINK) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LINK_MPI) -Wl,--as-needed -lz -lm $(LIBS)
endef

# Programs that use memo_mpi.h find its library from where they are, in the tree and installed. The library calls
# their memo_open.
ORIGIN = $$ORIGIN
LINK_WITH_MPI = -Wl,-u,memo_open $(BUILD)/libmemo-mpi.so $(MPI_LIBS) \
    -Wl,-rpath,'$(ORIGIN):$(ORIGIN)/..:$(ORIGIN)/../..:$(ORIGIN)/../lib'

ARCHIVE = $(BUILD)/libmemo.a $(BUILD)/linked-by

$(BUILD)/memo: $(MEMO_OBJECTS) $(ARCHIVE)
	$(link)

$(BUILD)/memo-bench: $(BENCH_OBJECTS) $(ARCHIVE)
	$(link)

$(BUILD)/memo-server: $(BUILD)/servers/memo-server.o $(ARCHIVE) $(MPI_LIBRARY)
	$(link)

$(BUILD)/memo-server $(MPI_EXAMPLES) $(MPI_USERS): LINK_MPI = $(LINK_WITH_MPI)

$(EXAMPLES): %: %.o $(ARCHIVE)
	$(link)

$(MPI_EXAMPLES): %: %.o $(ARCHIVE) $(MPI_LIBRARY)
	$(link)

# What tests share: each takes from it what it uses.
$(BUILD)/t/lib.a: $(TEST_OBJECTS) $(BUILD)/linked-by
	$(Q)rm -f $@ && $(AR) rcs $@ $(TEST_OBJECTS)

# The engines and the client halves, for tests; the MPI half whole, for those that run under mpiexec.
$(BUILD)/libengines.a: $(ENGINE_OBJECTS) $(BUILD)/linked-by
	$(Q)rm -f $@ && $(AR) rcs $@ $(ENGINE_OBJECTS)

$(BUILD)/t/libmpi.a: $(MPI_OBJECTS) $(BUILD)/linked-by
	$(Q)rm -f $@ && $(AR) rcs $@ $(call objects,$(filter-out libmemo/wire/host.c,$(MPI_OWN)))

$(TESTS): %.t: %.o $(BUILD)/t/lib.a $(BUILD)/libengines.a $(ARCHIVE)
	$(link)

# The memo command as a function: what leaves or reaches out goes to stand-ins.
COMMAND_WRAPS = exit close free allocate memo_open memo_unlink janitor_start
$(BUILD)/t/fuzz/command $(BUILD)/t/fuzz/command.t: LINK_MPI = $(COMMAND_WRAPS:%=-Wl,--wrap=%)
$(BUILD)/t/fuzz/command $(BUILD)/t/fuzz/command.t: $(filter-out %/memo.o,$(MEMO_OBJECTS))

$(FUZZ_TESTS): %.t: %.o $(BUILD)/t/fuzz/replay.o $(BUILD)/t/lib.a $(BUILD)/libengines.a $(ARCHIVE)
	$(link)

$(FUZZERS): LINK += -fsanitize=fuzzer
$(FUZZERS): %: %.o $(BUILD)/t/lib.a $(BUILD)/libengines.a $(ARCHIVE)
	$(link)

# Calls that t/faults.c has fail.
FAULT_WRAPS = malloc calloc realloc aligned_alloc heap_alloc mmap madvise ftruncate fallocate fchmod linkat pread \
    memfd_create eventfd open fcntl syscall pthread_create
$(BUILD)/t/faults.t: LINK_MPI = $(FAULT_WRAPS:%=-Wl,--wrap=%)

$(MPI_USERS): %: %.o $(BUILD)/t/lib.a $(ARCHIVE) $(MPI_LIBRARY)
	$(link)

$(MPI_INSIDERS): LINK_MPI = $(MPI_LIBS)
$(MPI_INSIDERS): %: %.o $(BUILD)/t/lib.a $(BUILD)/t/libmpi.a $(ARCHIVE)
	$(link)

# ---- running -----------------------------------------------------------------------------------------------

# Tests find what they run in BUILD; MPI is no when there are no spaces over MPI. No test runs longer than TEST_SECONDS; its children end with it.
PROVE = BUILD=$(BUILD) MPI=$(if $(MPICC),yes,no) prove --timer --exec 'timeout -k 5 $(TEST_SECONDS)'
BUILD_ALL = +@$(MAKE) --no-print-directory all

# A make of its own, which sees what was installed.
check: deps
	+@$(MAKE) --no-print-directory run-check

run-check: all
	@$(PROVE) $(TESTS) $(FUZZ_TESTS) $(SHELL_TESTS)

check-asan: deps
	+@$(MAKE) --no-print-directory SANITIZE=asan run-tests

check-tsan: deps
	+@$(MAKE) --no-print-directory SANITIZE=tsan run-tests

# TSan cannot bear every address space layout; see `setarch -R`. What a test does in a signal handler is to report that it
# hangs: unsafe, and about to end.
run-tests: all
	@export ASAN_OPTIONS="$${ASAN_OPTIONS:-detect_stack_use_after_return=0}" \
	    UBSAN_OPTIONS="$${UBSAN_OPTIONS:-print_stacktrace=1}" \
	    TSAN_OPTIONS="$${TSAN_OPTIONS:-die_after_fork=0 report_signal_unsafe=0}"; \
	$(if $(filter tsan,$(SANITIZE)),export MEMO_TSAN=1; ! setarch -R true 2>/dev/null || fixed='setarch -R';) \
	BUILD=$(BUILD) $$fixed prove --timer --exec 'timeout -k 5 $(TEST_SECONDS)' $(TESTS) $(FUZZ_TESTS)

check-models: deps
	@$(PROVE) t/models.sh

check-mpi: deps
	$(BUILD_ALL)
	@MEMO_TEST_ALL=1 BUILD=$(BUILD) prove --timer --exec 'timeout -k 5 10000' t/mpi_conform.sh t/mpi_edge.sh t/mpi_storm.sh

soak: deps
	$(BUILD_ALL)
	$(BUILD)/t/storm.t --soak

soak-mpi: deps
	$(BUILD_ALL)
	@BUILD=$(BUILD) t/mpi_storm.sh --soak $(MINUTES)

fuzz:
	@command -v clang >/dev/null || { echo 'make fuzz needs clang with libFuzzer; Debian: apt-get install clang' >&2; exit 1; }
	+@$(MAKE) --no-print-directory SANITIZE=fuzz CC=clang MPI=no run-fuzz

fuzz-afl:
	@command -v afl-clang-fast >/dev/null && command -v afl-fuzz >/dev/null || \
	    { echo 'make fuzz-afl needs AFL++; Debian: apt-get install afl++' >&2; exit 1; }
	+@AFL_QUIET=1 $(MAKE) --no-print-directory SANITIZE=afl CC=afl-clang-fast MPI=no run-fuzz

run-fuzz: $(FUZZERS)
	@BUILD=$(BUILD) t/fuzz/run $(SANITIZE) $(SECONDS) $(FUZZ_TARGETS)

kill-all: $(BUILD)/t/kill_points.t
	@$(BUILD)/t/kill_points.t --all $(if $(findstring command,$(origin SECONDS)),--seconds $(SECONDS)) $(addprefix --from ,$(FROM))

soak-kill: $(BUILD)/t/kill.t
	@$(BUILD)/t/kill.t --minutes $(MINUTES)

bench: all
	$(BUILD)/memo-bench

bench-backends: lib $(BENCH)
	@BUILD=$(BUILD) bench/bench-backends.sh

bench-mpi: lib $(filter $(BUILD)/bench/%,$(MPI_USERS))
	@BUILD=$(BUILD) bench/bench-mpi.sh

demo: build-deps
	$(BUILD_ALL)
	@BUILD=$(BUILD) examples/demo.sh

build-deps:
	@CC='$(CC)' MPI='$(MPI)' .ci/deps

deps:
	@CC='$(CC)' MPI='$(MPI)' .ci/deps test

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
	install -m 755 $(COMMANDS) '$(BIN)'
ifneq ($(MPICC),)
	install -m 644 libmemo/memo_mpi.h '$(INCLUDE)/memo_mpi.h'
	install -m 755 $(BUILD)/libmemo-mpi.so.$(VERSION) '$(LIB)/libmemo-mpi.so.$(VERSION)'
	ln -sf libmemo-mpi.so.$(VERSION) '$(LIB)/$(MPI_SONAME)'
	ln -sf $(MPI_SONAME) '$(LIB)/libmemo-mpi.so'
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@MPI_CFLAGS@|$(filter -I%,$(MPI_SHOWN))|' \
	    -e 's|@MPI_LIBS@|$(filter -L% -l%,$(MPI_SHOWN))|' libmemo/memo-mpi.pc.in > '$(LIB)/pkgconfig/memo-mpi.pc'
endif
	$(foreach page,$(MAN_PAGES),install -D -m 644 $(page) \
	    '$(MAN)/man$(subst .,,$(suffix $(page)))/$(notdir $(page))' &&) true
	@for pair in $(MAN_CALLS); do echo ".so man3/$${pair%/*}.3" > '$(MAN)/man3'/"$${pair#*/}.3" || exit 1; done
	$(LDCONFIG)

uninstall:
	rm -f '$(INCLUDE)/memo.h' '$(LIB)/libmemo.a' '$(LIB)/libmemo.so.$(VERSION)' '$(LIB)/$(SONAME)' \
	    '$(LIB)/libmemo.so' '$(LIB)/pkgconfig/memo.pc' '$(BIN)/memo' \
	    '$(INCLUDE)/memo_mpi.h' '$(LIB)/libmemo-mpi.so.$(VERSION)' '$(LIB)/$(MPI_SONAME)' '$(LIB)/libmemo-mpi.so' \
	    '$(LIB)/pkgconfig/memo-mpi.pc' '$(BIN)/memo-server' \
	    $(foreach page,$(MAN_PAGES),'$(MAN)/man$(subst .,,$(suffix $(page)))/$(notdir $(page))') \
	    $(foreach pair,$(MAN_CALLS),'$(MAN)/man3/$(notdir $(pair)).3')
	$(LDCONFIG)

# ---- keeping -----------------------------------------------------------------------------------------------

clean:
	rm -rf build $(BUILD)

format:
	clang-format -i $$(git ls-files '*.c' '*.h')
