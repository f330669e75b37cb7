"""``python -m fast_lsh_ann``: the command line."""

import sys

from fast_lsh_ann.cli import main

sys.exit(main())
