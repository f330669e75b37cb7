/* Scanning buckets instead of all rows: for models that select little. */
#ifndef FLA_SEARCH_BUCKET_SCAN_H
#define FLA_SEARCH_BUCKET_SCAN_H

#include "search/runs.h"
#include "search/scan.h"

/*
 * Scan, after fla_scan_begin, the rows that share a bucket with a query of the block.
 *
 * plan  FLA_PLAN_BUCKET filters every bucket as tiles, FLA_PLAN_GATHER fetches every
 *       candidate by itself, FLA_PLAN_AUTO takes what costs less for each bucket.
 *
 * Reports all rows x block queries to the job.  Returns as fla_scan_rows.
 */
fla_status fla_scan_buckets(fla_scan *scan, const fla_runs *runs, fla_plan plan,
                            fla_job *job, unsigned worker);

#endif
