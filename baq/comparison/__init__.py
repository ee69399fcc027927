"""Candidates compared with a reference, in a tidy row of every measure for each."""

from baq.comparison.on_planes import per_plane
from baq.comparison.rows import compare, compare_logits

__all__ = ["compare", "compare_logits", "per_plane"]
