"""No prose types a result: decimals and percentages are the paper's, a parameter's or a setting's.

A number that a run produced must come from an output or an include. Typed are allowed: what the paper
prints (``book/claims/``), the values of the chapter's parameters (on the book's own pages: of all
chapters), the level of the intervals, and versions of Python. Code, formulas, links and whole numbers
are not looked at, but for counts of the form "3 of 20".
"""

import inspect
import re
from pathlib import Path

import jupytext
import pytest
import yaml

from baq.report.stats import summarize
from workflow.parameters import declared
from workflow.project import Project

ROOT = Path(__file__).parents[1]
CHAPTERS = {chapter.name: chapter for chapter in Project(ROOT).chapters}
PAGES = sorted(
    [*(ROOT / "book").glob("*.md"), ROOT / "README.md", *(ROOT / "benchmarks").glob("*.md")]
)
DECIMAL = re.compile(r"(?<![\w.:/-])(?:\d[\d,]*(?:\.\d+)?\s?%|\d[\d,]*\.\d+(?!\w|\.\d))")
COUNT = re.compile(r"\b\d+ of \d+\b")
PYTHON = re.compile(r"Python (?:\d\.\d+(?:,? (?:to|or|and) |, )?)+")


def numbers(value):
    """All numbers in a nest of lists, mappings and texts."""
    if isinstance(value, dict):
        return numbers(list(value.values()))
    if isinstance(value, list):
        return {number for part in value for number in numbers(part)}
    if isinstance(value, bool):
        return set()
    try:
        return {float(value)}
    except (TypeError, ValueError):
        return set()


def parameters(names):
    values = [
        parameter.default for name in names for parameter in declared(CHAPTERS[name]).values()
    ]
    return numbers(values)


def typed(text):
    """The decimals, percentages and counts that a text has typed in its prose."""
    text = re.sub(r"(?ms)^ *(`{3,}|~{3,}).*?^ *\1`* *$", "", text)
    text = re.sub(r"(?s)\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\]\([^)]*\)", "", text)
    text = PYTHON.sub("", text)
    found = [match[0] for match in DECIMAL.finditer(text)]
    return [*found, *(match[0] for match in COUNT.finditer(text))]


def value(number):
    bare = float(number.rstrip("% ").replace(",", ""))
    return bare / 100 if number.endswith("%") else bare


def unaccounted(text, allowed):
    paper = numbers([claim["paper"] for claim in CLAIMS])
    paper |= numbers([claim.get("given", {}) for claim in CLAIMS])
    level = inspect.signature(summarize).parameters["level"].default
    fair = {round(number, 9) for number in (*paper, *allowed, level)}
    return [n for n in typed(text) if " of " in n or round(value(n), 9) not in fair]


FILES = (ROOT / "book" / "claims").glob("*.yml")
CLAIMS = [claim for path in FILES for claim in yaml.safe_load(path.read_text("utf-8"))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_page_types_a_result(path):
    assert unaccounted(path.read_text("utf-8"), parameters(CHAPTERS)) == []


@pytest.mark.parametrize("name", CHAPTERS)
def test_no_chapter_types_a_result(name):
    cells = jupytext.read(CHAPTERS[name].source, fmt="py:percent").cells
    prose = [cell.source for cell in cells if cell.cell_type == "markdown"]
    words = [cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "") for cell in cells]
    assert unaccounted("\n\n".join([*prose, *words]), parameters([name])) == []


def test_a_typed_result_is_found():
    page = """The median is 0.317 at 8 bits, and 5.3 % of labels change, or 6.1%, in 3 of 20 seeds, by 0.125.
It needs Python 3.11, 3.12 or 3.13 and `x = 0.5`, see [arXiv:2607.01478](https://a.b/2607.01478);
$J = 0.25$ with n = 241 and 10,000 images, 0.2 of them in the band.
```python
x = 0.75
```
"""
    assert typed(page) == ["0.317", "5.3 %", "6.1%", "0.125", "0.2", "3 of 20"]
    assert unaccounted(page, {0.2}) == ["0.317", "6.1%", "0.125", "3 of 20"]
