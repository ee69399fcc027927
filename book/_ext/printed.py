"""A Sphinx extension: a book that is rendered as one page is printed, and pages offer the print.

With the builder ``singlehtml`` the page becomes ``book.pdf`` in the folder of the output, by a headless
Chromium. Where ``book.pdf`` lies among the static files, every page's footer has a link to it.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_OPTIONS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # Formulas are set after the page has loaded.
    *("--no-pdf-header-footer", "--virtual-time-budget=120000"),
]


def setup(app: Sphinx) -> dict[str, Any]:
    """Have a book of one page printed, and a print offered."""
    app.connect("build-finished", _print)
    app.connect("html-page-context", _offer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def chromium() -> str:
    """The path of ``$CHROMIUM``, or else of the first browser found.

    Raises:
        ExtensionError: where there is none.
    """
    for name in filter(None, (os.environ.get("CHROMIUM"), *_NAMES)):
        if path := shutil.which(name):
            return path
    allowed = f"allowed are {', '.join(_NAMES)} on the path, or the one that $CHROMIUM names"
    raise ExtensionError(f"exception: no Chromium to print the PDF: {allowed}")


def _print(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.name != "singlehtml":
        return
    # Sphinx writes the page into the folder of the root, and its links as if it lay above.
    name = f"{app.config.root_doc}.html"
    page, pdf = Path(app.outdir, "book.html"), Path(app.outdir, "book.pdf")
    text = Path(app.outdir, name).read_text("utf-8")
    page.write_text(text.replace(f'href="{name}#', 'href="#'), "utf-8")
    with tempfile.TemporaryDirectory() as profile:
        command = [chromium(), *_OPTIONS, f"--user-data-dir={profile}", f"--print-to-pdf={pdf}"]
        done = subprocess.run(
            [*command, page.resolve().as_uri()], capture_output=True, text=True, check=False
        )
    if done.returncode or not pdf.is_file():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ExtensionError(f"exception: Chromium printed no PDF: {last}")


def _offer(app: Sphinx, _: str, __: str, context: dict[str, Any], ___: object) -> None:
    if Path(app.srcdir, "book", "_static", "book.pdf").is_file():
        place = context["pathto"]("_static/book.pdf", 1)
        context["theme_extra_footer"] = f'<p><a href="{place}">The whole book as a PDF</a></p>'
