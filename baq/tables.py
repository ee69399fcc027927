"""Save the tables of a chapter where its runner wants them."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

__all__ = ["save"]


def save(frame: pd.DataFrame, name: str) -> None:
    """Write a tidy table as ``name.csv`` into the folder that ``$BAQ_RESULTS`` names.

    Nothing is written where the variable is not set, so that a notebook run by hand leaves no files
    but its own. Floats keep six significant digits.

    Raises:
        ValueError: for a name that is not a plain file name.
    """
    if not name.replace("-", "").isalnum():
        raise ValueError(f"table name is {name!r}: allowed are letters, digits and hyphens")
    folder = os.environ.get("BAQ_RESULTS")
    if folder:
        frame.to_csv(Path(folder) / f"{name}.csv", index=False, float_format="%.6g")
