"""Record what fast-lsh-ann 0.1.1 writes and finds; run in an environment that has it.

    python record.py > recorded.json
"""

import json
import pickle
import sys

import fast_lsh_ann
import numpy as np

MODELS = [
    (2.0, 1, 42, 128),
    (2.0, 5, 42, 128),
    (0.1, 3, 7, 16),
    (1e-3, 300, 2**63 + 5, 1024),
]
TABLES, DIM = 500, 64


def pickles():
    for parameters in MODELS:
        model = fast_lsh_ann.BucketedRandomProjectionLSHModel(*parameters)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            yield {
                "parameters": parameters,
                "protocol": protocol,
                "pickle": pickle.dumps(model, protocol).hex(),
            }


def share(buckets):
    """Of the pairs of two rows, those that collide in a table; the mean of all tables."""
    n = len(buckets)
    pairs = 0
    for column in buckets.T:
        counts = np.unique(column, return_counts=True)[1]
        pairs += int((counts * (counts - 1)).sum())
    return pairs / (n * (n - 1) * buckets.shape[1])


def shares():
    rows = np.random.default_rng(7).standard_normal((1000, DIM)).astype(np.float32)
    for centre in (0, 3):
        for length in (10.0, 20.0, 40.0):
            found = []
            for seed in (1, 2, 3):
                lsh = fast_lsh_ann.BucketedRandomProjectionLSH(length, TABLES, seed)
                moved = rows + np.float32(centre)
                found.append(share(lsh.create_model(DIM).transform(moved)))
            yield {"centre": centre, "bucket_length": length, "shares": found}


one, other = (fast_lsh_ann.BucketedRandomProjectionLSHModel(*m) for m in MODELS[:2])
recorded = {
    "package": "fast-lsh-ann 0.1.1",
    "python": sys.version.split()[0],
    "pickles": list(pickles()),
    "pickled_list": pickle.dumps([one, one, other]).hex(),
    "colliding_shares": list(shares()),
}
json.dump(recorded, sys.stdout, indent=1)
