"""A Sphinx extension: the networks that the page Explore runs come along as scripts of the site."""

import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    """Copy what the chapter wrote, beside the explorer's own scripts."""
    app.connect("build-finished", _copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _copy(app: Sphinx, error: Exception | None) -> None:
    static = Path(app.outdir, "_static")
    if error is None and static.is_dir():
        for path in sorted(Path(app.confdir, "book", "results", "explore").glob("*.js")):
            shutil.copy(path, static)
