"""Open every page of a rendered book in Chromium: whole, readable, accessible, without network.

``python -m checks.pages [FOLDER]``; the folder is ``_build/html`` unless it is given. Each page is opened as
wide as a desktop's window and as a phone's, by day and by night, and as it is printed; :data:`CHECKS` says what
is looked at. Exits with 1 for a finding. Where there is no Chromium it says so and exits with 0.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from PIL import Image
from playwright.sync_api import ConsoleMessage, Page, Request, Route, sync_playwright

__all__ = ["CHECKS", "main"]

#: Width in pixels and colours of a window; a phone is narrower than 600.
VIEWS = ((1440, "light"), (1440, "dark"), (390, "light"), (390, "dark"))
#: Width in pixels of a sheet of A4 between its margins.
SHEET = 718
#: Bytes of a page with its images.
WEIGHT = 2_000_000
#: Luminance, of 255, from which a square of :data:`SQUARE` pixels in the dark is a light slab.
LIGHT, SQUARE = 170, 80
#: Findings of axe-core that count; see https://github.com/dequelabs/axe-core/blob/develop/doc/API.md.
SEVERE = ("serious", "critical")
OPTIONS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]

#: What is looked at in a window: a script that lists the faults.
CHECKS = {
    "is wider than its window": """
        const wide = document.documentElement.scrollWidth - window.innerWidth;
        return wide > 1 ? [`${wide} pixels`] : [];""",
    # On a phone a table may scroll, if it says so; elsewhere none may.
    "has a table that is cut": """
        const phone = window.innerWidth < 600, found = [];
        for (const table of document.querySelectorAll("article table")) {
          let cut = 0, told = false;
          for (let box = table; box && box.tagName !== "BODY"; box = box.parentElement) {
            if (getComputedStyle(box).overflowX !== "visible" || box === table)
              cut = Math.max(cut, box.scrollWidth - box.clientWidth);
            told ||= box.classList.contains("scrolls") && box.tabIndex === 0;
          }
          const first = table.querySelector("tbody td, tbody th");
          const stays = first && getComputedStyle(first).position === "sticky";
          if (cut > 1 && !(phone && told && stays))
            found.push(`by ${cut} pixels: ${table.innerText.slice(0, 60)}`);
        }
        return found;""",
    "has an image that is not there": """
        return [...document.images].filter(one => one.complete && !one.naturalWidth).map(one => one.src);""",
    "has a figure or a table of a chapter without a number": """
        const shown = ".cell_output img, .cell_output table:not(.dataframe)";
        return [...document.querySelectorAll(`article :is(${shown})`)]
          .filter(one => !one.closest(":is(figure, table, .figure):has(.caption-number)"))
          .map(one => (one.alt || one.innerText || "").slice(0, 60));""",
    "has a name of code above a column": """
        return [...document.querySelectorAll("article table:not(.dataframe) th")]
          .map(one => one.innerText).filter(text => /[a-z]_[a-z]/.test(text));""",
    "has a fold that says nothing": """
        return [...document.querySelectorAll("article summary")]
          .map(one => one.innerText.trim()).filter(text => !text || /code cell/.test(text));""",
    "does not say what it is": """
        const head = ["meta[name=description]", "meta[property='og:title']", "meta[property='og:image']",
                      "link[rel~=icon]"];
        return document.querySelector("article") ? head.filter(one => !document.querySelector(one)) : [];""",
}
#: What is looked at on paper.
PRINTED = {
    "loses folded text in print": """
        return [...document.querySelectorAll("article details:not([open])")].map(one => one.innerText);""",
    "is wider than paper in print": """
        return [...document.querySelectorAll("article :is(table, pre, img)")]
          .filter(one => one.getBoundingClientRect().right > window.innerWidth + 1
                         || one.scrollWidth > one.clientWidth + 1 && one.tagName === "PRE")
          .map(one => (one.innerText || one.alt || "").slice(0, 60));""",
    "prints what is no text": """
        return [".bd-sidebar-primary", ".bd-sidebar-secondary", ".bd-header-article", ".prev-next-footer"]
          .filter(one => document.querySelector(one)?.getClientRects().length);""",
    "prints light letters": """
        const [r, g, b] = getComputedStyle(document.querySelector("article, main")).color.match(/[\\d.]+/g);
        return 0.3 * r + 0.6 * g + 0.1 * b > 110 ? [`rgb ${r} ${g} ${b}`] : [];""",
}
_TARGETS = """() => [[...document.querySelectorAll("a[href]")].map(one => one.href),
    [...document.querySelectorAll("[id]")].map(one => one.id)]"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _served(html: Path) -> Iterator[str]:
    """The address of a folder, served on this machine: pages read from files may load no fonts."""
    handler = partial(_Quiet, directory=html)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@dataclass
class Visit:
    """A page at one view, and what was found there, a line each."""

    page: Page
    html: Path
    base: str
    found: list[str] = field(default_factory=list)
    weight: int = 0

    def __post_init__(self) -> None:
        self.page.route("**/*", self._local)
        self.page.on("request", self._weigh)
        self.page.on("pageerror", lambda error: self.found.append(f"its script fails: {error}"))
        self.page.on("console", self._hear)

    def _local(self, route: Route) -> None:
        if route.request.url.startswith((self.base, "data:", "blob:")):
            route.continue_()
        else:
            self.found.append(f"asks the network for {route.request.url}")
            route.abort()

    def _weigh(self, request: Request) -> None:
        path = self.html / unquote(urlsplit(request.url).path).lstrip("/")
        if request.resource_type in ("document", "image") and path.is_file():
            self.weight += path.stat().st_size

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "net::ERR_FAILED" not in message.text:  # told of by _local
            where = message.location.get("url", "").removeprefix(self.base)
            self.found.append(f"has an error in its console: {message.text[:160]} ({where})")

    def look(self, checks: dict[str, str]) -> None:
        """Run scripts in the page and note their findings."""
        for what, script in checks.items():
            for where in self.page.evaluate(f"() => {{{script}}}"):
                self.found.append(f"{what}: {' '.join(str(where).split())}")


def main(arguments: list[str]) -> int:
    """Check all pages below a folder; screenshots go to ``_build/pages``."""
    html = Path(arguments[0] if arguments else "_build/html").resolve()
    pages = sorted(path for path in html.rglob("*.html") if _is_page(path))
    if not pages:
        print(f"error: no page below {html}: render the book first", file=sys.stderr)
        return 1
    browser = _chromium()
    if not browser:
        print("skipped: no Chromium; install one, or name it in $CHROMIUM")
        return 0
    shots = Path("_build/pages")
    shots.mkdir(parents=True, exist_ok=True)
    findings, targets = 0, {}
    with sync_playwright() as playwright, _served(html) as base:
        started = playwright.chromium.launch(executable_path=browser, args=OPTIONS)
        for path in pages:
            name = path.relative_to(html)
            for width, scheme in VIEWS:
                viewport = {"width": width, "height": 900}
                page = started.new_page(viewport=viewport, color_scheme=scheme)
                visit = Visit(page, html, base)
                page.goto(base + quote(name.as_posix()), wait_until="load")
                _check(visit, shots / f"{path.stem}-{width}-{scheme}.png", width, scheme)
                targets[path] = page.evaluate(_TARGETS)
                page.close()
                findings += len(visit.found)
                for text in visit.found:
                    print(f"{name} at {width}, {scheme}: {text}", flush=True)
        started.close()
        dead = _dead_links(targets, html, base)
    print(
        "".join(f"{path.relative_to(html)} leads nowhere: {link}\n" for path, link in dead), end=""
    )
    findings += len(dead)
    print(f"{len(pages)} pages at {len(VIEWS)} views: {findings} findings; see {shots}")
    return int(findings > 0)


def _is_page(path: Path) -> bool:
    """Whether a file is read by people: no template, and not only a way to another page."""
    return "_static" not in path.parts and 'http-equiv="Refresh"' not in path.read_text("utf-8")


def _chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def _check(visit: Visit, shot: Path, width: int, scheme: str) -> None:
    """Note what is wrong with a page at its view, and on paper."""
    page = visit.page
    page.wait_for_timeout(500)  # formulas are set after the page has loaded
    page.screenshot(path=shot, full_page=True)
    visit.look(CHECKS)
    if visit.weight > WEIGHT:
        visit.found.append(f"weighs {visit.weight / 1e6:.1f} MB, allowed are {WEIGHT / 1e6:.0f}")
    if scheme == "dark":
        page.add_style_tag(content="img.photo, iframe {visibility: hidden !important}")
        visit.found += _light_slabs(page)
    if (width, scheme) == VIEWS[-1]:
        return  # its layout and its colours have been seen
    _axe(visit)
    page.set_viewport_size({"width": SHEET, "height": 1000})
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    visit.look(PRINTED)


def _light_slabs(page: Page) -> list[str]:
    """The place of the lightest square of a page in the dark, if it is as light as paper."""
    at = Path("_build/pages/dark.png")
    page.screenshot(path=at, full_page=True)
    with Image.open(at) as image:
        squares = image.convert("L").reduce(SQUARE)
    at.unlink()
    values = squares.tobytes()
    if max(values) < LIGHT:
        return []
    row, column = divmod(values.index(max(values)), squares.width)
    return [f"has a light slab in the dark at {column * SQUARE}, {row * SQUARE}"]


def _axe(visit: Visit) -> None:
    visit.page.add_script_tag(path=str(files("axe_playwright_python") / "axe.min.js"))
    result = visit.page.evaluate("axe.run(document, {resultTypes: ['violations'], preload: false})")
    for violation in result["violations"]:
        if violation["impact"] in SEVERE:
            nodes = violation["nodes"]
            where = nodes[0]["html"][:160].replace("\n", " ")
            visit.found.append(
                f"{violation['impact']}, {violation['help']} ({violation['id']}), "
                f"{len(nodes)} times, first {where}"
            )


def _dead_links(
    targets: dict[Path, tuple[list[str], list[str]]], html: Path, base: str
) -> list[tuple[Path, str]]:
    """Links of the pages to a file or a place of a page that is not there."""
    found = []
    for path, (links, _) in targets.items():
        for link in dict.fromkeys(links):
            parts = urlsplit(link)
            to, place = html / unquote(parts.path).lstrip("/"), unquote(parts.fragment)
            place = "" if "=" in place else place  # a state, such as the explorer's, is no place
            there = to.exists() and (not place or to not in targets or place in targets[to][1])
            if link.startswith(base) and not there:
                found.append((path, link.removeprefix(base)))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
