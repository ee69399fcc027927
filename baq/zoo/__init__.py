"""What the book measures: data sets, small networks, their training, and shipped checkpoints."""

from baq.zoo.models import ResidualBlock, cnn, mlp, resnet
from baq.zoo.training import Recipe, fit, fit_images

__all__ = ["Recipe", "ResidualBlock", "cnn", "fit", "fit_images", "mlp", "resnet"]
