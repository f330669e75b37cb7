/* Reading and checking fla_search_options, once for every kind of search. */
#include "search/options.h"

#include <inttypes.h>

#include "base/error.h"
#include "lsh/model.h"

void fla_search_options_init(fla_search_options *options)
{
    *options = (fla_search_options){.struct_size = sizeof *options, .min_collisions = 1};
}

fla_status fla_search_options_read(const fla_search_options *callers,
                                   const fla_model **model, fla_search_options *out,
                                   fla_error *err)
{
    fla_search_options_init(out);
    if (callers != NULL) {
        const fla_status status = fla_check_struct(callers->struct_size, sizeof *callers,
                                                   "fla_search_options", err);
        if (status != FLA_OK)
            return status;
        *out = *callers;
    }
    if ((unsigned)out->plan > FLA_PLAN_GATHER)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "plan",
                                 "plan must be one of the %d of fla_plan, got %d",
                                 FLA_PLAN_GATHER + 1, (int)out->plan);
    if (out->min_collisions == 0) {
        *model = NULL;
        return out->plan <= FLA_PLAN_DENSE
                   ? FLA_OK
                   : fla_fail_argument(err, FLA_ERR_ARGUMENT, "plan",
                                       "an exact search has no buckets to go by: plan "
                                       "must be auto or dense");
    }
    if (*model == NULL)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "min_collisions",
                                 "min_collisions is %" PRIu64
                                 ", which needs a model; only exact search does without",
                                 out->min_collisions);
    if (out->min_collisions > (*model)->tables)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "min_collisions",
                                 "min_collisions must be at most the model's %zu hash "
                                 "tables, got %" PRIu64,
                                 (*model)->tables, out->min_collisions);
    return FLA_OK;
}

fla_status fla_join_check(double threshold, bool upper, bool two_sides, fla_error *err)
{
    if (!(threshold >= 0))
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "threshold",
                                 "threshold must be 0 or more, got %g", threshold);
    if (upper && two_sides)
        return fla_fail_argument(
            err, FLA_ERR_ARGUMENT, "upper",
            "upper is for rows joined with themselves, got two sides");
    return FLA_OK;
}
