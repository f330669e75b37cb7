/* First radii for nearest neighbors, from the codes of a sample of the rows. */
#ifndef FLA_SEARCH_SEED_H
#define FLA_SEARCH_SEED_H

#include "search/base.h"
#include "search/queries.h"

/* True when a base has rows enough for k neighbors to be guessed from a sample. */
bool fla_seed_pays(const fla_base *base, size_t k);

/*
 * For queries first .. first + n - 1 a radius that surely holds k rows of the base, which
 * is coded.  Costs about a sixty-fourth of a scan.
 *
 * radius  [n].
 *
 * Returns false when there is no memory.
 */
bool fla_seed_radii(const fla_base *base, const fla_queries *queries, size_t first,
                    size_t n, size_t k, double *radius);

/* Bytes that takes on the way for n queries. */
double fla_seed_takes(size_t n, size_t k);

#endif
