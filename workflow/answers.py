"""Every claim with its answer and its verdict, from the tables of the chapters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from baq.report.claims import COLUMNS, claims, paper_text
from baq.report.verdicts import RULES, distance, standing, verdict
from workflow.outcome import load
from workflow.project import Project

__all__ = [
    "collect",
    "counts",
    "disagreements",
    "folders",
    "gathered",
    "judged",
    "summary",
    "write_table",
]

#: The columns of ``book/results/claims.csv``; ``run`` says whether its chapter is live or recorded.
JUDGED = (
    *("claim", "part", "quantity", "paper", "median", "lo", "hi", "n"),
    *("verdict", "chapter", "run"),
)


def collect(folders: Mapping[str, Path]) -> pd.DataFrame:
    """The answers of all chapters, with a column ``chapter``; claims of another chapter are dropped.

    Arguments:
        folders: chapter to the folder of its tables.
    """
    found = []
    for chapter, folder in folders.items():
        path = folder / "claims.csv"
        if path.is_file():
            table = pd.read_csv(path, dtype={"setting": str, "part": str, "paper": str})
            for name in ("setting", "part"):
                table[name] = table[name].fillna("") if name in table else ""
            own = [claims().get(claim, {}).get("chapter") == chapter for claim in table["claim"]]
            found.append(table[own].assign(chapter=chapter))
    empty = pd.DataFrame(columns=[*COLUMNS, "chapter"])
    return pd.concat(found, ignore_index=True) if found else empty


def folders(project: Project, profile: str) -> dict[str, Path]:
    """The folder of the tables of each chapter that a profile's book has."""
    found = {}
    for chapter in project.chapters:
        if outcome := load(project, chapter, profile):
            notebook = project.root / outcome.notebook
            found[chapter.name] = notebook.parent / "results" / notebook.stem
    return found


def gathered(project: Project, profile: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """The answers of a profile's book, and for each of its chapters ``live`` or ``recorded``."""
    found = folders(project, profile)
    outcomes = [load(project, project.chapter(name), profile) for name in found]
    runs = {outcome.chapter: "live" if outcome.live else "recorded" for outcome in outcomes}
    return collect(found), runs


def judged(answers: pd.DataFrame, runs: Mapping[str, str]) -> pd.DataFrame:
    """One row a claim, or a part of one, in the order of ``book/claims.yml``: columns ``JUDGED``."""
    rows = []
    for claim, entry in claims().items():
        shared = {
            "claim": claim,
            "quantity": entry["quantity"],
            "verdict": verdict(claim, answers),
            "chapter": entry["chapter"],
            "run": runs.get(entry["chapter"], ""),
        }
        found = standing(claim, answers)
        for row in found.itertuples():
            ours = {name: getattr(row, name) for name in ("part", "median", "lo", "hi", "n")}
            rows.append(shared | ours | {"paper": paper_text(claim, row.part)})
        if found.empty:
            paper = entry["paper"]
            parts = paper if isinstance(paper, dict) else [""]
            rows += [shared | {"part": p, "paper": paper_text(claim, p)} for p in parts]
    return pd.DataFrame(rows, columns=list(JUDGED)).astype({"n": "Int64"})


def counts(table: pd.DataFrame) -> dict[str, int]:
    """How many claims have each verdict, in the order of ``RULES``."""
    of = table.drop_duplicates("claim")["verdict"].value_counts()
    return {name: int(of.get(name, 0)) for name in RULES}


def disagreements(answers: pd.DataFrame, most: int = 3) -> list[tuple[str, float]]:
    """The claims whose paper's value lies farthest outside, with the distance in interval widths."""
    beyond = {claim: distance(claim, answers) for claim in claims()}
    order = sorted((claim for claim in beyond if beyond[claim] > 0), key=lambda c: -beyond[c])
    return [(claim, beyond[claim]) for claim in order[:most]]


def summary(table: pd.DataFrame) -> str:
    """Every verdict with its number of claims and their ids, for a terminal."""
    first = table.drop_duplicates("claim")
    lines = []
    for name, number in counts(table).items():
        if number:
            ids = " ".join(first.loc[first["verdict"] == name, "claim"])
            lines.append(f"{name:<15}{number:>3}  {ids}")
    return "\n".join(lines)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write the table of verdicts, as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    table.to_csv(part, index=False, float_format="%.6g")
    part.replace(path)
