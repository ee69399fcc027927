"""A classifier on a plane: label maps, their boundary masks and curves, junctions, and what differs."""

from baq.slices.jaccard import (
    boundary_mask,
    grid_change,
    jaccard_distance,
    jaccard_law,
    jaccard_shift,
)
from baq.slices.junctions import (
    junction_cells,
    junction_distance,
    rearrangement,
    region_events,
    vanished_regions,
)
from baq.slices.label_maps import WAYS, LabelMap, label_map
from baq.slices.planes import Plane, pca_plane, plane_through, random_planes

__all__ = [
    "WAYS",
    "LabelMap",
    "Plane",
    "boundary_mask",
    "grid_change",
    "jaccard_distance",
    "jaccard_law",
    "jaccard_shift",
    "junction_cells",
    "junction_distance",
    "label_map",
    "pca_plane",
    "plane_through",
    "random_planes",
    "rearrangement",
    "region_events",
    "vanished_regions",
]
