#!/usr/bin/env python3
"""What real Spark makes of a model folder that this project wrote.

Usage:  <venv with pyspark>/bin/python gen_to_spark.py WRITTEN OUTDIR
WRITTEN was made by BucketedRandomProjectionLSH(0.5, 3, 7).create_model(16).to_spark(WRITTEN).
Makes OUTDIR/model, saved by Spark, and OUTDIR/answers.json, doubles as hex digits of their bits.
"""
import json
import os
import shutil
import struct
import sys

import numpy as np

os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
from pyspark.ml.feature import BucketedRandomProjectionLSHModel
from pyspark.ml.linalg import Vectors
from pyspark.sql import SparkSession

written, out = sys.argv[1:]
shutil.rmtree(out, ignore_errors=True)
os.makedirs(out)
spark = (
    SparkSession.builder.master("local[1]")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.shuffle.partitions", "1")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("OFF")
here = os.path.dirname(os.path.abspath(__file__))
rows = np.load(os.path.join(here, "inputs", "normal_d16.npy"))


def bits(x):
    return "%016x" % struct.unpack("<Q", struct.pack("<d", float(x)))[0]


def frame(first, last):
    values = [(i - first, Vectors.dense(rows[i].tolist())) for i in range(first, last)]
    return spark.createDataFrame(spark.sparkContext.parallelize(values, 1), ["id", "features"])


def ask(model):
    left, right = frame(0, 100), frame(100, 200)
    hashes = [[int(h[0]) for h in r.hashes] for r in model.transform(frame(0, 200)).orderBy("id").collect()]
    near = []
    for key in (3, 150):
        found = model.approxNearestNeighbors(left, Vectors.dense(rows[key].tolist()), 5).collect()
        near.append({"key_row": key, "k": 5, "id_dist": [[r.id, bits(r.distCol)] for r in found]})
    pairs = model.approxSimilarityJoin(left, right, 4.0).selectExpr(
        "datasetA.id a", "datasetB.id b", "distCol"
    )
    joined = sorted([r.a, r.b, bits(r.distCol)] for r in pairs.collect())
    return {"hashes": hashes, "neighbors_in_first_100": near, "join_4.0_first_100_x_rest": joined}


model = BucketedRandomProjectionLSHModel.load(written)
answers = {
    "spark": spark.version,
    "jdk": spark._jvm.java.lang.System.getProperty("java.version"),
    "bucketLength": model.getBucketLength(),
    "numHashTables": model.getNumHashTables(),
    "inputCol": model.getInputCol(),
    "outputCol": model.getOutputCol(),
    **ask(model),
}
model.save(os.path.join(out, "model"))
again = BucketedRandomProjectionLSHModel.load(os.path.join(out, "model"))
assert ask(again) == {k: answers[k] for k in ask(again)}
with open(os.path.join(out, "answers.json"), "w") as f:
    json.dump(answers, f)
    f.write("\n")
print(answers["spark"], len(answers["join_4.0_first_100_x_rest"]), "pairs")
spark.stop()
