"""An S3 store on this machine, of moto, for as long as a block lasts."""

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

_BUCKET = "tables"
# The server ends with its parent, also when that is killed: it watches standard input.
_SERVER = """
import os, sys, threading
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
os._exit(0)
"""


class ObjectStore:
    """Where tables are in the store, and what opens them.

    Parameters
    ----------
    port : int
        Of the server.
    """

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self.options = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }

    def uri(self, name: str) -> str:
        """Give the URI of a table."""
        return f"s3://{_BUCKET}/{name}"

    def create_bucket(self) -> None:
        request = urllib.request.Request(f"{self.endpoint}/{_BUCKET}", method="PUT")
        with urllib.request.urlopen(request, timeout=30):
            pass


@contextmanager
def running_store() -> Iterator[ObjectStore]:
    """Run a server on a free port; it is gone after the block, however that ends."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            store = ObjectStore(int(server.stdout.readline()))
            store.create_bucket()
            yield store
        finally:
            server.kill()
