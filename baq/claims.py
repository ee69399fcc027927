"""The paper's figures, each by the id of its claim."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pandas as pd
import yaml

from baq.stats import summarize

__all__ = ["answer", "claims", "paper_value"]


@cache
def claims() -> dict[str, dict[str, object]]:
    """All claims by id: ``work``, ``quantity``, and ``paper``, its value or its direction in words.

    Source: O. M. Kiselev 2026, arXiv:2607.01478, abstract.
    """
    here = Path(__file__).parent
    packaged, checkout = here / "claims.yml", here.parent / "book" / "claims.yml"
    source = packaged if packaged.exists() else checkout
    return {claim["id"]: claim for claim in yaml.safe_load(source.read_text("utf-8"))}


def paper_value(claim: str) -> float:
    """The number that the paper gives for a claim.

    Raises:
        ValueError: for an unknown id, or a claim that the paper states in words.
    """
    if claim not in claims():
        raise ValueError(f"claim is {claim!r}: allowed are {', '.join(claims())}")
    value = claims()[claim]["paper"]
    if isinstance(value, str):
        raise ValueError(f"claim {claim} has no number: the paper says {value!r}")
    return float(value)


def answer(values: Mapping[str, pd.Series]) -> pd.DataFrame:
    """The table that answers claims: the paper's value beside our distribution over seeds.

    Arguments:
        values: claim id to one value a seed.

    Returns:
        One row a claim: ``claim``, ``work``, ``quantity``, ``paper``, ``median``, ``lo``, ``hi`` (the
        central 90 % of the seeds) and ``n``.

    Raises:
        ValueError: for an unknown id.
    """
    rows = []
    for claim, series in values.items():
        paper = {"paper": paper_value(claim)}
        ours = summarize(pd.DataFrame({"claim": claim, "value": series}), ["claim"], ["value"])
        ours = ours.rename(columns={"count": "n"})
        entry = {name: claims()[claim][name] for name in ("work", "quantity")}
        rows.append(
            {"claim": claim} | entry | paper | ours.iloc[0].drop(["claim", "measure"]).to_dict()
        )
    return pd.DataFrame(rows)
