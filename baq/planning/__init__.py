"""Before anything is quantized: how many decisions will change, how sure that is, where bits count."""

from baq.planning.allocation import Allocation, allocate, allocate_by, stored_bytes
from baq.planning.forecast import forecast, forecast_jaccard
from baq.planning.promise import Promise, evidence, inputs_needed, promised_rule
from baq.planning.sensitivity import Sensitivity, sensitivity

__all__ = [
    "Allocation",
    "Promise",
    "Sensitivity",
    "allocate",
    "allocate_by",
    "evidence",
    "forecast",
    "forecast_jaccard",
    "inputs_needed",
    "promised_rule",
    "sensitivity",
    "stored_bytes",
]
