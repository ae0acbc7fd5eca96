#pragma once
// The kernel's refusals, made on purpose: system call filters (seccomp(2)) for the calling thread, for good.

/// From now on the system call `number` fails with `error` (a positive errno) on this thread. Returns 0 or a negative errno.
int faults_refuse(int number, int error);
/// As `faults_refuse`, but only calls whose argument number `argument` (from 0) has `value` in its low 32 bits.
int faults_refuse_argument(int number, int argument, unsigned value, int error);
