"""Compare at the size of ImageNet: a ResNet-18 of 1000 classes on images of 224 x 224, memory and seconds.

``python -m benchmarks.size`` trains nothing: weights are drawn, batch norms are set on the images, and
the last layer is centred, so that images get many labels and gaps are small. Inputs are smooth noise.
"""

from __future__ import annotations

import argparse
import resource
import time

import torch
from torch import Tensor, nn
from torch.nn import functional

from baq import compare, ptq_w
from baq.slices import pca_plane


def images(count: int, side: int = 224, seed: int = 0) -> Tensor:
    """Smooth noise of three channels with mean 0 and standard deviation 1."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 8, 8, generator=generator)
    return functional.interpolate(coarse, size=side, mode="bicubic", align_corners=False)


def network(x: Tensor, seed: int = 0) -> nn.Module:
    """A ResNet-18 whose labels differ between images."""
    from torchvision.models import resnet18

    torch.manual_seed(seed)
    model = resnet18(weights=None, num_classes=1000)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over the batches
    features: list[Tensor] = []
    hook = model.fc.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    with torch.no_grad():
        for mode in (True, False):
            model.train(mode)
            features.clear()
            for batch in x.split(16):
                model(batch)
        hook.remove()
        h = torch.cat(features)
        model.fc.weight.normal_(0, 1 / float((h - h.mean(0)).norm(dim=1).mean()))
        model.fc.bias.copy_(-model.fc.weight @ h.mean(0))
    return model.eval()


def peak() -> float:
    """The largest memory that this process has held, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.size")
    parser.add_argument("--inputs", type=int, default=256)
    parser.add_argument("--cells", type=int, default=129, help="cells a side; 0 for no map")
    parser.add_argument("--bits", type=int, default=8)
    options = parser.parse_args()
    x = images(options.inputs)
    reference = network(x)
    candidate = ptq_w(reference, options.bits)
    planes = [pca_plane(x)] if options.cells else []
    print(f"before: peak {peak():.2f} GiB", flush=True)
    start, cpu = time.perf_counter(), time.process_time()
    how = {"planes": planes, "way": "adaptive", "n": options.cells or 2, "progress": True}
    rows = compare(reference, {options.bits: candidate}, x, **how)
    print(rows.T.to_string())
    print(
        f"{options.inputs} inputs, {options.cells} cells a side: {time.process_time() - cpu:.0f} CPU s, "
        f"{time.perf_counter() - start:.0f} s, peak {peak():.2f} GiB"
    )


if __name__ == "__main__":
    main()
