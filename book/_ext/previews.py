"""A Sphinx extension: what a link to a page shows elsewhere, by its description and Open Graph tags.

The picture has a whole address, which other sites ask for, where ``$BAQ_SITE_URL`` names the site's.
"""

import html
import os
import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

#: Drawn for this book, 1200 by 630 pixels.
_IMAGE = "_static/preview.png"


def setup(app: Sphinx) -> dict[str, Any]:
    """Have every page describe itself."""
    app.connect("html-page-context", _describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _describe(
    app: Sphinx, name: str, _: str, context: dict[str, Any], document: nodes.document | None
) -> None:
    title = app.config.html_title
    if document is not None and (first := next(document.findall(nodes.title), None)):
        title = first.astext()  # context has the title as HTML
    said = {
        "description": description(document) or app.config.html_title,
        "og:title": title,
        "og:type": "article",
        "og:site_name": app.config.html_title,
    }
    said["og:description"] = said["description"]
    base = os.environ.get("BAQ_SITE_URL") or app.config.html_baseurl
    said["og:image"] = f"{base.rstrip('/')}/{_IMAGE}" if base else context["pathto"](_IMAGE, 1)
    said["twitter:card"] = "summary_large_image"
    lines = [
        f'<meta {"property" if key.startswith("og:") else "name"}="{key}" '
        f'content="{html.escape(value)}" />'
        for key, value in said.items()
    ]
    context["metatags"] = "\n".join([context.get("metatags", ""), *lines])


def description(document: nodes.document | None, most: int = 200) -> str:
    """The first sentences of a page's first paragraph of running text, or its beginning, cut between words."""
    if document is None:
        return ""
    for paragraph in document.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section):
            words = " ".join(paragraph.astext().split())
            if len(words) <= most:
                return words
            whole = re.match(r".*[^A-Z][.?!](?= )", words[: most + 1])
            return whole[0] if whole else words[:most].rsplit(" ", 1)[0] + " …"
    return ""
