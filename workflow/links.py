"""Links of a rendered site that lead nowhere."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["broken_links"]


def broken_links(html: Path) -> list[str]:
    """Links and images of the pages below a folder whose file or place is missing, a line for each.

    Links to other hosts are not followed, and templates of the theme in ``_static`` not read.
    """
    paths = [path for path in html.rglob("*.html") if "_static" not in path.parts]
    pages = {path: _read(path) for path in sorted(paths)}
    found = []
    for path, (targets, _) in pages.items():
        for target in targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            to = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            to = to / "index.html" if to.is_dir() else to
            if not to.is_file():
                found.append(f"{path.relative_to(html)}: {target} is no file")
            elif parts.fragment and to in pages and unquote(parts.fragment) not in pages[to][1]:
                found.append(f"{path.relative_to(html)}: {target} is no place on its page")
    return found


def _read(path: Path) -> tuple[list[str], set[str]]:
    page = _Page()
    page.feed(path.read_text("utf-8"))
    return list(dict.fromkeys(page.targets)), page.places


class _Page(HTMLParser):
    """The targets of a page's links and images, and the places that a link can name."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.places = {"", "top"}

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.places |= {given[key] for key in ("id", "name") if given.get(key)}
        target = given.get("href") if tag in ("a", "link") else given.get("src")
        if target:
            self.targets.append(target)
