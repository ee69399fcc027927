"""Rendered pages: dead links are found, and what the theme leaves wrong is mended."""

import runpy
import shutil

import pytest
from tiny_project import BODY, ROOT, command, write_chapter

from workflow.gate import stale
from workflow.project import Project

EXTENSION = runpy.run_path(str(ROOT / "book" / "_ext" / "finished_pages.py"))
broken_links, mend = EXTENSION["broken_links"], EXTENSION["mend"]
PAGE = """<html><head><script>const THEBE_JS_URL = "https://a.b"; const c = "pre"</script>
<script async="async" src="../_static/sphinx-thebe.js?v=1"></script><script>const kept = 1</script></head>
<body id="body"><div role="list" class="citation-list"></div>
<div class="pst-scrollable-table-container"><table></table></div><div class="output text_html"></div>
<input id="search-input"><input id="search-input"></body></html>"""


def test_dead_links_and_places_are_found(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "macro.html").write_text('<a href="{{ template }}">')
    (tmp_path / "a picture.svg").write_text("")
    (tmp_path / "index.html").write_text('<a href="book/one.html#here"><img src="a%20picture.svg">')
    links = (
        "../index.html",
        "#here",
        "#",
        "https://example.org/x",
        "mailto:a@b",
        "../gone.html",
        "#gone",
    )
    links += ("../index.html#gone", "..")
    body = "".join(f'<a href="{link}">' for link in links)
    (tmp_path / "book" / "one.html").write_text(f'<p id="here">{body}<img src="gone.svg"></p>')
    assert broken_links(tmp_path) == [
        "book/one.html: ../gone.html is no file",
        "book/one.html: #gone is no place on its page",
        "book/one.html: ../index.html#gone is no place on its page",
        "book/one.html: gone.svg is no file",
    ]


def test_faults_of_the_theme_are_mended_once(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(PAGE)
    mend(tmp_path)
    text = path.read_text()
    assert "THEBE" not in text and "sphinx-thebe" not in text and "const kept = 1" in text
    assert 'role="list"' not in text and text.count('tabindex="0"') == 2
    assert text.count('id="search-input"') == 1 and text.count('id="search-input-page"') == 1
    mend(tmp_path)
    assert path.read_text() == text


def test_drawings_load_late_in_the_room_that_their_files_say(tmp_path):
    (tmp_path / "_images").mkdir()
    (tmp_path / "book").mkdir()
    drawing = (
        '<?xml version="1.0"?>\n<svg width="300.4pt" viewBox="0 0 300.4 99.6" version="1.1"></svg>'
    )
    (tmp_path / "_images" / "a b.svg").write_text(drawing)
    (tmp_path / "_images" / "odd.svg").write_text("<svg>")
    path, tag = tmp_path / "book" / "page.html", '<img alt="1 > 0" src="../_images/a%20b.svg" />'
    others = '<img src="../_images/odd.svg" /><img src="../_images/a.png" /><img src="gone/_images/a.svg">'
    path.write_text(tag.replace(" > ", " &gt; ") + others)
    mend(tmp_path, late=False)
    assert "loading" not in path.read_text()
    for _ in range(2):
        mend(tmp_path)
        late = f'<img loading="lazy" width="300" height="100" {tag[5:]}'
        assert path.read_text() == late.replace(" > ", " &gt; ") + others


TOTAL = """\
import os
from pathlib import Path
import pandas as pd
tables = Path(os.environ["BAQ_TABLES"])
total = sum(len(pd.read_csv(path)) for path in tables.glob("*/a.csv"))
(Path(os.environ["BAQ_RESULTS"]) / "total.csv").write_text(f"total\\n{total}\\n")
"""


@pytest.mark.slow
def test_a_page_follows_the_tables_of_all_chapters(root):
    write_chapter(root, "total", TOTAL)
    source = root / "notebooks" / "total.py"
    source.write_text(source.read_text().replace("threads: 1}", "threads: 1, reads: tables}"))
    toc = root / "_toc.yml"
    toc.write_text(
        toc.read_text().replace("  - file: book/01", "  - file: book/total\n  - file: book/01")
    )
    done = command(root, "book")
    assert done.returncode == 0, done.stderr
    made = root / "book" / "results" / "total" / "total.csv"
    assert made.read_text() == "total\n4\n"
    assert (root / "_build" / "html" / "book" / "total.html").is_file()
    assert command(root, "book", "--dry-run").stdout.split() == []

    project = Project(root)
    (page,) = project.pages
    assert [chapter.name for chapter in project.chapters] == ["01-one", "02-two"]
    table = root / "book" / "results" / "02-two" / "a.csv"
    before = table.read_text()
    table.write_text("i\n1\n1\n1\n")
    assert stale(project, page, "full") == [
        "the tables that it reads have changed since it was executed"
    ]
    table.write_text(before)
    assert not stale(project, page, "full")

    done = command(root, "run", "total", "-p", "rows", "3", "--no-page")
    assert done.returncode == 0, done.stderr
    (run,) = (root / "runs").glob("total-*/results/total/total.csv")
    assert run.read_text() == "total\n4\n", "a run of a page reads the tables of the book"

    write_chapter(root, "02-two", BODY.replace("* rows", "* 3 * rows"), "photos")
    assert set(command(root, "book", "--dry-run").stdout.split()) == {"02-two", "total", "render"}
    assert command(root, "book").returncode == 0
    assert made.read_text() == "total\n8\n"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium")
def test_the_book_is_printed_and_offered_until_it_changes(root):
    assert command(root, "book").returncode == 0
    page = root / "_build" / "html" / "book" / "intro.html"
    assert "book.pdf" not in page.read_text()
    done = command(root, "pdf")
    assert done.returncode == 0, done.stderr
    pdf = root / "_build" / "html" / "_static" / "book.pdf"
    assert pdf.read_bytes()[:5] == b"%PDF-" and done.stdout.strip() == str(pdf)
    assert 'href="../_static/book.pdf"' in page.read_text()
    assert command(root, "book", "--dry-run").stdout.split() == []
    (root / "book" / "intro.md").write_text("# Another\n")
    assert command(root, "book").returncode == 0
    assert "book.pdf" not in page.read_text() and not pdf.exists()
