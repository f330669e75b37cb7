/* Which plan costs least. */
#include "search/plan.h"

#include "base/alloc.h"
#include "lsh/hash.h"
#include "lsh/model.h"
#include "search/cost.h"

/* A sample has at most 2048 rows, and fewer, down to 8, where their hashes would take
   more multiply-adds than some tens of milliseconds: it is not polled. */
enum { SAMPLE_ROWS = 2048, LEAST_ROWS = 8, SAMPLE_STEPS = 1 << 28, SAMPLE_QUERIES = 64 };

/* Runs take 8 bytes a row and hash table: models that select more do without, also where
   a dense scan is slow. */
static const double MOST_SHARE = 0.05;

/* Whether two rows collide, their buckets given. */
static bool collide(const fla_model *model, const int64_t *a, const int64_t *b)
{
    for (size_t t = 0; t < model->tables; t++)
        if (fla_collides(model, t, a, 1, b))
            return true;
    return false;
}

static double count_share(const fla_model *model, const int64_t *buckets, size_t n)
{
    const size_t functions = model->functions;
    const size_t queries = fla_size_min(n, SAMPLE_QUERIES), apart = n / queries;
    size_t colliding = 0;
    for (size_t q = 0; q < queries; q++)
        for (size_t i = 0; i < n; i++)
            colliding += i != q * apart && collide(model, buckets + i * functions,
                                                   buckets + q * apart * functions);
    return n > 1 ? (double)colliding / ((double)queries * (double)(n - 1)) : 1;
}

static size_t sample_rows(const fla_model *model, size_t rows)
{
    const size_t steps = model->dim * model->tables, most = SAMPLE_STEPS / steps;
    const size_t wanted = most < LEAST_ROWS ? LEAST_ROWS : most;
    return fla_size_min(rows, fla_size_min(wanted, SAMPLE_ROWS));
}

fla_status fla_plan_share(const fla_kernels *kernels, const fla_model *model,
                          const fla_matrix *rows, double *share)
{
    const size_t n = sample_rows(model, rows->rows);
    const size_t apart = rows->rows / n;
    /* The sample as a matrix of its own: every so many rows. */
    const fla_matrix sample = {rows->data, n,
                               rows->dim,  rows->row_stride_bytes * (ptrdiff_t)apart,
                               0,          rows->dtype};
    fla_hasher hasher = {0};
    size_t values;
    int64_t *buckets = NULL;
    fla_status status = FLA_ERR_MEMORY;
    if (fla_size_mul(n, model->functions, &values))
        buckets = fla_alloc(values, sizeof *buckets);
    if (buckets != NULL && fla_hasher_init(&hasher, kernels, model))
        status = fla_hash_rows(&hasher, &sample, 0, n, buckets);
    if (status == FLA_OK)
        *share = count_share(model, buckets, n);
    fla_hasher_clear(&hasher);
    fla_free(buckets);
    return status;
}

bool fla_plan_goes_by_buckets(const fla_base *base, const fla_model *model, fla_plan plan)
{
    if (plan == FLA_PLAN_AUTO)
        return model != NULL && base->runs.tables != NULL;
    return plan != FLA_PLAN_DENSE;
}

size_t fla_plan_steps(const fla_base *base)
{
    return fla_base_has_prefix(base) ? base->brief.steps : base->full.steps;
}

double fla_plan_dense_time(const fla_base *base)
{
    if (!base->coded)
        return fla_cost_floats(base->rows.dim, SIZE_MAX);
    return fla_cost_codes(base->quantizer.kernels->codes, fla_plan_steps(base));
}

bool fla_plan_is_selective(double share, size_t dim, double dense_time)
{
    return share <= MOST_SHARE && share * fla_cost_candidate(dim) < dense_time;
}

fla_status fla_plan_runs(fla_base *base, fla_context *context, fla_run *run)
{
    double share;
    if (base->model == NULL || !fla_runs_can_hold(base->rows.rows))
        return FLA_OK;
    const fla_status status =
        fla_plan_share(context->kernels, base->model, &base->rows, &share);
    if (status != FLA_OK ||
        !fla_plan_is_selective(share, base->rows.dim, fla_plan_dense_time(base)))
        return status;
    return fla_runs_build(&base->runs, context, run, base->model, &base->rows);
}
