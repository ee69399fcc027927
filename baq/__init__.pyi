from baq.comparison import compare as compare
from baq.quantization import ptq_w as ptq_w

__version__: str
__all__ = ["__version__", "compare", "ptq_w"]
