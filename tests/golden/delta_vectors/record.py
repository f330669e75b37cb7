#!/usr/bin/env python3
"""Delta tables with Spark ML vectors as real Spark writes them, and what Spark reads.

Usage:  <venv with pyspark 3.5>/bin/python record.py OUTDIR JAR...
The jars are those of delta-spark_2.12 3.3.2 and of what it needs (delta-storage 3.3.2,
antlr4-runtime 4.9.3).  Makes OUTDIR/tables/NAME, and OUTDIR/expected.json: for each
table and version [id, vector, hashes] of every row.  A vector is the hex digits of its
doubles' bits, as toArray gives them; the hashes are those of
BucketedRandomProjectionLSH(bucketLength=0.5, numHashTables=3, seed=7).
"""
import json
import os
import shutil
import struct
import sys

import numpy as np

os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
from pyspark.ml.feature import BucketedRandomProjectionLSH, VectorAssembler
from pyspark.ml.linalg import Vectors, VectorUDT
from pyspark.sql import SparkSession
from pyspark.sql.types import LongType, StringType, StructField, StructType

out, *jars = sys.argv[1:]
shutil.rmtree(os.path.join(out, "tables"), ignore_errors=True)
spark = (
    SparkSession.builder.master("local[1]")
    .config("spark.jars", ",".join(jars))
    .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
    .config(
        "spark.sql.catalog.spark_catalog",
        "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    )
    .config("spark.ui.enabled", "false")
    .config("spark.sql.shuffle.partitions", "1")
    .config("spark.databricks.delta.snapshotPartitions", "1")
    .config("spark.driver.memory", "1g")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")
DIM = 4
random = np.random.default_rng(0)
SCHEMA = StructType([StructField("id", LongType()), StructField("features", VectorUDT())])
expected = {"spark": None, "delta": "3.3.2", "tables": {}}


def place(name):
    return os.path.join(os.path.abspath(out), "tables", name)


def dense(_):
    return Vectors.dense(random.standard_normal(DIM).tolist())


def sparse(i):
    """Of i % (DIM + 1) values, so without any and full ones too."""
    at = sorted(random.choice(DIM, i % (DIM + 1), replace=False).tolist())
    return Vectors.sparse(DIM, at, random.standard_normal(len(at)).tolist())


def mixed(i):
    return sparse(i) if i % 2 else dense(i)


def with_nulls(i):
    return None if i % 3 == 2 else mixed(i)


def append(name, first, last, vector, **options):
    rows = spark.sparkContext.parallelize([(i, vector(i)) for i in range(first, last)], 1)
    frame = spark.createDataFrame(rows, SCHEMA)
    frame.write.format("delta").mode("append").options(**options).save(place(name))


def delete(name, condition):
    spark.sql(f"DELETE FROM delta.`{place(name)}` WHERE {condition}")


def checkpoint(name):
    log = spark._jvm.org.apache.spark.sql.delta.DeltaLog
    log.clearCache()
    log.forTable(spark._jsparkSession, place(name)).checkpoint()


def bits(x):
    return "%016x" % struct.unpack("<Q", struct.pack("<d", float(x)))[0]


def read(name, version):
    frame = spark.read.format("delta").option("versionAsOf", version).load(place(name))
    good = frame.where("features IS NOT NULL")
    lsh = BucketedRandomProjectionLSH(
        inputCol="features", outputCol="hashes", bucketLength=0.5, numHashTables=3, seed=7
    )
    answers = [[row.id, None, None] for row in frame.where("features IS NULL").collect()]
    for row in lsh.fit(good).transform(good).collect():
        values = [bits(x) for x in row.features.toArray()]
        answers.append([row.id, values, [int(h[0]) for h in row.hashes]])
    return sorted(answers)


def record(name, versions):
    expected["tables"][name] = {str(v): read(name, v) for v in versions}


def small_tables():
    for name, vector in (("dense", dense), ("sparse", sparse), ("mixed", mixed)):
        append(name, 0, 12, vector)
        record(name, [0])
    append("nulls", 0, 9, with_nulls)
    record("nulls", [0])
    append("appends", 0, 6, dense)
    append("appends", 6, 12, sparse)
    record("appends", [0, 1])


def deleted(name, **options):
    """Rows appended and deleted by turns, so that files have deletion vectors."""
    options = {f"delta.{key}": value for key, value in options.items()}
    append(name, 0, 8, mixed, **{"delta.enableDeletionVectors": "true"}, **options)
    delete(name, "id IN (2, 5)")
    append(name, 8, 16, mixed)
    delete(name, "id IN (3, 11)")


def checkpoints():
    small = ("spark.databricks.delta.checkpoint.partSize", "1")
    shape = "spark.databricks.delta.checkpointV2.topLevelFileFormat"
    structs = {"checkpoint.writeStatsAsJson": "false", "checkpoint.writeStatsAsStruct": "true"}
    v2 = {"checkpointPolicy": "v2"}
    kinds = (
        ("checkpoint", {}, None),
        ("checkpoint_struct_stats", structs, None),
        ("checkpoint_parts", {}, small),
        ("checkpoint_v2_json", v2, (shape, "json")),
        ("checkpoint_v2_parquet", v2, (shape, "parquet")),
    )
    for name, options, setting in kinds:
        deleted(name, **options)
        if setting:
            spark.conf.set(*setting)
        checkpoint(name)
        if setting:
            spark.conf.unset(setting[0])
        append(name, 16, 20, dense)
        delete(name, "id IN (13, 17)")
        record(name, [3, 4, 5])


def partitioned():
    names = ["plain", "with space", "a/b=c%20", "ü", None, "plain"]
    schema = StructType([*SCHEMA.fields, StructField("name", StringType())])
    rows = [(i, dense(i), name) for i, name in enumerate(names)]
    frame = spark.createDataFrame(spark.sparkContext.parallelize(rows, 1), schema)
    frame.write.format("delta").partitionBy("name").save(place("partitioned"))
    checkpoint("partitioned")
    record("partitioned", [0])
    expected["partition_names"] = names


def assembled():
    """As VectorAssembler makes vectors: with attributes in the column's metadata."""
    numbers = [(i, *random.standard_normal(DIM).tolist()) for i in range(6)]
    names = ["a", "b", "c", "d"]
    frame = spark.createDataFrame(numbers, ["id", *names]).coalesce(1)
    frame = VectorAssembler(inputCols=names, outputCol="features").transform(frame)
    assert "ml_attr" in frame.schema["features"].metadata
    frame.select("id", "features").write.format("delta").save(place("assembled"))
    record("assembled", [0])


def clean(folder):
    """Leave out what Hadoop and Spark put beside a table for checks of their own."""
    for root, _, files in os.walk(folder, topdown=False):
        for file in files:
            if file.endswith(".crc"):
                os.remove(os.path.join(root, file))
        if not os.listdir(root):
            os.rmdir(root)


small_tables()
deleted("deleted")
record("deleted", [0, 1, 2, 3])
deleted("prefixed", randomizeFilePrefixes="true")
record("prefixed", [3])
checkpoints()
partitioned()
assembled()
for mode in ("name", "id"):
    append(f"mapped_{mode}", 0, 6, mixed, **{"delta.columnMapping.mode": mode})
    record(f"mapped_{mode}", [0])
clean(os.path.join(out, "tables"))
expected["spark"] = spark.version
with open(os.path.join(out, "expected.json"), "w") as file:
    json.dump(expected, file)
    file.write("\n")
spark.stop()
