/* The one home of choices: which kernels, how many threads. */
#include "lsh/context.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "base/error.h"

enum { MAX_THREADS = 1024 };

void fla_context_options_init(fla_context_options *options)
{
    *options = (fla_context_options){.struct_size = sizeof *options};
}

void fla_call_init(fla_call *call)
{
    *call = (fla_call){.struct_size = sizeof *call};
}

size_t fla_simd_tiers(const char **names, size_t capacity)
{
    const uint32_t cpu = fla_cpu_detect();
    size_t n = 0;
    for (size_t i = 0; fla_kernels_at(i) != NULL; i++) {
        if ((fla_kernels_at(i)->needs & ~cpu) != 0)
            continue;
        if (n < capacity)
            names[n] = fla_kernels_at(i)->name;
        n++;
    }
    return n;
}

static fla_status choose_kernels(const char *asked, const fla_kernels **out,
                                 fla_error *err)
{
    const char *names[8] = {NULL};
    char list[96] = "";
    if (asked == NULL)
        asked = getenv("FAST_LSH_ANN_SIMD");
    if (asked != NULL && asked[0] == '\0')
        asked = NULL;
    *out = fla_kernels_pick(fla_cpu_detect(), asked);
    if (*out != NULL)
        return FLA_OK;
    const size_t n = fla_simd_tiers(names, sizeof names / sizeof names[0]);
    for (size_t i = 0; i < n; i++) {
        const size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    return fla_fail(err, FLA_ERR_SIMD,
                    "FAST_LSH_ANN_SIMD asks for kernels \"%.40s\", which this processor "
                    "cannot run; it has: %s",
                    asked, list);
}

/* A whole number from 1 to MAX_THREADS, or 0. */
static unsigned parse_threads(const char *text)
{
    char *end;
    const long n = strtol(text, &end, 10);
    return end != text && *end == '\0' && n >= 1 && n <= MAX_THREADS ? (unsigned)n : 0;
}

static fla_status choose_threads(unsigned asked, unsigned *out, fla_error *err)
{
    const char *text = getenv("FAST_LSH_ANN_NUM_THREADS");
    if (asked > MAX_THREADS)
        return fla_fail(err, FLA_ERR_ARGUMENT, "threads must be at most %d, got %u",
                        MAX_THREADS, asked);
    if (asked > 0) {
        *out = asked;
    } else if (text != NULL && text[0] != '\0') {
        *out = parse_threads(text);
        if (*out == 0)
            return fla_fail(err, FLA_ERR_ARGUMENT,
                            "FAST_LSH_ANN_NUM_THREADS must be a whole number from 1 to "
                            "%d, got \"%.40s\"",
                            MAX_THREADS, text);
    } else {
        *out = fla_cpu_count();
        if (*out > MAX_THREADS)
            *out = MAX_THREADS;
    }
    return FLA_OK;
}

fla_status fla_context_create(const fla_context_options *options, fla_context **out,
                              fla_error *err)
{
    const fla_kernels *kernels;
    unsigned threads;
    *out = NULL;
    fla_status status = FLA_OK;
    if (options != NULL)
        status = fla_check_struct(options->struct_size, sizeof *options,
                                  "fla_context_options", err);
    if (status == FLA_OK)
        status = choose_kernels(options != NULL ? options->simd : NULL, &kernels, err);
    if (status != FLA_OK)
        return status;
    status = choose_threads(options != NULL ? options->threads : 0, &threads, err);
    if (status != FLA_OK)
        return status;
    fla_context *context = fla_alloc(1, sizeof *context);
    fla_pool *pool = fla_pool_create(threads);
    if (context == NULL || pool == NULL) {
        fla_pool_free(pool);
        fla_free(context);
        return fla_fail_memory(err, "a context");
    }
    context->kernels = kernels;
    context->pool = pool;
    *out = context;
    return FLA_OK;
}

void fla_context_free(fla_context *context)
{
    if (context == NULL)
        return;
    fla_pool_free(context->pool);
    fla_free(context);
}

unsigned fla_context_threads(const fla_context *context)
{
    return fla_pool_threads(context->pool);
}

const char *fla_context_simd(const fla_context *context)
{
    return context->kernels->name;
}
