"""What a column is called on a page, in which unit, and how its numbers are written."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["COLUMNS", "HEADINGS", "MEASURES", "Column", "alike", "form", "heading", "number"]


def number(value: float, digits: int = 3) -> str:
    """Some significant digits without an exponent; below 0.0001 two of them and a power of ten.

    >>> [number(value) for value in (12, 0.02767, 81970.4, 0)]
    ['12.0', '0.0277', '81,970', '0']
    """
    size = abs(value)
    if not size:
        return "0"
    if size < 1e-4:
        factor, _, power = f"{value:.1e}".partition("e")
        return f"{factor}×10" + str(int(power)).translate(
            str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
        )
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(size)))}f}"


def alike(values: Sequence[float], digits: int = 3) -> Callable[[float], str]:
    """How an estimate and the ends of its interval are written: with the decimals of the estimate.

    They are those of its significant digits, or of a tenth of the largest end if that is larger. Whole numbers
    alone, as counts are, have none.

    >>> list(map(alike([0.0013, -5e-05, 0.00202]), [0.0013, -5e-05, 0.00202]))
    ['0.00130', '-0.00005', '0.00202']
    >>> list(map(alike([12.0, 9.0, 17.0]), [12.0, 9.0, 17.0]))
    ['12', '9', '17']
    """
    if all(float(value).is_integer() for value in values if not math.isnan(value)):
        return "{:,.0f}".format
    middle, *ends = (abs(value) for value in values if not math.isnan(value))
    size = max(middle, max(ends, default=0) / (10 if middle else 1))
    if size < 1e-4:
        return number
    decimals = max(0, digits - 1 - math.floor(math.log10(size)))
    return lambda value: f"{value:z,.{decimals}f}" if value else "0"


def _count(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def _share(value: float) -> str:
    percent = 100 * value
    if percent in (0, 100):
        return f"{percent:.0f}"
    return f"{percent:z.2f}" if abs(percent) < 9.995 else f"{percent:.1f}"


#: How the numbers of each kind are written; shares as a percentage, whose sign stands in the heading.
_FORMS: dict[str, Callable[[float], str]] = {
    "count": _count,
    "share": _share,
    "index": "{:z.3f}".format,
    "number": number,
    "plain": "{:g}".format,
}


@dataclass(frozen=True)
class Column:
    """A column's heading, with its unit, and its kind: one of count, share, index, number, plain.

    An index has no unit and lies between 0 and 1, or between -1 and 1; plain numbers are settings.
    """

    heading: str
    kind: str = "number"


#: Measures of :func:`baq.compare` and :func:`baq.comparison.per_plane`, and what follows from them.
MEASURES = {
    "accuracy": Column("accuracy", "share"),
    "accuracy_reference": Column("float accuracy", "share"),
    "loss": Column("loss of accuracy", "share"),
    "accuracy_change": Column("change of test accuracy", "share"),
    "flip_rate": Column("flip rate", "share"),
    "band_flip_rate": Column("flip rate in the band", "share"),
    "pair_flip_rate": Column("pair-order flips", "share"),
    "band_pair_flip_rate": Column("pair-order flips in the band", "share"),
    "grid_change": Column("grid prediction change", "share"),
    "radius": Column("median radius, input units"),
    "pair_radius": Column("median pair radius, input units"),
    "shift": Column("median displacement, input units"),
    "band_shift": Column("median displacement in the band"),
    "normal_angle": Column("median angle of normals, degrees"),
    "mean_displacement": Column("mean displacement, input units"),
    "curve_distance": Column("distance of the curves, input units"),
    "jaccard": Column("Jaccard distance J", "index"),
    "law": Column("J by the law", "index"),
    "triple": Column("triple-junction cells", "count"),
    "triple_reference": Column("triple-junction cells, float", "count"),
    "labels_changed": Column("labels changed", "count"),
}
#: Columns of the book's tables by name.
COLUMNS = MEASURES | {
    # what names a row
    "bits": Column("bits", "count"),
    "bits_base": Column("bits, accuracy rule", "count"),
    "extra_bits": Column("extra bits", "count"),
    "n": Column("n", "count"),
    "count": Column("n", "count"),
    "eps": Column("ε", "plain"),
    "tau_f": Column("τ of flips", "plain"),
    "tau_j": Column("τ of J", "plain"),
    "weight": Column("weight", "plain"),
    "seed": Column("seed", "count"),
    "seeds": Column("seeds", "count"),
    "networks": Column("networks", "count"),
    "images": Column("images", "count"),
    "points": Column("images", "count"),
    "width": Column("width", "count"),
    "weights": Column("weights", "count"),
    "planes": Column("planes", "count"),
    # outcomes of a chapter
    "flip_rate_base": Column("flip rate, accuracy rule", "share"),
    "flips_avoided": Column("flips avoided", "share"),
    "satisfied": Column("conditions kept", "share"),
    "fewer": Column("fewer flips", "share"),
    "equal": Column("as many", "share"),
    "more": Column("more flips", "share"),
    "accuracy_least": Column("least", "share"),
    "accuracy_most": Column("largest", "share"),
    "all cells": Column("all cells near", "share"),
    "boundary cells": Column("boundary cells near", "share"),
    "changed cells": Column("changed cells near", "share"),
    "regions": Column("regions near", "share"),
    "events": Column("regions vanished or appeared", "count"),
    "births": Column("regions born", "count"),
    "deaths": Column("regions gone", "count"),
    "merges": Column("merged", "count"),
    "splits": Column("split", "count"),
    "inner": Column("born or gone away from the slice's edge", "count"),
    "kilobytes": Column("kB"),
    "minutes": Column("minutes"),
    "processor_minutes": Column("processor minutes"),
    "seconds": Column("seconds"),
    "nearest_elsewhere": Column("nearest boundary of another class", "share"),
    "r": Column("r, Pearson", "index"),
    "rho": Column("ρ, Spearman", "index"),
    "gap": Column("held-out less calibration J", "index"),
    "q95": Column("95th percentile"),
    # audits
    "band_law": Column("by the law of the band", "share"),
    # before quantizing
    "tau": Column("τ", "share"),
    "delta": Column("δ", "plain"),
    "forecast": Column("forecast", "share"),
    "noisy": Column("by noise itself", "share"),
    "came": Column("came", "share"),
    "error": Column("median error", "share"),
    "held": Column("intervals held", "share"),
    "rank": Column("rank correlation", "index"),
    "attainable": Column("attainable rank correlation", "index"),
    "explained": Column("explained", "share"),
    "broken": Column("broken", "share"),
    "unpromised": Column("nothing promised", "share"),
    "control": Column("control broken", "share"),
    "needed": Column("inputs", "count"),
    "bytes": Column("bytes", "count"),
}
#: Headings of measures without the percentage's sign, as axes of figures have them.
HEADINGS = {name: column.heading for name, column in COLUMNS.items()}
_BY_HEADING = {column.heading: column for column in MEASURES.values()} | {"J": MEASURES["jaccard"]}


def _column(name: str) -> Column | None:
    return COLUMNS.get(name) or _BY_HEADING.get(name)


def heading(name: str, given: str | None = None) -> str:
    """What stands above a column: its heading, or the text given, with % for a share.

    A name that is not in :data:`COLUMNS` stands as it is.

    >>> heading("flip_rate"), heading("flip_rate", "all images"), heading("D5, paper 0.029")
    ('flip rate, %', 'all images, %', 'D5, paper 0.029')
    """
    column = _column(name)
    text = given or (COLUMNS[name].heading if name in COLUMNS else str(name))
    return f"{text}, %" if column and column.kind == "share" and "%" not in text else text


def form(name: str) -> Callable[[float], str] | None:
    """How the numbers of a column are written; None for a name that is not in :data:`COLUMNS`.

    >>> form("flip_rate")(0.0522), form("labels_changed")(12.0), form("jaccard")(0.4)
    ('5.22', '12', '0.400')
    """
    column = _column(name)
    return _FORMS[column.kind] if column else None
