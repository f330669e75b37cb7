"""The package's logger, ``fast_lsh_ann``: silent until an application gives it a handler.

INFO tells what happened outside the process: the version a table was pinned at, a commit.
DEBUG tells how a call goes about its work: an index's plan and bytes.
"""

import logging

logger = logging.getLogger("fast_lsh_ann")
logger.addHandler(logging.NullHandler())
