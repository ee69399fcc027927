"""Rendered pages: dead links are found, and what the theme leaves wrong is mended."""

from workflow.links import broken_links
from workflow.mend import mend

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
