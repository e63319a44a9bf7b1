/*
 * faults.h - has calls of the C library, of the system and of a space's heap fail, one after the other: the linker
 * sends the library's calls here (Makefile: FAULT_WRAPS), and to the real ones those that are not to fail.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdbool.h>

/* From now on call number `at` fails, from 1 on; and all after it, when `for_good`. */
void faults_arm(int at, bool for_good);

/* From now on all calls of that name fail. */
void faults_arm_only(const char *name);

/* No call fails any more. How many were made to. */
int faults_disarm(void);

/* What the first that was made to fail is called; NULL: none was. */
const char *faults_first(void);

#endif
