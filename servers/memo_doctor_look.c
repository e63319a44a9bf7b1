/*
 * memo_doctor_look.c - memo doctor: a copy of what is looked at; see memo_doctor.h.
 */
#include "servers/memo_doctor.h"

#include "libmemo/api/uri.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u
#define STEPS_MOST UINT64_C(100000000)

/* By reading, not by mapping: that would have the system find memory for pages that nobody has used yet. */
static bool copy_page(patient_t *p, uint64_t page)
{
    uint64_t done = 0;
    while (done < PAGE) {
        ssize_t n = pread(p->region.fd, p->copy + page * PAGE + done, PAGE - done, (off_t)(page * PAGE + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        done += (uint64_t)n;
    }
    p->copied[page] = 1;
    return true;
}

const void *look(patient_t *p, offset_t at, uint64_t bytes)
{
    if (at % 8 != 0 || at > p->region.size || bytes == 0 || bytes > p->region.size - at) {
        return NULL;
    }
    for (uint64_t page = at / PAGE; page <= (at + bytes - 1) / PAGE; page++) {
        if (!p->copied[page] && !copy_page(p, page)) {
            return NULL;
        }
    }
    return p->copy + at;
}

void look_anew(patient_t *p)
{
    memset(p->copied, 0, p->region.size / PAGE + 1);
    p->refer_count = 0;
    p->steps = 0;
}

static int uri_of(const char *text, memo_uri_t *uri)
{
    const char *rest;
    int result = uri_scheme(text, uri, &rest);
    if (result != MEMO_OK) {
        return result;
    }
    if (strcmp(uri->scheme, "shm-bucket") != 0 && strcmp(uri->scheme, "shm-lock") != 0) {
        return memo_error(MEMO_ENOTSUP, "%s: only spaces in shared memory outlive their programs", uri->scheme);
    }
    result = uri_rest(rest, uri);
    if (result == MEMO_OK && uri->anonymous) {
        return memo_error(MEMO_ENOTSUP, "an anonymous space is that of its processes alone");
    }
    return result;
}

int patient_open(patient_t *p, const char *uri_text)
{
    memo_uri_t uri;
    *p = (patient_t){.region = {.fd = -1}};
    int result = uri_of(uri_text, &uri);
    if (result == MEMO_OK) {
        result = shm_look(&uri, &p->region);
    }
    if (result != MEMO_OK) {
        return result;
    }
    size_t pages = (size_t)(p->region.size / PAGE + 1);
    p->copied = calloc(pages, 1);
    p->run = calloc(pages, sizeof *p->run);
    p->copy = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p->copied == NULL || p->run == NULL || p->copy == MAP_FAILED) {
        return memo_error(MEMO_ENOMEM, "no memory to examine a space of %llu bytes",
                          (unsigned long long)p->region.size);
    }
    return MEMO_OK;
}

void patient_close(patient_t *p)
{
    if (p->copy != NULL && p->copy != MAP_FAILED) {
        munmap(p->copy, (size_t)(p->region.size / PAGE + 1) * PAGE);
    }
    free(p->copied);
    free(p->run);
    free(p->refers);
    region_close(&p->region);
}

void note(patient_t *p, const char *format, ...)
{
    findings_t *f = p->found;
    char text[FINDING_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (size_t i = 0; i < f->count; i++) {
        if (strcmp(f->text[i], text) == 0) {
            return;
        }
    }
    if (f->count == FINDINGS_MOST) {
        f->more++;
        return;
    }
    memcpy(f->text[f->count++], text, sizeof text);
}

bool step(patient_t *p, const char *what, offset_t at)
{
    if (++p->steps < STEPS_MOST) {
        return true;
    }
    note(p, "%s: a list has no end (at %llu)", what, (unsigned long long)at);
    return false;
}
