"""Rounding each weight up or down so that a network's outputs, or its boundary, change least."""

from baq.rounding.methods import adaround, boundary_gap, boundary_metric, output_metric
from baq.rounding.statistics import Statistics

__all__ = ["Statistics", "adaround", "boundary_gap", "boundary_metric", "output_metric"]
