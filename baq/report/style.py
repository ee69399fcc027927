"""The one style of the book's figures, and of tables that pandas writes."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib_inline.backend_inline import set_matplotlib_formats

__all__ = ["DASHES", "MARKERS", "PAPER", "WIDTH", "use_style"]

#: Width of a figure in inches: text of 10 points stays legible when a phone shrinks it.
WIDTH = 6.0
#: How the paper's value is drawn everywhere.
PAPER: dict[str, Any] = {
    "marker": "D",
    "color": "black",
    "markerfacecolor": "white",
    "markersize": 7,
    "ls": "none",
}
#: Lines and markers differ in shape as well as in colour, so that grey print keeps them apart.
MARKERS, DASHES = ("o", "s", "^", "v", "P", "X"), ("-", "--", "-.", ":")


def use_style() -> None:
    """Set the book's style of figures and plain tables; a figure's bytes depend on its content alone."""
    sns.set_theme(context="notebook", style="ticks", palette="colorblind")
    mpl.rcParams.update(
        {
            "figure.figsize": (WIDTH, 3.6),
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.titlesize": 10,
            "axes.labelsize": 10,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.fontsize": 9,
            "legend.title_fontsize": 9,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.4,
            "svg.hashsalt": "baq",
        }
    )
    set_matplotlib_formats("svg", metadata={"Date": None})
    pd.set_option("display.precision", 4)  # as many digits as anything here is known to
