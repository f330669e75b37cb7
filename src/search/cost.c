/* About what a pair costs, in nanoseconds of one thread. */
#include "search/cost.h"

/* Besides the steps of a pair; of a check, and for each coordinate of it. */
static const double PAIR = 0.02, CHECK = 2, CHECK_COORDINATE = 0.012;
/* A coordinate of the float32 filter, and of a row that is packed for it. */
static const double FLOAT = 0.0104, PACK = 0.15;
/* An estimate, a coordinate of it, and of a row that is read for it. */
static const double ESTIMATE = 4, ESTIMATE_COORDINATE = 0.06, READ = 0.12;
/* A row that is anywhere, and a coordinate of it. */
static const double FETCH = 6, FETCH_COORDINATE = 0.025;

double fla_cost_codes(const fla_code_kernels *codes, size_t steps)
{
    return (double)codes->step_time * (double)steps + PAIR;
}

double fla_cost_check(const fla_code_kernels *codes, size_t dim)
{
    return (double)codes->step_time * (double)(dim / FLA_STEP) + CHECK +
           CHECK_COORDINATE * (double)dim;
}

double fla_cost_floats(size_t dim, size_t queries)
{
    return (double)dim * (FLOAT + PACK / (double)queries);
}

double fla_cost_lost(size_t dim, size_t queries)
{
    return ESTIMATE + (double)dim * (ESTIMATE_COORDINATE + READ / (double)queries);
}

double fla_cost_candidate(size_t dim)
{
    return FETCH + FETCH_COORDINATE * (double)dim;
}
