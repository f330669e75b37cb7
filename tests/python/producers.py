"""Programs that make Arrow streams whose own threads want the GIL while they are read."""

# Each leaves 1,000 rows of the `columns` asked for, of "id" and "v", in `source`.
PRODUCERS = {
    "polars": """
def in_python(frame):
    return frame.with_columns(pl.col("v"))

frame = pl.DataFrame({"id": range(1000), "v": [[float(i), 1.0] for i in range(1000)]})
lazy = frame.lazy().map_batches(in_python).select(columns)
source = lazy.collect_batches(chunk_size=100, lazy=True)
""",
    "pyarrow": """
table = pa.table({"id": range(500), "v": [[float(i), 1.0] for i in range(500)]})
holder = tempfile.TemporaryDirectory()
folder = holder.name
for i in range(2):
    pq.write_table(table, f"{folder}/{i}.parquet")
python_files = pa.fs.PyFileSystem(pa.fs.FSSpecHandler(LocalFiles()))
dataset = ds.dataset(folder, filesystem=python_files)
source = dataset.scanner(columns=columns, batch_size=100).to_reader()
""",
}


# A file system in Python, so that reading threads must take the GIL.
LOCAL_FILES = """
import os, tempfile
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq
from fast_lsh_ann import _core
import fast_lsh_ann

class LocalFiles:
    protocol = "local"

    def info(self, path):
        kind = "directory" if os.path.isdir(path) else "file"
        return {"name": path, "type": kind, "size": os.path.getsize(path)}

    def find(self, path, maxdepth=None, withdirs=False, detail=True):
        return {p: self.info(p) for p in (f"{path}/{n}" for n in os.listdir(path))}

    def isdir(self, path):
        return os.path.isdir(path)

    def isfile(self, path):
        return os.path.isfile(path)

    def open(self, path, mode="rb"):
        return open(path, mode)
"""
