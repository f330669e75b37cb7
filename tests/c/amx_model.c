/*
 * The AMX kernels over a model of the tile instructions, for processors that have none:
 * Intel's definitions (Architecture Instruction Set Extensions reference, chapter 3),
 * faults included.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REGISTERS = 8, MAX_ROWS = 16, MAX_BYTES = 64 };

static struct {
    size_t rows, bytes; /* 0: not configured */
    uint8_t data[MAX_ROWS][MAX_BYTES];
} tiles[REGISTERS];

/* What the processor answers with an invalid instruction or protection fault. */
static void must(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "amx model: %s\n", what);
        abort();
    }
}

static void model_configure(const uint8_t *shapes)
{
    must(tiles[0].rows == 0, "tiles are released before they are configured again");
    must(shapes[0] == 1 && shapes[1] == 0, "palette 1 from row 0");
    for (size_t i = 2; i < 16; i++)
        must(shapes[i] == 0, "reserved bytes are 0");
    for (size_t t = 0; t < 16; t++) {
        const size_t bytes = shapes[16 + 2 * t] + 256u * shapes[17 + 2 * t];
        const size_t rows = shapes[48 + t];
        must(t < REGISTERS || (rows == 0 && bytes == 0), "eight registers");
        must(rows <= MAX_ROWS && bytes <= MAX_BYTES && (rows == 0) == (bytes == 0),
             "shape of a register");
        if (t < REGISTERS) {
            memset(&tiles[t], 0, sizeof tiles[t]);
            tiles[t].rows = rows;
            tiles[t].bytes = bytes;
        }
    }
}

static void model_release(void)
{
    memset(tiles, 0, sizeof tiles);
}

static void model_load(size_t t, const void *from, size_t stride)
{
    must(tiles[t].rows > 0, "load into a configured register");
    for (size_t r = 0; r < tiles[t].rows; r++)
        memcpy(tiles[t].data[r], (const char *)from + r * stride, tiles[t].bytes);
}

static void model_store(size_t t, void *to, size_t stride)
{
    must(tiles[t].rows > 0, "store of a configured register");
    for (size_t r = 0; r < tiles[t].rows; r++)
        memcpy((char *)to + r * stride, tiles[t].data[r], tiles[t].bytes);
}

/* tdpbsud: signed bytes of a times unsigned bytes of b. */
static void model_multiply_add(size_t sums, size_t a, size_t b)
{
    must(sums != a && sums != b && a != b, "three registers");
    must(tiles[sums].rows > 0 && tiles[a].rows > 0 && tiles[b].rows > 0, "configured");
    must(tiles[sums].bytes % 4 == 0 && tiles[a].bytes % 4 == 0, "whole lanes");
    must(tiles[a].rows == tiles[sums].rows && tiles[b].bytes == tiles[sums].bytes &&
             tiles[a].bytes == 4 * tiles[b].rows,
         "matching shapes");
    for (size_t m = 0; m < tiles[a].rows; m++) {
        for (size_t n = 0; n < tiles[b].bytes; n += 4) {
            int32_t sum;
            memcpy(&sum, tiles[sums].data[m] + n, sizeof sum);
            for (size_t k = 0; k < tiles[b].rows; k++)
                for (size_t i = 0; i < 4; i++)
                    sum += (int8_t)tiles[a].data[m][4 * k + i] * tiles[b].data[k][n + i];
            memcpy(tiles[sums].data[m] + n, &sum, sizeof sum);
        }
    }
}

#define TILES_CONFIGURE(shapes) model_configure((const uint8_t *)(shapes))
#define TILES_RELEASE() model_release()
#define TILE_LOAD(tile, from, stride) model_load(tile, from, stride)
#define TILE_STORE(tile, to, stride) model_store(tile, to, stride)
#define TILE_MULTIPLY_ADD(sums, a, b) model_multiply_add(sums, a, b)
#define fla_codes_amx amx_model_codes

#include "kernels/codes_amx.c"
