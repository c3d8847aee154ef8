"""The laboratory's scripts find what lies beside them, and what they share lies above them."""

import sys

from tool_runs import LABORATORY

sys.path[:0] = map(str, [LABORATORY, *(path for path in LABORATORY.iterdir() if path.is_dir())])
