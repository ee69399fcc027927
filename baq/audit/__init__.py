"""A float classifier and quantized ones, audited: which labels change, where, how surely, and by which layer."""

from baq.audit.blame import blamed, forecast_blame, layer_blame
from baq.audit.flipped import (
    against_floor,
    by_class,
    by_margin,
    flip_rates,
    flipped_inputs,
    radii_at,
)
from baq.audit.gate import gate
from baq.audit.given import named, users_folder, with_logits
from baq.audit.intervals import exact_interval, paired_p_value
from baq.audit.sliced import compared_on, flipped_first, planes_through

__all__ = [
    "against_floor",
    "blamed",
    "by_class",
    "by_margin",
    "compared_on",
    "exact_interval",
    "flip_rates",
    "flipped_first",
    "flipped_inputs",
    "forecast_blame",
    "gate",
    "layer_blame",
    "named",
    "paired_p_value",
    "planes_through",
    "radii_at",
    "users_folder",
    "with_logits",
]
