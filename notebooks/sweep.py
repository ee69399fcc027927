# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
#   baq:
#     requires: []
#     minutes: 0.1
#     threads: 1
#     reads: tables
# ---

# %% [markdown]
# # Sweep
#
# One chapter over a grid of parameters: how its runs came out, the claims against the grid, and the table.

# %% tags=["parameters", "remove-cell"]
name: str = ""  # the sweep
chapter: str = ""  # the chapter that was run
given: str = ""  # what all runs were given
most: int = 500  # rows of the table that are shown [0..]

# %% tags=["remove-cell"]
import html

import pandas as pd
from IPython.display import HTML, Markdown

from baq.report import charts, style
from baq.report.excerpts import results

style.use_style()
runs = pd.read_csv(results() / "runs.csv", dtype=str, keep_default_na=False)
table = pd.read_csv(results() / "table.csv")

# %% tags=["remove-input"]
complete = int((runs["state"] == "complete").sum())
Markdown(
    f"**{name}**: chapter {chapter}, {complete} of {len(runs)} runs complete. "
    f"All were given {f'`{given}`' if given else 'nothing but the grid'}."
)

# %% tags=["remove-input"]
if complete and {"claim", "median"} <= set(table):
    axes = [c for c in runs if c not in ("run", "state", "said", "minutes", "date")]
    fig = charts.claims_over_grid(table[table["median"].notna()], axes)

# %% tags=["remove-input"]
to_do = runs[runs["state"] != "complete"]
items = "".join(
    f"<li><code>{html.escape(said)}</code></li>" for said in to_do["said"]
)
HTML(f"<p><b>To do:</b></p><ul>{items}</ul>" if items else "")

# %% [markdown]
# ## The table

# %% tags=["remove-input"]
more = "" if len(table) <= most else f"The first {most} of {len(table)} rows. "
Markdown(f"{more}All of it is in `table.csv`, beside this page.")

# %% tags=["remove-input"]
HTML(table.head(most).to_html(index=False, border=0, na_rep=""))

# %% [markdown]
# ## Runs

# %% tags=["remove-input"]
linked = runs.drop(columns="said").map(html.escape)
linked["run"] = [
    f'<a href="../../{run}/{chapter}.ipynb">{run}</a>'
    if state == "complete"
    else run
    for run, state in zip(runs["run"], runs["state"], strict=True)
]
HTML(linked.to_html(index=False, border=0, escape=False))
