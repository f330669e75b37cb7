/* Arrow batches and streams that we export, read back as their consumers would. */
#include "base/alloc.h"
#include "check.h"
#include "fast_lsh_ann.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define ROWS 3
#define DIM 2

static const float vectors[ROWS * DIM] = {0, 1, 2, 3, 4, 5};
static const double weights[ROWS] = {0.5, 1.5, 2.5};
static const int64_t ids[ROWS] = {7, 8, 9};

static void count_owner(void *owner)
{
    ++*(int *)owner;
}

/* ---- batches ------------------------------------------------------------------- */

static fla_arrow_column vector_column(void)
{
    return (fla_arrow_column){
        .name = "vector", .type = FLA_ARROW_FLOAT32, .list_size = DIM, .values = vectors};
}

/* A batch of a list<float32>, a float64 and an int64 column. */
static fla_status export_three(int *owner_released, struct ArrowSchema *schema,
                               struct ArrowArray *array, fla_error *err)
{
    const fla_arrow_column columns[] = {
        vector_column(),
        {.name = "weight", .type = FLA_ARROW_FLOAT64, .values = weights},
        {.name = "id", .type = FLA_ARROW_INT64, .values = ids},
    };
    return fla_arrow_export_batch(columns, 3, ROWS, count_owner, owner_released, schema,
                                  array, err);
}

static void check_field(const struct ArrowSchema *field, const char *name,
                        const char *format)
{
    CHECK(strcmp(field->name, name) == 0, "name %s, want %s", field->name, name);
    CHECK(strcmp(field->format, format) == 0, "%s: format %s", name, field->format);
    CHECK(field->flags == ARROW_FLAG_NULLABLE, "%s is not nullable", name);
}

static void a_batch_has_the_names_and_types_it_was_given(void)
{
    struct ArrowSchema schema;
    struct ArrowArray array;
    int released = 0;
    CHECK(export_three(&released, &schema, &array, NULL) == FLA_OK, "refused");
    CHECK(strcmp(schema.format, "+s") == 0 && schema.n_children == 3, "%s of %d",
          schema.format, (int)schema.n_children);
    check_field(schema.children[0], "vector", "+l");
    check_field(schema.children[0]->children[0], "element", "f");
    check_field(schema.children[1], "weight", "g");
    check_field(schema.children[2], "id", "l");
    schema.release(&schema);
    array.release(&array);
    CHECK(released == 1, "the owner was released %d times", released);
    CHECK(fla_test_alloc_live() == 0, "a leak");
}

static void what_is_exported_is_imported_without_a_copy(void)
{
    struct ArrowSchema schema;
    struct ArrowArray array, taken[3];
    fla_arrow_memory *memory = NULL;
    fla_matrix view = {0};
    int released = 0;
    CHECK(export_three(&released, &schema, &array, NULL) == FLA_OK, "refused");
    for (size_t i = 0; i < 3; i++)
        CHECK(fla_arrow_take_column(&schema, &array, i, &taken[i], NULL) == FLA_OK,
              "column %zu", i);
    array.release(&array);
    CHECK(fla_arrow_import_rows(schema.children[0], &taken[0], 0, &memory, &view, NULL) ==
              FLA_OK,
          "the vectors were refused");
    schema.release(&schema);
    CHECK(view.rows == ROWS && view.dim == DIM && view.dtype == FLA_F32, "%zu x %zu",
          view.rows, view.dim);
    CHECK(view.data == vectors, "the vectors were copied");
    CHECK(taken[1].buffers[1] == weights && taken[2].buffers[1] == ids, "wrong values");
    CHECK(taken[2].length == ROWS && taken[2].null_count == 0, "wrong length");
    taken[1].release(&taken[1]);
    taken[2].release(&taken[2]);
    CHECK(released == 0, "the owner was released while a column needs it");
    fla_arrow_memory_free(memory);
    CHECK(released == 1 && fla_test_alloc_live() == 0, "released %d times", released);
}

static void the_owner_outlives_a_value_array_moved_out_of_its_list(void)
{
    struct ArrowArray array, element;
    int released = 0;
    CHECK(export_three(&released, NULL, &array, NULL) == FLA_OK, "refused");
    element = *array.children[0]->children[0];
    array.children[0]->children[0]->release = NULL;
    array.release(&array);
    CHECK(released == 0, "the owner was released before the values");
    CHECK(((const float *)element.buffers[1])[5] == 5, "the values are gone");
    element.release(&element);
    CHECK(released == 1, "the owner was released %d times", released);
}

static void either_half_of_a_batch_may_be_left_out(void)
{
    struct ArrowSchema schema;
    int released = 0;
    CHECK(export_three(&released, &schema, NULL, NULL) == FLA_OK, "refused");
    CHECK(released == 1, "no array needs the owner, yet it was released %d times",
          released);
    schema.release(&schema);
    CHECK(export_three(&released, NULL, NULL, NULL) == FLA_OK, "refused");
    CHECK(released == 2 && fla_test_alloc_live() == 0, "released %d times", released);
}

static void batches_of_no_rows_and_of_no_columns_are_whole(void)
{
    struct ArrowSchema schema;
    struct ArrowArray array;
    int released = 0;
    const fla_arrow_column column = {
        .name = "v", .type = FLA_ARROW_FLOAT64, .list_size = 4};
    CHECK(fla_arrow_export_batch(&column, 1, 0, count_owner, &released, &schema, &array,
                                 NULL) == FLA_OK,
          "no rows");
    CHECK(*(const int32_t *)array.children[0]->buffers[1] == 0, "offsets");
    schema.release(&schema);
    array.release(&array);
    CHECK(fla_arrow_export_batch(NULL, 0, 5, count_owner, &released, &schema, &array,
                                 NULL) == FLA_OK,
          "no columns");
    CHECK(array.length == 5 && array.n_children == 0, "length");
    schema.release(&schema);
    array.release(&array);
    CHECK(released == 2 && fla_test_alloc_live() == 0, "released %d times", released);
}

/* ---- columns passed through ---------------------------------------------------- */

/* A dictionary-encoded column with metadata, as another library would hand it over. */
typedef struct foreign {
    struct ArrowSchema schema, dictionary_schema;
    struct ArrowArray array;
    int schema_released, array_released;
} foreign;

static void release_foreign_schema(struct ArrowSchema *schema)
{
    ++*(int *)schema->private_data;
    schema->release = NULL;
}

static void release_foreign_array(struct ArrowArray *array)
{
    ++*(int *)array->private_data;
    array->release = NULL;
}

/* One pair, "k": "vw", whose lengths are in native byte order and unaligned. */
static const char *metadata(void)
{
    static char text[15];
    const int32_t pairs = 1, key = 1, value = 2;
    memcpy(text, &pairs, 4);
    memcpy(text + 4, &key, 4);
    text[8] = 'k';
    memcpy(text + 9, &value, 4);
    memcpy(text + 13, "vw", 2);
    return text;
}

static void make_foreign(foreign *f, int64_t length)
{
    *f = (foreign){
        .dictionary_schema = {.format = "u",
                              .release = release_foreign_schema,
                              .private_data = &f->schema_released},
        .schema = {.format = "c",
                   .name = "theirs",
                   .metadata = metadata(),
                   .flags = ARROW_FLAG_DICTIONARY_ORDERED,
                   .dictionary = &f->dictionary_schema,
                   .release = release_foreign_schema,
                   .private_data = &f->schema_released},
        .array = {.length = length,
                  .n_buffers = 2,
                  .release = release_foreign_array,
                  .private_data = &f->array_released},
    };
}

static fla_status export_passed(foreign *f, struct ArrowSchema *schema,
                                struct ArrowArray *array, int *owner_released)
{
    const fla_arrow_column columns[] = {
        vector_column(),
        {.name = "ours", .schema = &f->schema, .array = &f->array},
    };
    return fla_arrow_export_batch(columns, 2, ROWS, count_owner, owner_released, schema,
                                  array, NULL);
}

static void a_passed_column_keeps_its_type_under_a_new_name(void)
{
    struct ArrowSchema schema;
    struct ArrowArray array;
    foreign f;
    int released = 0;
    make_foreign(&f, ROWS);
    CHECK(export_passed(&f, &schema, &array, &released) == FLA_OK, "refused");
    CHECK(f.schema.release == NULL && f.array.release == NULL, "not moved");
    CHECK(f.schema_released == 1 && f.array_released == 0, "released %d, %d times",
          f.schema_released, f.array_released);
    const struct ArrowSchema *field = schema.children[1];
    CHECK(strcmp(field->name, "ours") == 0 && strcmp(field->format, "c") == 0, "%s: %s",
          field->name, field->format);
    CHECK(field->flags == ARROW_FLAG_DICTIONARY_ORDERED, "flags");
    CHECK(field->metadata != f.schema.metadata &&
              memcmp(field->metadata, metadata(), 15) == 0,
          "metadata");
    CHECK(strcmp(field->dictionary->format, "u") == 0, "dictionary");
    schema.release(&schema);
    array.release(&array);
    CHECK(f.schema_released == 1 && f.array_released == 1, "released %d, %d times",
          f.schema_released, f.array_released);
    CHECK(released == 1 && fla_test_alloc_live() == 0, "a leak");
}

static void check_export_refused(const fla_arrow_column *columns, size_t n_columns,
                                 fla_status status, const char *want)
{
    struct ArrowSchema schema;
    struct ArrowArray array;
    fla_error err = {0};
    int released = 0;
    const fla_status got = fla_arrow_export_batch(columns, n_columns, ROWS, count_owner,
                                                  &released, &schema, &array, &err);
    CHECK(got == status, "%s for \"%s\"", fla_status_name(got), want);
    CHECK(strstr(err.message, want) != NULL, "want \"%s\" in \"%s\"", want, err.message);
    CHECK(released == 0 && fla_test_alloc_live() == 0, "something changed");
}

static void columns_without_values_are_refused(void)
{
    fla_arrow_column column = vector_column();
    column.name = NULL;
    check_export_refused(&column, 1, FLA_ERR_ARGUMENT, "column 0 has no name");
    column = vector_column();
    column.type = (fla_arrow_type)3;
    check_export_refused(&column, 1, FLA_ERR_ARGUMENT, "type 3 of column \"vector\"");
    column = vector_column();
    column.values = NULL;
    check_export_refused(&column, 1, FLA_ERR_ARGUMENT, "no values for 3 rows");
    column = vector_column();
    column.values = (const char *)vectors + 1;
    check_export_refused(&column, 1, FLA_ERR_ARGUMENT, "not aligned to their 4 bytes");
    column = vector_column();
    column.list_size = INT32_MAX / ROWS + 1;
    check_export_refused(&column, 1, FLA_ERR_SHAPE, "at most 2147483647 values");
}

static void passed_columns_that_do_not_fit_are_refused_untouched(void)
{
    foreign f;
    make_foreign(&f, ROWS);
    const fla_arrow_column passed = {.name = "p", .schema = &f.schema, .array = &f.array};
    const fla_arrow_column twice[] = {passed, passed};
    fla_arrow_column half = passed, shared[] = {passed, passed};
    struct ArrowSchema other_schema = f.schema;
    check_export_refused(twice, 2, FLA_ERR_ARGUMENT, "moved into a column before");
    shared[1].schema = &other_schema;
    check_export_refused(shared, 2, FLA_ERR_ARGUMENT, "moved into a column before");
    half.array = NULL;
    check_export_refused(&half, 1, FLA_ERR_ARGUMENT, "an Arrow schema but no array");
    f.array.length = ROWS + 1;
    check_export_refused(&passed, 1, FLA_ERR_SHAPE, "has 4 rows, the batch has 3");
    f.array.length = ROWS;
    f.schema.n_children = 1;
    check_export_refused(&passed, 1, FLA_ERR_ARGUMENT, "lacks a format or a child");
    f.schema.n_children = 0;
    CHECK(f.schema_released == 0 && f.array_released == 0, "released on failure");
    f.array.release = NULL;
    check_export_refused(&passed, 1, FLA_ERR_ARGUMENT, "was released, or moved");
}

/* ---- streams ------------------------------------------------------------------- */

/* Gives batches until left is 0, then ends, or fails when fail is set. */
typedef struct batch_source {
    int left, calls, released, owners_released;
    int fail;
    bool fill; /* a batch although it fails */
    const char *text;
} batch_source;

static int next_batch(void *arg, struct ArrowArray *out, char *message, size_t capacity)
{
    batch_source *source = arg;
    source->calls++;
    if (source->left-- > 0)
        return export_three(&source->owners_released, NULL, out, NULL) == FLA_OK ? 0
                                                                                 : ENOMEM;
    if (source->fill)
        CHECK(export_three(&source->owners_released, NULL, out, NULL) == FLA_OK, "fill");
    snprintf(message, capacity, "%s", source->text);
    return source->fail;
}

static void release_source(void *arg)
{
    batch_source *source = arg;
    source->released++;
}

static fla_status open_stream(batch_source *source, struct ArrowArrayStream *stream,
                              fla_error *err)
{
    struct ArrowSchema schema;
    const fla_arrow_source methods = {next_batch, release_source, source};
    fla_status status = export_three(&source->owners_released, &schema, NULL, err);
    source->owners_released = 0;
    if (status != FLA_OK)
        return status;
    status = fla_arrow_export_stream(&schema, &methods, stream, err);
    CHECK((schema.release == NULL) == (status == FLA_OK), "schema moved on failure");
    if (status != FLA_OK)
        schema.release(&schema);
    return status;
}

static void a_stream_gives_its_batches_then_its_end_again_and_again(void)
{
    batch_source source = {.left = 2, .text = ""};
    struct ArrowArrayStream stream;
    struct ArrowArray array;
    CHECK(open_stream(&source, &stream, NULL) == FLA_OK, "refused");
    for (int i = 0; i < 2; i++) {
        struct ArrowSchema schema;
        CHECK(stream.get_schema(&stream, &schema) == 0, "no schema");
        check_field(schema.children[0]->children[0], "element", "f");
        schema.release(&schema);
        CHECK(stream.get_next(&stream, &array) == 0 && array.length == ROWS, "batch");
        array.release(&array);
    }
    for (int i = 0; i < 3; i++)
        CHECK(stream.get_next(&stream, &array) == 0 && array.release == NULL, "no end");
    CHECK(source.calls == 3, "asked %d times", source.calls);
    CHECK(stream.get_last_error(&stream) == NULL, "an error without a failure");
    stream.release(&stream);
    CHECK(stream.release == NULL && source.released == 1 && source.owners_released == 2,
          "released %d, %d times", source.released, source.owners_released);
    CHECK(fla_test_alloc_live() == 0, "a leak");
}

static void a_failed_stream_repeats_its_failure(void)
{
    const char *const texts[] = {"the disk is gone", ""};
    const char *const want[] = {"the disk is gone", "failed with errno 5"};
    for (int t = 0; t < 2; t++) {
        batch_source source = {.left = 1, .fail = EIO, .text = texts[t]};
        struct ArrowArrayStream stream;
        struct ArrowArray array;
        CHECK(open_stream(&source, &stream, NULL) == FLA_OK, "refused");
        CHECK(stream.get_next(&stream, &array) == 0, "the first batch");
        array.release(&array);
        for (int i = 0; i < 3; i++) {
            const int code = stream.get_next(&stream, &array);
            const char *error = stream.get_last_error(&stream);
            CHECK(code == EIO && array.release == NULL, "code %d", code);
            CHECK(error != NULL && strstr(error, want[t]) != NULL, "error \"%s\"",
                  error == NULL ? "" : error);
        }
        CHECK(source.calls == 2, "asked %d times", source.calls);
        stream.release(&stream);
        CHECK(source.released == 1, "released %d times", source.released);
    }
}

static void a_batch_given_with_a_failure_is_released(void)
{
    batch_source source = {.fail = EIO, .fill = true, .text = "late"};
    struct ArrowArrayStream stream;
    struct ArrowArray array;
    CHECK(open_stream(&source, &stream, NULL) == FLA_OK, "refused");
    for (int i = 0; i < 2; i++)
        CHECK(stream.get_next(&stream, &array) == EIO && array.release == NULL,
              "failure");
    CHECK(source.calls == 1 && source.owners_released == 1, "asked %d, released %d times",
          source.calls, source.owners_released);
    stream.release(&stream);
}

static void a_stream_needs_a_whole_schema(void)
{
    struct ArrowSchema schema = {0};
    struct ArrowArrayStream stream;
    const fla_arrow_source source = {next_batch, NULL, NULL};
    CHECK(fla_arrow_export_stream(&schema, &source, &stream, NULL) == FLA_ERR_ARGUMENT,
          "a released schema passed");
    schema.release = release_foreign_schema;
    CHECK(fla_arrow_export_stream(&schema, &source, &stream, NULL) == FLA_ERR_ARGUMENT,
          "a schema without a format passed");
}

/* ---- memory -------------------------------------------------------------------- */

static void failing_allocations_leave_passed_columns_as_they_were(void)
{
    for (int persistent = 0; persistent < 2; persistent++) {
        struct ArrowSchema schema;
        struct ArrowArray array;
        fla_status status = FLA_ERR_MEMORY;
        foreign f;
        int released = 0;
        long budget = 0;
        make_foreign(&f, ROWS);
        const foreign before = f;
        for (; budget < 100; budget++) {
            fla_test_alloc_budget(budget, persistent);
            status = export_passed(&f, &schema, &array, &released);
            fla_test_alloc_budget(-1, false);
            if (status == FLA_OK)
                break;
            CHECK(status == FLA_ERR_MEMORY, "%s", fla_status_name(status));
            CHECK(fla_test_alloc_live() == 0, "budget %ld: a leak", budget);
            CHECK(released == 0, "the owner was released on failure");
            CHECK(memcmp(&f, &before, sizeof f) == 0, "the column was changed");
        }
        CHECK(status == FLA_OK && budget > 5, "succeeded after %ld failures", budget);
        schema.release(&schema);
        array.release(&array);
        CHECK(released == 1 && fla_test_alloc_live() == 0, "a leak");
    }
}

static void a_stream_survives_failing_allocations(void)
{
    batch_source source = {.left = 1, .text = ""};
    struct ArrowArrayStream stream;
    struct ArrowSchema schema;
    int code = ENOMEM;
    long budget = 0;
    CHECK(open_stream(&source, &stream, NULL) == FLA_OK, "refused");
    const long live = fla_test_alloc_live();
    for (; code != 0 && budget < 100; budget++) {
        fla_test_alloc_budget(budget, true);
        code = stream.get_schema(&stream, &schema);
        fla_test_alloc_budget(-1, false);
        const char *error = stream.get_last_error(&stream);
        CHECK(code == 0 || (code == ENOMEM && strstr(error, "out of memory") != NULL),
              "code %d", code);
        CHECK(code == 0 || fla_test_alloc_live() == live, "a leak");
    }
    CHECK(code == 0 && budget > 4, "succeeded after %ld failures", budget);
    schema.release(&schema);
    stream.release(&stream);
    for (budget = 0; budget < 100; budget++) {
        fla_test_alloc_budget(budget, false);
        const fla_status status = open_stream(&source, &stream, NULL);
        fla_test_alloc_budget(-1, false);
        if (status == FLA_OK)
            break;
        CHECK(status == FLA_ERR_MEMORY && fla_test_alloc_live() == 0, "a leak");
    }
    stream.release(&stream);
    CHECK(source.released == 2 && fla_test_alloc_live() == 0, "a leak");
}

int main(void)
{
    RUN(a_batch_has_the_names_and_types_it_was_given);
    RUN(what_is_exported_is_imported_without_a_copy);
    RUN(the_owner_outlives_a_value_array_moved_out_of_its_list);
    RUN(either_half_of_a_batch_may_be_left_out);
    RUN(batches_of_no_rows_and_of_no_columns_are_whole);
    RUN(a_passed_column_keeps_its_type_under_a_new_name);
    RUN(columns_without_values_are_refused);
    RUN(passed_columns_that_do_not_fit_are_refused_untouched);
    RUN(a_stream_gives_its_batches_then_its_end_again_and_again);
    RUN(a_failed_stream_repeats_its_failure);
    RUN(a_batch_given_with_a_failure_is_released);
    RUN(a_stream_needs_a_whole_schema);
    RUN(failing_allocations_leave_passed_columns_as_they_were);
    RUN(a_stream_survives_failing_allocations);
    return check_report();
}
