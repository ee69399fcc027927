"""Python runs this as it starts a chapter's kernel: count multiplications where that is asked for."""

import os
from pathlib import Path

if counts := os.environ.get("BAQ_COUNTS"):
    from benchmarks.counting import start

    start(Path(counts))
