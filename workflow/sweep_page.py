"""The page that sums up a sweep: how its runs came out, a figure, and its table."""

from __future__ import annotations

import base64
import html
import io
import os
from pathlib import Path

import pandas as pd

from workflow.outcome import run_record
from workflow.project import Project, UserError
from workflow.sweep import Sweep, complete, failures

__all__ = ["sweep_page"]

_ROWS = 500  # of the table; all of it is in table.csv
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; font-size: 0.85rem } img { max-width: 100% }
th, td { padding: 0.2rem 0.7rem; text-align: right; border-bottom: 1px solid #ddd }
div.table { overflow-x: auto } code { overflow-wrap: anywhere }
"""


def sweep_page(project: Project, sweep: Sweep, gathered: pd.DataFrame) -> Path:
    """Write ``index.html`` beside a sweep's gathered table, as one file that needs no other.

    Raises:
        UserError: when it cannot be written.
    """
    failed, finished = failures(project, sweep), complete(project, sweep)
    runs = []
    for run, point in sweep.runs.items():
        notebook = project.runs / run / f"{sweep.chapter.name}.ipynb"
        done = run in finished
        link = f'<a href="../../{run}/{notebook.name}">{run}</a>' if done else run
        record = run_record(notebook) if done else {}
        cost = {"minutes": record.get("minutes", ""), "date": record.get("date", "")}
        cells = {name: html.escape(str(value)) for name, value in point.items()}
        runs.append({"run": link, **cells, "state": "complete" if done else "to do", **cost})
    told = f"{len(sweep.runs) - len(failed)} of {len(sweep.runs)} runs complete"
    parts = [f"<h1>Sweep {html.escape(sweep.name)}</h1>"]
    parts += [f"<p>Chapter {sweep.chapter.name}, {told}. All were given {_given(sweep)}.</p>"]
    if failed:
        items = "".join(f"<li><code>{html.escape(line)}</code></li>" for line in failed)
        parts += ["<h2>To do</h2>", f"<ul>{items}</ul>"]
    if (image := _figure(sweep, gathered)) is not None:
        parts += [f'<p><img alt="{sweep.table} against the grid" src="{image}"></p>']
    shown = gathered.head(_ROWS)
    more = "" if len(shown) == len(gathered) else f", the first {_ROWS} of {len(gathered)} rows"
    parts += [f'<h2>Table {html.escape(sweep.table)}{more}</h2><p><a href="table.csv">CSV</a></p>']
    parts += [f'<div class="table">{shown.to_html(index=False, border=0)}</div>', "<h2>Runs</h2>"]
    parts += [f'<div class="table">{_table(runs)}</div>']
    title = f"<title>Sweep {html.escape(sweep.name)}</title>"
    head = f'<!DOCTYPE html><html lang="en"><meta charset="utf-8">{title}<style>{_STYLE}</style>'
    target = sweep.folder(project) / "index.html"
    part = target.with_name(f".index.{os.getpid()}.part")
    try:
        part.write_text("\n".join([head, *parts, "</html>\n"]), "utf-8")
        os.replace(part, target)
    except OSError as error:
        raise UserError(f"sweep {sweep.name}: {error.strerror} ({target})") from error
    finally:
        part.unlink(missing_ok=True)
    return target


def _given(sweep: Sweep) -> str:
    told = ", ".join(f"{name} = {value}" for name, value in sweep.given.items())
    return f"<code>{html.escape(told)}</code>" if told else "nothing but the grid"


def _table(rows: list[dict[str, object]]) -> str:
    return pd.DataFrame(rows).to_html(index=False, border=0, escape=False)


def _figure(sweep: Sweep, gathered: pd.DataFrame) -> str | None:
    """Medians of the claims against the grid's first parameter, as a data URI.

    Lines join the medians over seeds and what else the grid varies, bands span it; the second parameter
    has a colour for each value. Other tables are drawn by whoever knows what is in them.
    """
    needed = {"claim", "median"}
    frame = gathered[gathered["median"] != ""] if needed <= set(gathered) else gathered[:0]
    if frame.empty:
        return None
    import matplotlib as mpl
    import seaborn as sns

    from baq.report import style

    mpl.use("agg")
    style.use_style()
    mpl.rcParams["figure.constrained_layout.use"] = False  # facets are laid out by seaborn
    frame = frame.assign(median=pd.to_numeric(frame["median"]))
    named = [name for name in ("setting", "quantity") if name in frame]
    frame["claim"] = ["\n".join(filter(None, row)) for row in frame[["claim", *named]].to_numpy()]
    # Seeds are repetitions: they make the bands.
    x, *others = sorted(next(iter(sweep.runs.values())), key=lambda name: name.endswith("seed"))
    others = [name for name in others if not name.endswith("seed")]
    grid = sns.relplot(
        frame,
        x=x,
        y="median",
        hue=others[0] if others else None,
        palette="colorblind" if others else None,
        col="claim",
        col_wrap=min(4, frame["claim"].nunique()),
        kind="line",
        marker="o",
        estimator="median",
        errorbar=("pi", 100),
        height=2.4,
        aspect=1.2,
        facet_kws={"sharey": False},
    )
    grid.set_titles("{col_name}")
    file = io.BytesIO()
    grid.savefig(file, format="png", dpi=110)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
