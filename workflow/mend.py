"""Put right what the theme leaves wrong in every rendered page."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["mend"]

#: What is replaced, and by what.
_FAULTS = [
    # A script for running cells on a server, which is defined twice and fails; no page has its button.
    (re.compile(r"<script>const THEBE_JS_URL.*?</script>\s*"), ""),
    (re.compile(r'<script[^>]*src="[^"]*sphinx-thebe\.js[^"]*"[^>]*></script>\s*'), ""),
    (re.compile(r'<script type="text/x-thebe-config">.*?</script>\s*', re.DOTALL), ""),
    # A list of which no child is an item.
    (re.compile(r'<div role="list" class="citation-list">'), '<div class="citation-list">'),
    # What scrolls must be reached by the keyboard.
    (
        re.compile(r'<div class="(pst-scrollable-table-container|output text_html)">'),
        r'<div class="\1" tabindex="0">',
    ),
]
#: The search page has the field of every page's header, and its own of the same name.
_SEARCH = re.compile(r'(id="search-input".*)id="search-input"', re.DOTALL)


def mend(html: Path) -> None:
    """Mend all pages below a folder in place; mended pages stay as they are."""
    for path in html.rglob("*.html"):
        text = path.read_text("utf-8")
        for fault, instead in _FAULTS:
            text = fault.sub(instead, text)
        path.write_text(_SEARCH.sub(r'\1id="search-input-page"', text), "utf-8")
