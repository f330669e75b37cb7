"""Batches made in the calling thread while another thread writes them."""

from collections.abc import Callable, Iterable

from fast_lsh_ann import _core
from fast_lsh_ann._arrow import RecordBatchStream
from fast_lsh_ann._threads import Channel, Worker
from fast_lsh_ann.errors import CancelledError

# Enough for the maker of batches and the writer to overlap.
_BATCHES_AHEAD = 1


def pump(
    schema: "_core.ArrowSchema",
    arrays: Iterable["_core.ArrowArray"],
    write: Callable[[RecordBatchStream], None],
) -> tuple[int, Worker[None]]:
    """Write batches in a thread that Ctrl-C does not interrupt.

    An exception while they are made, KeyboardInterrupt among them, fails the stream, so
    that the writer gives up; once it has, the exception goes on unchanged.

    Parameters
    ----------
    schema : capsule
        Schema of every batch.
    arrays : iterable of capsules
        Iterated in the calling thread.
    write : callable
        Takes a stream of the batches and writes it, or raises and leaves nothing.

    Returns
    -------
    (int, Worker)
        The rows of the batches; the writer's thread, which has ended: its `result` raises
        what `write` raised.
    """
    channel: Channel[_core.ArrowArray] = Channel(_BATCHES_AHEAD)
    stream = RecordBatchStream(schema, lambda: next(channel, None))

    def run() -> None:
        try:
            write(stream)
        finally:
            channel.cancel()

    worker = Worker(run)
    rows = 0
    try:
        worker.start()
        for array in arrays:
            rows += _core.array_length(array)
            if not channel.put(array):
                break
        channel.close()
        worker.wait()
    except BaseException as error:
        channel.close(CancelledError(f"the write was given up: {error!r}"))
        worker.wait()
        raise
    return rows, worker
