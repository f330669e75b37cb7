/* A known floating point environment for a call, and the caller's back after it. */
#ifndef FLA_BASE_FENV_H
#define FLA_BASE_FENV_H

#include <fenv.h>

/*
 * Bits are the contract, so a caller's rounding mode or flush-to-zero must not reach the
 * arithmetic.  Every public function that computes with floating point numbers does its
 * work between these two; pool threads enter once and stay.
 */
static inline void fla_fenv_enter(fenv_t *callers)
{
    fegetenv(callers);
    fesetenv(FE_DFL_ENV);
}

static inline void fla_fenv_leave(const fenv_t *callers)
{
    fesetenv(callers);
}

#endif
