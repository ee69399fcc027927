"""Before anything is quantized: how many decisions will change, how sure that is, where bits count."""

from baq.planning.allocation import allocate
from baq.planning.forecast import forecast, forecast_jaccard
from baq.planning.promise import evidence, inputs_needed, promised_rule
from baq.planning.sensitivity import Sensitivity, sensitivity

__all__ = [
    "Sensitivity",
    "allocate",
    "evidence",
    "forecast",
    "forecast_jaccard",
    "inputs_needed",
    "promised_rule",
    "sensitivity",
]
