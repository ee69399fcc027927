"""Captions, descriptions and the print: a book of two pages, rendered as ours is."""

import re
import runpy
import shutil

import jupytext
import nbformat
import pytest
import yaml
from docutils import nodes
from docutils.utils import new_document
from tiny_project import ROOT

from workflow.project import Project
from workflow.site import jupyter_book

PARTS = """format: jb-book
root: book/intro
parts:
  - caption: First
    chapters:
      - file: book/claims
  - caption: Chapters
    numbered: 1
    chapters:
      - file: book/01-one
      - file: book/02-two
"""
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TABLE = "<table><tr><td>0.5 [0.25, 1.0] of 2,049</td></tr></table>"
OUTPUTS = {
    "figure": {"image/png": PIXEL},
    "photo": {"text/html": '<figure aria-label="A"><img class="photo" alt="A"></figure>'},
    "table": {"text/html": TABLE},
    "markdown": {"text/markdown": "| a |\n| --- |\n| b |"},
    "titled": {"text/markdown": "```{table} Its own.\n\n| a |\n| --- |\n| b |\n```"},
}


def cell(*kinds, **metadata):
    outputs = [nbformat.v4.new_output("display_data", OUTPUTS[kind]) for kind in kinds]
    metadata = {"tags": ["remove-input"]} | metadata
    return nbformat.v4.new_code_cell("x", outputs=outputs, metadata=metadata)


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    (site / "book" / "results" / "02-two").mkdir(parents=True)
    (site / "book" / "results" / "02-two" / "rows.csv").write_text("a\n1\n")
    shutil.copy(ROOT / "_config.yml", site)
    for folder in ("_static", "_ext"):
        shutil.copytree(ROOT / "book" / folder, site / "book" / folder)
    (site / "book" / "references.bib").write_text("")
    (site / "book" / "intro.md").write_text("# A book\n\nIt says this &\nthat.\n")
    (site / "book" / "claims.md").write_text("# Claims\n\n:::{note}\nNot this.\n:::\n")
    (site / "_toc.yml").write_text(PARTS)
    cells = {
        "01-one": [cell("figure", caption="One <first>."), cell("table")],
        "02-two": [
            cell(
                "photo", "figure", "figure", caption=["The A.", "B.", "C."], data=["rows", "gone"]
            ),
            cell("table", "markdown", caption=["A table.", "Another."]),
            cell("titled"),
            cell("figure", "table", caption="Of the figure alone."),
        ],
    }
    for name, made in cells.items():
        title = nbformat.v4.new_markdown_cell(f"# Chapter {name}")
        notebook = nbformat.v4.new_notebook(cells=[title, *made])
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "",
            "language": "python",
        }
        notebook.metadata["language_info"] = {"name": "python"}
        nbformat.write(notebook, site / "book" / f"{name}.ipynb")
    output = site.parent / "output"
    log = site / "log"
    assert jupyter_book(site, output, log, "-W", "--keep-going"), log.read_text()[-2000:]
    return output / "_build" / "html" / "book"


def captions(path):
    found = re.findall(
        r'caption-number">([^<]*)</span>\s*<span class="caption-text">(.*?)<', path.read_text()
    )
    return [f"{number.strip()} {text}" for number, text in found]


def test_captions_are_numbered_by_chapter_and_kind(html):
    assert captions(html / "01-one.html") == ["Figure 1.1 One &lt;first&gt;."]
    assert captions(html / "02-two.html") == [
        *("Figure 2.1 The A.", "Figure 2.2 B.", "Figure 2.3 C."),
        *("Table 2.1 A table.", "Table 2.2 Another.", "Table 2.3 Its own."),
        "Figure 2.4 Of the figure alone.",
    ]
    ids = re.findall(r' id="((?:figure|table)-[^"]*)"', (html / "02-two.html").read_text())
    assert len(set(ids)) == len(ids) == 6  # the table with a title has an id of its own


def test_data_that_are_there_are_linked_below_the_first_drawing(html):
    text = (html / "02-two.html").read_text()
    assert text.count("rows.csv</span>") == 1 and "gone.csv" not in text
    assert text.index("The A.") < text.index("B.</span>") < text.index("rows.csv</span>")
    assert text.index("rows.csv</span>") < text.index("C.</span>")


def test_an_interval_is_one_word_and_a_table_takes_the_keyboard(html):
    text = (html / "01-one.html").read_text()
    assert "0.5 [0.25,&#160;1.0] of 2,049" in text
    assert '<div class="output text_html" tabindex="0">' in text


def test_every_page_says_what_it_is(html):
    intro, claims = ((html / f"{name}.html").read_text() for name in ("intro", "claims"))
    said = 'content="It says this &amp; that." />'
    assert f'<meta name="description" {said}' in intro
    assert f'<meta property="og:description" {said}' in intro
    assert '<meta property="og:title" content="A book" />' in intro
    assert "Not this" not in claims.split("</head>")[0]
    assert '<meta property="og:image" content="../_static/preview.png" />' in intro
    assert (html.parent / "_static" / "preview.png").is_file()
    assert re.search(r'rel="icon" href="\.\./_static/favicon\.svg', intro)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("One. Two.", "One. Two."),
        ("One is short. " + "Two is long " * 20, "One is short."),
        (
            "By O. M. Kiselev " + "and others " * 20,
            "By O. M. Kiselev " + "and others " * 16 + "and …",
        ),
    ],
)
def test_a_description_ends_with_a_sentence_where_one_fits(text, said):
    page, section = new_document(""), nodes.section()
    section += nodes.paragraph("", text)
    page += section
    describe = runpy.run_path(str(ROOT / "book" / "_ext" / "previews.py"))["description"]
    assert describe(page) == said


def test_the_sidebar_has_its_groups_and_the_project_reads_them(html, tmp_path):
    text = (html / "intro.html").read_text()
    groups = re.findall(r'class="caption-text">([^<]*)<', text.split("</nav>")[0])
    assert [group for group in groups if group in ("First", "Chapters")] == ["First", "Chapters"]
    assert "1. Chapter 01-one" in text and "2. Chapter 02-two" in text
    (tmp_path / "_toc.yml").write_text(PARTS)
    (tmp_path / "notebooks").mkdir()
    for name in ("claims", "01-one", "02-two"):
        (tmp_path / "notebooks" / f"{name}.py").write_text("# %%\n")
    project = Project(tmp_path)
    assert [chapter.name for chapter in project.chapters] == ["01-one", "02-two"]
    assert project._listed == ["intro", "claims", "01-one", "02-two"]


def shown(name):
    """The cells of a page that show a figure or a table, by their source."""
    words = ("charts.", "plt.subplots", "stepper(", "label_maps(", "boundary_overlay(")
    words += ("tables.show", "tables.styled", "excerpt(", "_table(")
    for made in jupytext.read(ROOT / "notebooks" / f"{name}.py", fmt="py:percent").cells:
        if made.cell_type == "code" and any(word in made.source for word in words):
            yield made


#: Pages whose cells have no captions yet.
NAMES = [entry.name for entry in Project(ROOT).notebooks]


@pytest.mark.parametrize("name", NAMES)
def test_what_a_page_shows_has_a_caption(name):
    lacking = [made.source for made in shown(name) if not made.metadata.get("caption")]
    assert lacking == []


@pytest.mark.parametrize("name", NAMES)
def test_no_fold_is_without_words(name):
    for made in jupytext.read(ROOT / "notebooks" / f"{name}.py", fmt="py:percent").cells:
        if "hide-input" in made.metadata.get("tags", []):
            assert made.metadata["mystnb"]["code_prompt_show"].startswith("Show how")


@pytest.mark.parametrize(
    ("browser", "told"),
    [("", "no Chromium to print the PDF: allowed are chromium, "), ("false", "printed no PDF: no")],
)
def test_a_browser_that_does_not_print_is_told_of_in_one_line(tmp_path, monkeypatch, browser, told):
    path = shutil.which(browser) if browser else None
    monkeypatch.setenv("CHROMIUM", path or "/no/such")
    monkeypatch.setenv("PATH", str(tmp_path))
    print_page = runpy.run_path(str(ROOT / "book" / "_ext" / "printed.py"))["print_page"]
    said = print_page(tmp_path / "a.html", tmp_path / "a.pdf")
    assert told in said and "\n" not in said


def test_parts_have_captions():
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))["parts"]
    assert len(parts) == 3 and all(part["caption"] for part in parts)
    assert [bool(part.get("numbered")) for part in parts] == [False, True, False]
