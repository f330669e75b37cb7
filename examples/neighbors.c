/*
 * The C library in one page: hash rows, find neighbors, join by distance.
 *
 *   cc neighbors.c -lfast_lsh_ann -lm
 */
#include <fast_lsh_ann.h>

#include <inttypes.h>
#include <stdio.h>

enum { ROWS = 6, DIM = 2, TABLES = 3, K = 2 };

static int print_pairs(void *count, const fla_pair *pairs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        printf("rows %" PRId64 " and %" PRId64 " are %.3f apart\n", pairs[i].left,
               pairs[i].right, pairs[i].distance);
    *(size_t *)count += n;
    return 0;
}

int main(void)
{
    static const float values[ROWS][DIM] = {{0, 0}, {1, 0},   {0, 1},
                                            {5, 5}, {5, 5.5}, {9, 0}};
    const fla_matrix rows = {values, ROWS, DIM, sizeof values[0], 0, FLA_F32};
    fla_context *context = NULL;
    fla_model *model = NULL;
    fla_index *index = NULL;
    fla_model_options options;
    fla_search_options upper;
    fla_error err;
    int64_t buckets[ROWS * TABLES], indices[ROWS * K];
    double distances[ROWS * K];
    size_t pairs = 0;
    int failed = 1;

    fla_model_options_init(&options);
    options.bucket_length = 4.0;
    options.num_hash_tables = TABLES;
    fla_search_options_init(&upper);
    upper.upper = true;
    if (fla_context_create(NULL, &context, &err) != FLA_OK ||
        fla_model_create(&options, DIM, &model, &err) != FLA_OK ||
        fla_model_hash(model, context, NULL, &rows, buckets, ROWS * TABLES, &err) !=
            FLA_OK ||
        fla_index_create(context, NULL, model, &rows, &index, &err) != FLA_OK ||
        fla_nearest_neighbors(index, context, NULL, &rows, K, NULL, indices, distances,
                              ROWS * K, NULL, &err) != FLA_OK ||
        fla_similarity_join(index, context, NULL, NULL, 1.0, &upper, print_pairs, &pairs,
                            &err) != FLA_OK) {
        fprintf(stderr, "%s: %s\n", fla_status_name(err.status), err.message);
        goto done;
    }
    for (size_t i = 0; i < ROWS; i++)
        printf("row %zu: bucket %" PRId64 " in table 0, nearest other row %" PRId64 "\n",
               i, buckets[i * TABLES], indices[i * K + 1]);
    failed = pairs == 0;
done:
    fla_index_free(index);
    fla_model_free(model);
    fla_context_free(context);
    return failed;
}
