/*
 * load.c - finding and loading libmemo-mpi.so, so that a program which never asks for MPI has none in it.
 *
 * It is, in this order: the one the program is linked with; the one that MEMO_MPI_LIBRARY names; one beside the
 * object that holds this code (libmemo.so, or the program, when it has the archive in it), in the folder above, or
 * in lib beside that; the loader's own choice. A program with privileges that its user lacks takes the first and
 * last only. It is never unloaded: the handles' calls are in it.
 */
#include "libmemo/api/load.h"

#include "libmemo/api/check.h"
#include "libmemo/wire/host.h"

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define LIBRARY "libmemo-mpi.so.0"
#define FLAGS (RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

static int any_space(const memo_space_t *space)
{
    return check_space(space);
}

static const backend_host_t host = {
    .interface = HOST_INTERFACE,
    .sizes = HOST_SIZES,
    .release = TEXT(MEMO_VERSION_MAJOR) "." TEXT(MEMO_VERSION_MINOR) "." TEXT(MEMO_VERSION_PATCH),
    .verror = memo_verror,
    .handles_new = handles_new,
    .handles_register = handles_register,
    .handles_retire = handles_retire,
    .check_space = any_space,
};

/* Why a library that is there could not be loaded: the first reason met. */
typedef struct reason {
    char text[300];
} reason_t;

static void *load_file(const char *path, reason_t *why)
{
    void *library = dlopen(path, FLAGS);
    const char *words = library ? NULL : dlerror();

    if (words && why->text[0] == '\0') {
        snprintf(why->text, sizeof why->text, "%s", words);
    }
    return library;
}

/* The folder of the object that this code is in, without a slash at its end; false if it cannot be known. */
static bool own_folder(char folder[PATH_MAX])
{
    Dl_info info;
    struct link_map *object = NULL;
    char *slash;

    if (!dladdr1(&host, &info, (void **)&object, RTLD_DL_LINKMAP) || !object) {
        return false;
    }
    /* The program itself has no name. */
    if (!realpath(object->l_name[0] ? object->l_name : "/proc/self/exe", folder)) {
        return false;
    }
    slash = strrchr(folder, '/');
    *slash = '\0';
    return true;
}

static void *load_beside(reason_t *why)
{
    static const char *const places[] = {"", "/..", "/../lib"};
    char folder[PATH_MAX];
    char path[PATH_MAX + sizeof LIBRARY + 16];
    void *library = NULL;

    if (!own_folder(folder)) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof places / sizeof places[0] && !library; i++) {
        snprintf(path, sizeof path, "%s%s/%s", folder, places[i], LIBRARY);
        library = access(path, F_OK) == 0 ? load_file(path, why) : NULL;
    }
    return library;
}

static void *load_library(reason_t *why)
{
    void *library = dlopen(LIBRARY, FLAGS | RTLD_NOLOAD);
    const char *set = secure_getenv("MEMO_MPI_LIBRARY");

    if (library) {
        return library;
    }
    if (set && *set) {
        return load_file(set, why);
    }
    if (!getauxval(AT_SECURE)) {
        library = load_beside(why);
    }
    return library ? library : load_file(LIBRARY, why);
}

/* Threads that come here at once load the same: the loader counts. */
static int load_entry(const char *scheme, host_entry_t **entry)
{
    static _Atomic(host_entry_t *) loaded;
    reason_t why = {""};

    *entry = atomic_load_explicit(&loaded, memory_order_acquire);
    if (*entry) {
        return MEMO_OK;
    }
    void *library = load_library(&why);
    if (!library) {
        return memo_error(
            MEMO_ENOTSUP,
            "%s: spaces over MPI need %s, which was not loaded: %s. Install libmemo with its MPI half "
            "(make install) and MPICH (Debian: mpich), or set MEMO_MPI_LIBRARY to the library's path",
            scheme, LIBRARY, why.text);
    }
    /* POSIX has it that such a pointer is a function's. */
    *(void **)(void *)entry = dlsym(library, HOST_ENTRY);
    if (!*entry) {
        return memo_error(MEMO_EVERSION, "%s: the library found as %s is not libmemo's: it has no %s", scheme,
                          LIBRARY, HOST_ENTRY);
    }
    atomic_store_explicit(&loaded, *entry, memory_order_release);
    return MEMO_OK;
}

int load_mpi(const char *scheme, const memo_backend_t **backend)
{
    host_entry_t *entry;
    int result = load_entry(scheme, &entry);

    return result == MEMO_OK ? entry(&host, scheme, backend) : result;
}
