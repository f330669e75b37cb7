"""Spark's own BucketedRandomProjectionLSH, which needs Java."""

import contextlib
import importlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from peers import SEED, Peer, Rows
from surface import Hashes, Vectors, hashes_of, vectors_of

SHOWN = 2000  # rows whose vectors and hashes are handed out to be compared


class Spark(Peer):
    """Tables in, frames out.  A sink that drops rows stands for keeping them."""

    package, module = "pyspark", "pyspark.sql"

    def __init__(self, threads: int, **how: Any) -> None:
        super().__init__(threads, **how)
        self.folder = tempfile.TemporaryDirectory()
        builder = self.library.SparkSession.builder.master(f"local[{threads}]")
        for key, value in self.options().items():
            builder = builder.config(key, value)
        with silence():
            self.session = builder.getOrCreate()
        self.session.sparkContext.setLogLevel("OFF")
        self.functions = importlib.import_module("pyspark.ml.functions")
        self.feature = importlib.import_module("pyspark.ml.feature")
        self.linalg = importlib.import_module("pyspark.ml.linalg")

    def options(self) -> dict[str, str]:
        """As few tasks as a machine of this size can use; Delta from Maven Central."""
        return {
            "spark.driver.memory": self.how["memory"],
            "spark.driver.maxResultSize": "0",
            "spark.sql.shuffle.partitions": str(2 * self.threads),
            "spark.jars.packages": self.how["delta"],
            "spark.jars.ivy": self.how["jars"],
            "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
            "spark.sql.catalog.spark_catalog": (
                "org.apache.spark.sql.delta.catalog.DeltaCatalog"
            ),
            "spark.local.dir": self.folder.name,
            "spark.sql.warehouse.dir": self.folder.name,
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
        }

    def facts(self) -> dict[str, str]:
        java = self.session._jvm.java.lang.System.getProperty("java.version")
        delta = self.how["delta"].rpartition(":")[2]
        return {"Spark": self.session.version, "Java": str(java), "Delta": delta}

    def process(self) -> int:
        return int(self.session._jvm.java.lang.ProcessHandle.current().pid())

    def frame(self, table: str, rows: int | None = None) -> Any:
        """Ids and vectors of a table, or of its first ids."""
        frame = self.session.read.format("delta").load(table)
        if rows is not None:
            frame = frame.where(frame["id"] < self.how["first_id"] + rows)
        vectors = self.functions.array_to_vector(frame["embedding"])
        return frame.select("id", vectors.alias("vector"))

    def model(self, frame: Any) -> Any:
        return self.feature.BucketedRandomProjectionLSH(
            inputCol="vector",
            outputCol="hashes",
            seed=SEED,
            numHashTables=self.how["tables"],
            bucketLength=self.how["width"],
        ).fit(frame)

    def prepare(self, table: str, queries: Rows | None = None) -> None:
        """Keep a table's vectors in memory, and its hashes if queries will come."""
        frame = self.frame(table)
        self.lsh = self.model(frame)
        self.kept = frame.persist()
        self.kept.count()
        if queries is not None:
            self.hashed = self.lsh.transform(self.kept).persist()
            self.hashed.count()

    # ---- on the clock ------------------------------------------------------------------

    def read_table(self, table: str) -> Any:
        frame = self.frame(table)
        dropped(frame)
        return frame

    def transform(self) -> Any:
        frame = self.lsh.transform(self.kept)
        dropped(frame)
        return frame

    def batch(self, queries: Rows, k: int, count: int) -> Any:
        """The first queries one after the other: Spark has no call for many."""
        found = []
        for query in queries[:count].astype(np.float64):
            key = self.linalg.Vectors.dense(query)
            near = self.lsh.approxNearestNeighbors(self.hashed, key, k)
            found.append(near.select("id", "distCol").collect())
        return found

    def join(self, left: str, right: str, threshold: float, rows: int) -> Any:
        """Of the first ids of either side."""
        sides = [self.frame(table, rows) for table in (left, right)]
        pairs = self.model(sides[0]).approxSimilarityJoin(*sides, threshold)
        return pairs.selectExpr("datasetA.id", "datasetB.id", "distCol").collect()

    # ---- answers -----------------------------------------------------------------------

    def answer(self, method: str, raw: Any) -> Any:
        first = self.how["first_id"]
        if method == "batch":
            found = [[(row[0] - first, row[1]) for row in near] for near in raw]
            return [sorted(near, key=lambda one: (one[1], one[0])) for near in found]
        if method == "join":
            return sorted((a - first, b - first, away) for a, b, away in raw)
        shown = raw.where(raw["id"] < first + SHOWN).collect()
        ids = np.array([row["id"] for row in shown])
        if method == "read_table":
            return self.vectors(shown, ids)
        return self.hashes(shown, ids - first)

    def vectors(self, shown: Any, ids: Any) -> Vectors:
        return vectors_of(np.array([row["vector"].toArray() for row in shown]), ids)

    def hashes(self, shown: Any, ids: Any) -> Hashes:
        found = [[value[0] for value in row["hashes"]] for row in shown]
        return hashes_of(np.array(found), ids)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """For the JVM, which keeps the outputs that it starts with."""
    kept = {output: os.dup(output) for output in (1, 2)}
    with Path(os.devnull).open("w") as nowhere:
        for output in kept:
            os.dup2(nowhere.fileno(), output)
    try:
        yield
    finally:
        for output, copy in kept.items():
            os.dup2(copy, output)
            os.close(copy)


def dropped(frame: Any) -> None:
    """Compute every column of every row."""
    frame.write.format("noop").mode("overwrite").save()
