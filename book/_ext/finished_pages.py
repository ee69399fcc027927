"""A Sphinx extension for rendered pages: the theme's faults are mended, dead links are warnings."""

import re
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.util import logging

#: What is replaced, and by what.
_FAULTS = [
    # A script for running cells on a server, which is defined twice and fails; no page has its button.
    (re.compile(r"<script>const THEBE_JS_URL.*?</script>\s*"), ""),
    (re.compile(r'<script[^>]*src="[^"]*sphinx-thebe\.js[^"]*"[^>]*></script>\s*'), ""),
    (re.compile(r'<script type="text/x-thebe-config">.*?</script>\s*', re.DOTALL), ""),
    # A second copy of the icons, as drawings: 1.5 MB; the style sheet's fonts hold all that are shown.
    (re.compile(r'<script[^>]*src="[^"]*fontawesome[^"]*\.js[^"]*"[^>]*></script>\s*'), ""),
    # Fonts of icons that no page shows, asked for beforehand.
    (re.compile(r'<link rel="preload"[^>]*/fa-(?:brands|regular)-[^>]*>\s*'), ""),
    # 1.2 MB for formulas, on a page that has none.
    (
        re.compile(
            r'\A(?!.*class="math)(.*)<script[^>]*src="[^"]*/mathjax/[^"]*"[^>]*></script>\s*',
            re.DOTALL,
        ),
        r"\1",
    ),
    # A list of which no child is an item.
    (re.compile(r'<div role="list" class="citation-list">'), '<div class="citation-list">'),
    # What scrolls must be reached by the keyboard.
    (
        re.compile(r'<div class="(pst-scrollable-table-container|output text_html)">'),
        r'<div class="\1" tabindex="0">',
    ),
    # An interval stays whole where a cell of a table breaks into lines.
    (re.compile(r"(<td\b[^>]*>(?:<p>)?[^<\[]*\[[^\]<,]*,(?:\d{3},?)*) (?=[^\]<]*\])"), r"\1&#160;"),
    # The search page has the field of every page's header, and its own of the same name.
    (
        re.compile(r'(id="search-input".*)id="search-input"', re.DOTALL),
        r'\1id="search-input-page"',
    ),
]


def setup(app: Sphinx) -> dict[str, Any]:
    """Have every page mended and its links checked when the book has been rendered."""
    app.connect("build-finished", _finish)
    app.config.mathjax_path = "mathjax/startup.js"  # which loads what _config.yml names
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _finish(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        printed = app.builder.name == "singlehtml"  # a book of one page
        mend(Path(app.outdir), late=not printed)
        if printed:
            return
        for text in broken_links(Path(app.outdir)):
            logging.getLogger(__name__).warning(text)


def mend(html: Path, late: bool = True) -> None:
    """Mend all pages below a folder in place; mended pages stay as they are.

    With ``late``, a drawing is loaded once a reader comes near, and its room is kept until then.
    """
    for path in html.rglob("*.html"):
        text = path.read_text("utf-8")
        for fault, instead in _FAULTS:
            text = fault.sub(instead, text)
        if late:
            text = _DRAWING.sub(partial(_late, folder=path.parent), text)
        path.write_text(text, "utf-8")


#: A drawing among a page's images, and its size in the file itself.
_DRAWING = re.compile(r'<img (?!loading)([^>]*\bsrc="([^"]*_images/[^"]*\.svg)"[^>]*)>')
_SIZE = re.compile(r'<svg[^>]*\bviewBox="\S+ \S+ ([\d.]+) ([\d.]+)"')


def _late(image: re.Match[str], folder: Path) -> str:
    """The tag of a drawing with its shape, to be loaded late; as it is where its file says no size."""
    rest, source = image.groups()
    path = folder / unquote(source)
    size = _SIZE.search(path.read_text("utf-8")) if path.is_file() else None
    if size is None:
        return image[0]
    width, height = (round(float(side)) for side in size.groups())
    return f'<img loading="lazy" width="{width}" height="{height}" {rest}>'


def broken_links(html: Path) -> list[str]:
    """Links and images of the pages below a folder whose file or place is missing, a line for each.

    Links to other hosts are not followed, and templates of the theme in ``_static`` not read.
    """
    paths = [path for path in html.rglob("*.html") if "_static" not in path.parts]
    pages = {path: _Page(path) for path in sorted(paths)}
    found = []
    for path, page in pages.items():
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            to = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            to = to / "index.html" if to.is_dir() else to
            if not to.is_file():
                found.append(f"{path.relative_to(html)}: {target} is no file")
            elif parts.fragment and to in pages and unquote(parts.fragment) not in pages[to].places:
                found.append(f"{path.relative_to(html)}: {target} is no place on its page")
    return found


class _Page(HTMLParser):
    """The targets of a page's links and images, and the places that a link can name."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.targets: dict[str, None] = {}  # in their order, each once
        self.places = {"", "top"}
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.places |= {given[key] for key in ("id", "name") if given.get(key)}
        if target := given.get("href") if tag in ("a", "link") else given.get("src"):
            self.targets[target] = None
