/* Telling rows of finite values from the others. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "fast_lsh_ann.h"

enum { ROWS = 5000, DIM = 7 };

static fla_context *context;
static float narrow[ROWS][DIM];
static double wide[ROWS][DIM];
static uint8_t want[ROWS];

/* Every third row, the first and the last too, gets a bad value in any of its columns. */
static void fill(void)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t j = 0; j < DIM; j++)
            wide[i][j] = j % 2 ? -3e38 : 1e-45; /* the ends of float32's range */
        want[i] = i % 3 != 0 && i != ROWS - 1;
        if (!want[i])
            wide[i][i / 3 % DIM] = bad[i / 3 / DIM % 3];
        for (size_t j = 0; j < DIM; j++)
            narrow[i][j] = (float)wide[i][j];
    }
}

static void check_rows(const fla_matrix *rows, const uint8_t *wanted, const char *what)
{
    static uint8_t got[ROWS];
    fla_error err;
    memset(got, 2, sizeof got);
    CHECK(fla_rows_find_finite(context, NULL, rows, got, rows->rows, &err) == FLA_OK,
          "%s: %s", what, err.message);
    CHECK(memcmp(got, wanted, rows->rows) == 0, "%s: wrong rows", what);
}

static void each_row_is_told(void)
{
    const fla_matrix floats = {narrow, ROWS, DIM, sizeof narrow[0], 0, FLA_F32};
    const fla_matrix doubles = {wide, ROWS, DIM, sizeof wide[0], 9, FLA_F64};
    check_rows(&floats, want, "float32");
    check_rows(&doubles, want, "float64");
}

static void rows_may_be_apart_backwards_and_unaligned(void)
{
    static uint8_t reversed[ROWS];
    static char shifted[1 + sizeof wide];
    for (size_t i = 0; i < ROWS; i++)
        reversed[i] = want[ROWS - 1 - i];
    memcpy(shifted + 1, wide, sizeof wide);
    const ptrdiff_t stride = sizeof wide[0];
    const fla_matrix backwards = {wide[ROWS - 1], ROWS, DIM, -stride, 0, FLA_F64};
    const fla_matrix unaligned = {shifted + 1, ROWS, DIM, stride, 0, FLA_F64};
    check_rows(&backwards, reversed, "backwards");
    check_rows(&unaligned, want, "unaligned");
}

static bool stop(void *arg)
{
    (void)arg;
    return true;
}

static void wrong_arguments_are_named(void)
{
    uint8_t got[ROWS];
    fla_error err;
    fla_matrix rows = {wide, ROWS, DIM, sizeof wide[0], 0, FLA_F64};
    CHECK(fla_rows_find_finite(context, NULL, &rows, got, ROWS - 1, &err) ==
                  FLA_ERR_SHAPE &&
              strcmp(err.argument, "finite") == 0,
          "too short an output");
    rows.dim = 0;
    CHECK(fla_rows_find_finite(context, NULL, &rows, got, ROWS, &err) == FLA_ERR_SHAPE,
          "no columns");
    rows.rows = 0;
    CHECK(fla_rows_find_finite(context, NULL, &rows, NULL, 0, &err) == FLA_OK, "no rows");
}

static void a_long_search_can_be_stopped(void)
{
    enum { LONG = 1 << 20 }; /* rows of so many values, one on top of the other */
    uint8_t got[ROWS];
    fla_call call;
    fla_error err;
    double *row = calloc(LONG, sizeof *row);
    const fla_matrix rows = {row, ROWS, LONG, 0, 0, FLA_F64};
    fla_call_init(&call);
    call.cancelled = stop;
    CHECK(
        fla_rows_find_finite(context, &call, &rows, got, ROWS, &err) == FLA_ERR_CANCELLED,
        "it went on");
    free(row);
}

int main(void)
{
    if (fla_context_create(NULL, &context, NULL) != FLA_OK)
        return EXIT_FAILURE;
    fill();
    RUN(each_row_is_told);
    RUN(rows_may_be_apart_backwards_and_unaligned);
    RUN(wrong_arguments_are_named);
    RUN(a_long_search_can_be_stopped);
    fla_context_free(context);
    return check_report();
}
