/*
 * Checks of a C test program: they say what failed, count, and give the exit status.
 * One thread at a time may check.
 */
#ifndef FLA_TESTS_CHECK_H
#define FLA_TESTS_CHECK_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static long check_count, check_failures;

#if defined(__GNUC__)
__attribute__((format(printf, 4, 5)))
#endif
static inline bool check_that(bool holds, const char *file, int line, const char *format,
                              ...)
{
    check_count++;
    if (!holds) {
        va_list values;
        check_failures++;
        fprintf(stderr, "%s:%d: ", file, line);
        va_start(values, format);
        vfprintf(stderr, format, values);
        va_end(values);
        fputc('\n', stderr);
    }
    return holds;
}

/* Check cond; on failure print the place and a printf message.  Gives cond. */
#define CHECK(cond, ...) check_that((cond), __FILE__, __LINE__, __VA_ARGS__)

/* Run a test, void test(void), under its name; it fails if it checks nothing. */
#define RUN(test) check_run(#test, test)

static inline void check_run(const char *name, void (*test)(void))
{
    const long count = check_count, failures = check_failures;
    test();
    if (check_count == count) {
        check_failures++;
        fprintf(stderr, "%s checked nothing\n", name);
    }
    printf("%-6s %s (%ld checks)\n", check_failures == failures ? "ok" : "FAILED", name,
           check_count - count);
    fflush(stdout);
}

/* Emulators are slow: FLA_TEST_STEP asks the longest loops to take every so-manyth step
   only. */
static inline long check_step(void)
{
    const char *step = getenv("FLA_TEST_STEP");
    return step != NULL && atol(step) > 1 ? atol(step) : 1;
}

/* Print the totals; the exit status of main. */
static inline int check_report(void)
{
    printf("%ld checks, %ld failures\n", check_count, check_failures);
    if (check_count == 0)
        fprintf(stderr, "no check ran\n");
    return check_count > 0 && check_failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
