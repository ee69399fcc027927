"""What quantization did to a classifier's decisions: measures of decision boundaries."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from baq.comparison import compare
    from baq.quantization import ptq_w

    __version__: str

__all__ = ["__version__", "compare", "ptq_w"]


def __getattr__(name: str) -> Any:
    # Imported on first use: torch takes seconds, and `baq.machine` does without.
    from importlib import import_module, metadata

    if name == "__version__":
        try:
            return metadata.version("baq")
        except metadata.PackageNotFoundError:  # run from its folder, not installed
            return "unknown"
    homes = {"compare": "baq.comparison", "ptq_w": "baq.quantization"}
    if name not in homes:
        raise AttributeError(f"module 'baq' has no attribute {name!r}")
    return getattr(import_module(homes[name]), name)
