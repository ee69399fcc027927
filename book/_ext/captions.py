"""A Sphinx extension: what executed cells show has a caption, which Sphinx numbers.

The caption stands in the cell's metadata, ``caption="..."``, or a list of them for a cell with several
figures or tables. A table with a title of its own, such as one of the directive ``table``, keeps it.
Below a figure stand links to the tables that it draws, which its cell names, ``data=["NAME"]``, and below a table
one to its own, by the name of its elements; they lie in ``results`` beside the page, in the page's own folder.
"""

import html
import re
from pathlib import Path, PurePosixPath
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

#: The name of a table's elements, as pandas writes it.
_NAME = re.compile(r'<table id="T_([\w-]+)"')


class TableBox(nodes.General, nodes.Element):
    """A table of HTML, with its caption as text."""


def setup(app: Sphinx) -> dict[str, Any]:
    """Give every figure and table with a caption its place among those that are numbered."""
    app.add_enumerable_node(
        TableBox, "table", lambda box: box["caption"], html=(_open, lambda self, _: _close(self))
    )
    app.connect("doctree-read", _add_captions, priority=400)  # before downloads are collected
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _add_captions(app: Sphinx, document: nodes.document) -> None:
    for cell in document.findall(lambda node: _is(node, "cell_code")):
        given = cell["cell_metadata"].get("caption", [])
        captions = iter([given] if isinstance(given, str) else given)
        legend = _data(app, cell["cell_metadata"].get("data", []))
        for shown in list(cell.findall(lambda node: _is(node, "mime_bundle"))):
            kinds = [part["mime_type"] for part in shown]
            text = " ".join(raw.astext() for raw in shown.findall(nodes.raw))
            table = next(shown.findall(nodes.table), None)
            figure = "<figure" in text or any(kind.startswith("image/") for kind in kinds)
            if not (figure or "<table" in text or table) or not (caption := next(captions, "")):
                continue
            if figure:
                drawn = 'class="photo"' not in text  # pictures of inputs are no drawing of a table
                _wrap(shown, nodes.figure(), nodes.caption("", caption), *(legend if drawn else []))
                legend = [] if drawn else legend
            elif "<table" in text:
                own = [name.removeprefix("shown-") for name in _NAME.findall(text)]
                _wrap(shown, TableBox(caption=caption), *_data(app, own))
            elif not isinstance(table[0], nodes.title):
                table.insert(0, nodes.title("", caption))
    for node in document.findall(nodes.Element):
        if isinstance(node, nodes.figure | nodes.table | TableBox) and not node["ids"]:
            node["ids"].append(
                f"{'figure' if isinstance(node, nodes.figure) else 'table'}-{len(document.ids)}"
            )
            document.set_id(node)


def _data(app: Sphinx, names: list[str]) -> list[nodes.Node]:
    """A line of links to those of some tables that are there."""
    page = PurePosixPath(app.env.docname)
    links: list[nodes.Node] = []
    for name in names:
        target = f"results/{page.name}/{name}.csv"
        if Path(app.srcdir, page.parent, target).is_file():
            text = nodes.literal("", f"{name}.csv")
            links += [nodes.Text(", " if links else "Data: ")]
            links += [addnodes.download_reference("", "", text, reftarget=target)]
    return [nodes.legend("", nodes.paragraph("", "", *links))] if links else []


def _is(node: nodes.Node, kind: str) -> bool:
    return isinstance(node, nodes.container) and node.get("nb_element") == kind


def _wrap(shown: nodes.Node, box: nodes.Element, *more: nodes.Node) -> None:
    shown.replace_self(box)
    box += [shown, *more]


def _open(self: HTML5Translator, node: TableBox) -> None:
    self.body.append(self.starttag(node, "figure", CLASS="table-box") + "<figcaption><p>")
    self.add_fignumber(node)
    self.body.append(f'<span class="caption-text">{html.escape(node["caption"])}</span>')
    self.add_permalink_ref(node, "Link to this table")
    self.body.append("</p></figcaption>\n")


def _close(self: HTML5Translator) -> None:
    self.body.append("</figure>\n")
