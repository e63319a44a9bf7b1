/*
 * bench_report.h - what the benchmark prints: a table to read, or lines of comma-separated values.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench/bench_run.h"

/* The machine, the load on it, and how to read what follows. */
void bench_report_head(bool csv, const struct bench_plan *plan);

/* One workload on all its spaces, side by side. */
void bench_report(bool csv, const bench_workload_t *w, struct bench_subject s[], unsigned count);

#endif
