"""What quantization did to a classifier's decisions: measures of decision boundaries."""

from baq.comparison import compare
from baq.quantization import ptq_w

__all__ = ["compare", "ptq_w"]
