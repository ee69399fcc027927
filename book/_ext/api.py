"""A Sphinx extension: references to the API find a function under each of its names, and chapters link to it.

A function may be named by the module that it is written in, and documented under the room that offers it.
Below an executed notebook there stand links to what its code calls, shown or not.
"""

import ast
import re
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment


def setup(app: Sphinx) -> dict[str, Any]:
    """Resolve what the domain of Python does not find, and link what the code of a page calls."""
    app.connect("autodoc-process-docstring", _escape_shapes)
    app.connect("missing-reference", _elsewhere)
    app.connect("doctree-resolved", _link_calls)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _escape_shapes(
    app: Sphinx, what: str, name: str, of: Any, options: Any, lines: list[str]
) -> None:
    """A shape such as (N, *) begins no emphasis."""
    for k, line in enumerate(lines):
        parts = line.split("``")  # every second one is a literal
        parts[::2] = [re.sub(r"(?<=, )\*(?=[,)])", r"\\*", part) for part in parts[::2]]
        lines[k] = "``".join(parts)


def _object(name: str) -> Any:
    """What a dotted name stands for; None for what is not there."""
    parts = name.split(".")
    for k in range(len(parts) - 1, 0, -1):
        try:
            found: Any = import_module(".".join(parts[:k]))
        except ImportError:
            continue
        for part in parts[k:]:
            found = getattr(found, part, None)
        return found
    return None


def documented(env: BuildEnvironment, name: str) -> str | None:
    """The name under which a function or class of ``baq`` is documented; None where it is not."""
    objects = env.domaindata["py"]["objects"]
    if not name.startswith("baq.") or name in objects:
        return name if name in objects else None
    wanted = _object(name)
    if not callable(wanted):
        return None
    last = name.rpartition(".")[2]
    same = (key for key in objects if key.rpartition(".")[2] == last and _object(key) is wanted)
    return next(same, None)


def _elsewhere(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.TextElement
) -> nodes.Element | None:
    if node.get("refdomain") != "py" or not (name := documented(env, node["reftarget"])):
        return None
    return _reference(app, env, node.get("refdoc", ""), name, content)


def _reference(
    app: Sphinx, env: BuildEnvironment, page: str, name: str, content: nodes.TextElement
) -> nodes.Element | None:
    node = addnodes.pending_xref("", refdomain="py", reftype="obj", reftarget=name)
    domain = env.get_domain("py")
    return domain.resolve_xref(env, page, app.builder, "obj", name, node, content)


def called(cells: Iterable[str]) -> list[str]:
    """The dotted names of ``baq`` that pieces of code import, or reach by a module that they import."""
    bound, found = {}, {}
    for source in cells:
        try:
            tree = ast.parse(source)
        except SyntaxError:  # a command of a shell
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("baq."):
                for alias in node.names:
                    bound[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in bound:
                found[bound[node.id]] = None
            elif isinstance(node, ast.Attribute):
                room = bound.get(getattr(node.value, "id", ""))
                found |= {f"{room}.{node.attr}": None} if room else {}
    return list(found)


def _link_calls(app: Sphinx, tree: nodes.document, page: str) -> None:
    source = Path(app.env.doc2path(page))
    section = next(iter(tree.findall(nodes.section)), None)
    if source.suffix != ".ipynb" or section is None:
        return
    cells = nbformat.read(source, as_version=4).cells
    links: dict[str, nodes.Element | None] = {}
    for name in called(cell.source for cell in cells if cell.cell_type == "code"):
        if found := documented(app.env, name):
            last = nodes.literal("", found.rpartition(".")[2])
            links[found] = _reference(app, app.env, page, found, last)
    if links:
        line = nodes.paragraph("", "In the API: ", classes=["api-links"])
        for k, link in enumerate(links.values()):
            line += [nodes.Text(", ")] * bool(k) + [link]
        line += nodes.Text(".")
        section += line
