"""``make pages-check`` finds what it is meant to find: a page with every fault, and one with none."""

import os
import shutil
import subprocess

import pytest
from tiny_project import ROOT

PYTHON = ROOT / "_build" / "checks" / "bin" / "python"
HEAD = """<meta name="description" content="a"><meta property="og:title" content="a">
<meta property="og:image" content="a"><link rel="icon" href="data:,">"""
FAULTS = """<article style="width:600px">
<div class="bd-sidebar-primary">side</div>
<details><summary>Show code cell source</summary>folded</details>
<div class="cell_output"><div style="overflow-x:auto"><table><tr><th>flips_avoided</th></tr>
<tr><td style="white-space:nowrap">{wide}</td></tr></table></div>
<img src="gone.png" alt="a"><div style="background:white;width:300px;height:300px"></div></div>
<a href="no.html">one</a> <a href="#nowhere">two</a>
<script>console.error("told"); throw new Error("thrown")</script>
<script src="https://example.org/x.js"></script></article><!--{heavy}-->"""
TOLD = """asks the network for https://example.org/x.js
has an error in its console: told
its script fails: thrown
is wider than its window
has a table that is cut: by
has an image that is not there
has a figure or a table of a chapter without a number: flips_avoided
has a name of code above a column: flips_avoided
has a fold that says nothing: Show code cell source
does not say what it is: meta[name=description]
weighs 2.1 MB, allowed are 2
has a light slab in the dark
serious, Scrollable region must have keyboard access
loses folded text in print
is wider than paper in print: flips_avoided
prints what is no text: .bd-sidebar-primary
prints light letters: rgb 238 238 238
leads nowhere: no.html
leads nowhere: page.html#nowhere
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.is_file(), reason="`make pages-check` has not been run here"),
    pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium"),
]


def check(folder, head, body, colours):
    page = f'<!doctype html><html lang="en"><head><title>a</title>{head}</head>'
    (folder / "html").mkdir()
    text = f'{page}<body style="{colours}"><main><h1>a</h1>{body}</main></body></html>'
    (folder / "html" / "page.html").write_text(text)
    command = [PYTHON, "-m", "checks.pages", folder / "html"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    where = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run(command, **where, check=False)
    return done.returncode, done.stdout


def test_every_fault_is_found(tmp_path):
    body = FAULTS.format(wide="wide " * 40, heavy="x" * 2_100_000)
    status, said = check(tmp_path, "", body, "background:#111;color:#eee")
    assert status == 1
    assert [line for line in TOLD.splitlines() if line not in said] == []


def test_a_sound_page_has_none(tmp_path):
    style = "<style>@media (prefers-color-scheme: dark) { body {background: #111; color: #eee} }"
    style += "@media print { body {background: #fff; color: #000} }</style>"
    links = [f'<a href="page.html{end}" style="color:inherit">a page</a>' for end in ("", "#n=33")]
    body = f"<article><p>Text and {' and '.join(links)}</p></article>"
    status, said = check(tmp_path, HEAD + style, body, "")
    assert (status, said.count("\n")) == (0, 1), said
