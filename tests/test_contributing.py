"""The map of the house in CONTRIBUTING.md is true."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def mapped(text):
    """Every path that the map names."""
    (block,) = re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    folders, found = {}, []
    for line in block.splitlines():
        depth = len(line) - len(line.lstrip())
        names = re.match(r"\s*((?:[\w.]+(?:\.py|/) ?)+)", line)[1].split()
        above = [folders[d] for d in sorted(folders) if d < depth]
        base = above[-1] if above else Path()
        found += [base / name for name in names]
        if names[0].endswith("/"):
            folders = {d: f for d, f in folders.items() if d < depth} | {depth: base / names[0]}
    return found


def test_the_map_names_what_is_there_and_leaves_no_module_out():
    paths = mapped((ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    for path in paths:
        assert (ROOT / path).exists(), path
    modules = {p.relative_to(ROOT) for p in (ROOT / "baq").rglob("*.py")}
    assert {p for p in modules if p.name != "__init__.py"} <= set(paths)


def test_a_path_that_is_not_there_is_found():
    assert mapped("```\nbaq/ x\n  nowhere.py  y\n```") == [Path("baq"), Path("baq/nowhere.py")]
    assert not (ROOT / "baq" / "nowhere.py").exists()
