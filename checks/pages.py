"""Open every page of a rendered book in Chromium: accessible, no wider than a phone, without network.

``python -m checks.pages [FOLDER]``; the folder is ``_build/html`` unless it is given. Exits with 1 for a
finding. Where there is no Chromium it says so and exits with 0.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib.resources import files
from pathlib import Path

from playwright.sync_api import Page, Route, sync_playwright

__all__ = ["main"]

#: Width in pixels and colours of a desktop's window, by day and by night, and of a phone's.
VIEWS = ((1280, "light"), (1280, "dark"), (390, "light"))
#: Findings of axe-core that count; see https://github.com/dequelabs/axe-core/blob/develop/doc/API.md.
SEVERE = ("serious", "critical")
OPTIONS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def main(arguments: list[str]) -> int:
    """Check all pages below a folder; screenshots go to ``_build/pages``."""
    html = Path(arguments[0] if arguments else "_build/html").resolve()
    pages = sorted(path for path in html.rglob("*.html") if "_static" not in path.parts)
    if not pages:
        print(f"error: no page below {html}: render the book first", file=sys.stderr)
        return 1
    browser = _chromium()
    if not browser:
        print("skipped: no Chromium; install one, or name it in $CHROMIUM")
        return 0
    shots = Path("_build/pages")
    shots.mkdir(parents=True, exist_ok=True)
    findings = 0
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser, args=OPTIONS)
        for path in pages:
            for width, scheme in VIEWS:
                viewport = {"width": width, "height": 900}
                page = started.new_page(viewport=viewport, color_scheme=scheme)
                shot = shots / f"{path.stem}-{width}-{scheme}.png"
                found = _check(page, path, shot)
                page.close()
                findings += len(found)
                for text in found:
                    print(f"{path.relative_to(html)} at {width}, {scheme}: {text}")
        started.close()
    print(f"{len(pages)} pages at {len(VIEWS)} views: {findings} findings; see {shots}")
    return int(findings > 0)


def _chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def _check(page: Page, path: Path, shot: Path) -> list[str]:
    """What is wrong with a page at the width of its window, a line each."""
    found: list[str] = []

    def local(route: Route) -> None:
        url = route.request.url
        if url.startswith(("file:", "data:", "blob:")):
            route.continue_()
        else:
            found.append(f"asks the network for {url}")
            route.abort()

    page.route("**/*", local)
    page.on("pageerror", lambda error: found.append(f"its script fails: {error}"))
    page.goto(path.as_uri(), wait_until="load")
    page.wait_for_timeout(500)  # formulas are set after the page has loaded
    page.screenshot(path=shot, full_page=True)
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    if wide > 1:
        found.append(f"is {wide} pixels wider than its window")
    page.add_script_tag(path=str(files("axe_playwright_python") / "axe.min.js"))
    result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    for violation in result["violations"]:
        if violation["impact"] in SEVERE:
            nodes = violation["nodes"]
            where = nodes[0]["html"][:160].replace("\n", " ")
            found.append(
                f"{violation['impact']}, {violation['help']} ({violation['id']}), "
                f"{len(nodes)} times, first {where}"
            )
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
