"""Fit a classifier: a plain loop with Adam, and a resumable one for images."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from baq.arguments import check_seed, check_share, check_whole, is_real
from baq.inference import as_tensor, check_labels, check_points, evaluate, gradients
from baq.machine import whole

__all__ = [
    "Adam",
    "Recipe",
    "augment",
    "fast_bf16",
    "fit",
    "fit_images",
]


def _checked(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs and labels as tensors, after checks of both and of the model."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"the model is a {type(model).__name__}: allowed is a module")
    x, y = check_points(x), as_tensor(y, "labels")
    # Tensors made in inference mode cannot be trained on.
    x, y = (values.clone() if values.is_inference() else values for values in (x, y))
    if y.ndim and len(x) != len(y):
        raise ValueError(f"{len(x)} inputs and {len(y)} labels: allowed are equal counts")
    if not any(weight.requires_grad for weight in model.parameters()):
        raise ValueError("no weight of the model requires a gradient: allowed are some that do")
    here = next(model.parameters())
    return x.to(here.dtype), check_labels(y, len(x))


def _check_rate(learning_rate: float) -> None:
    if not is_real(learning_rate) or not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate is {learning_rate!r}: allowed is above 0")


def _cross_entropy(z: Tensor, y: Tensor, top: int) -> Tensor:
    """Mean cross-entropy; ``top`` is the largest label of the training set."""
    if top >= z.shape[1]:
        raise ValueError(f"labels go up to {top}: allowed are 0 to {z.shape[1] - 1}")
    return nn.functional.cross_entropy(z, y)


@gradients()
def fit(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    epochs: int = 200,
    learning_rate: float = 3e-3,
    batch_size: int = 128,
    decay: bool = False,
    seed: int = 0,
    progress: bool = False,
) -> nn.Module:
    """Minimize the cross-entropy with Adam (Kingma, Ba 2015, arXiv:1412.6980), in place.

    Arguments:
        model: a module from inputs to logits; it is returned in evaluation mode.
        x: training inputs, shape (N, *), on the model's device.
        y: training labels, shape (N,).
        epochs: passes over the training set.
        learning_rate: Adam's step size.
        batch_size: points per step; the last, smaller batch of an epoch is kept.
        decay: let the step size fall linearly to 0 over all steps, so that a few epochs suffice:
            the last, small steps average out the noise of the batches.
        seed: seed of the order in which batches are drawn.
        progress: show a bar over epochs.

    Raises:
        ValueError: for inputs that are empty or not finite, labels that differ from them in number
            or are no classes of the model, a model whose weights are all frozen, epochs or a batch
            size below 1, or a loss that is not finite at the end.

    Example:
        >>> x = torch.tensor([[-1.0], [1.0]])
        >>> fit(nn.Linear(1, 2), x, torch.tensor([0, 1]), learning_rate=0.1)(x).argmax(dim=1).tolist()
        [0, 1]
    """
    x, y = _checked(model, x, y)
    check_whole(epochs=epochs, batch_size=batch_size)
    check_seed(seed=seed)
    _check_rate(learning_rate)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    steps = epochs * math.ceil(len(x) / batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 1 - step / steps if decay else 1.0
    )
    top = int(y.max())
    model.train()
    loss = torch.tensor(0.0)
    for _ in tqdm(range(epochs), desc="epochs", disable=not progress):
        order = torch.randperm(len(x), generator=generator).to(x.device)
        for batch in order.split(batch_size):
            optimizer.zero_grad()
            loss = _cross_entropy(evaluate(model, x[batch]), y[batch], top)
            loss.backward()
            optimizer.step()
            schedule.step()
    if not torch.isfinite(loss):
        raise ValueError(
            f"the loss is {loss.item()} after {epochs} epochs: lower the learning rate"
        )
    return model.eval()


@dataclass(frozen=True)
class Adam:
    """Options of :func:`fit` by which a network that ships is trained."""

    epochs: int
    learning_rate: float
    batch_size: int = 256
    decay: bool = True


@dataclass(frozen=True)
class Recipe:
    """How an image classifier is trained; the defaults suit some twenty epochs on CIFAR-10.

    ``epochs``: passes over the training images. ``batch_size``: images a step. ``learning_rate``: the
    peak of the cycle. ``momentum``: Nesterov's (Sutskever et al. 2013). ``weight_decay``: of all
    weights. ``crop``: pixels that an image is shifted by at most, either way, with its edge mirrored.
    ``warmup``: share of the steps in which the step size rises.

    Example:
        >>> Recipe(epochs=3).learning_rate
        0.2
    """

    epochs: int = 20
    batch_size: int = 256
    learning_rate: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 5e-4
    crop: int = 4
    warmup: float = 0.2

    def __post_init__(self) -> None:
        check_whole(epochs=self.epochs, batch_size=self.batch_size)
        check_whole(0, crop=self.crop)
        _check_rate(self.learning_rate)
        check_share(zero=True, momentum=self.momentum, warmup=self.warmup)
        if not is_real(self.weight_decay) or not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay is {self.weight_decay!r}: allowed is 0 or more")


def fast_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 faster than float32: CUDA, or a processor with AMX."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_amx_tile_supported()


def augment(x: Tensor, crop: int, generator: torch.Generator) -> Tensor:
    """A random mirror image and a random shift of each image (N, C, H, W), edges mirrored."""
    count, _, height, width = x.shape
    flip = torch.rand(count, generator=generator).to(x.device) < 0.5
    x = torch.where(flip[:, None, None, None], x.flip(3), x)
    if crop == 0:
        return x
    rows, columns = torch.randint(2 * crop + 1, (2, count), generator=generator).to(x.device)
    # All windows of the padded images are views; only the one drawn for each image is copied.
    windows = nn.functional.pad(x, (crop,) * 4, mode="reflect")
    windows = windows.unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(count, device=x.device), :, rows, columns]


@contextmanager
def _named_memory_error(batch_size: int) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if "allocate" not in str(error):
            raise
        raise ValueError(
            f"batch_size is {batch_size}: too much for this machine's memory, allowed are fewer images"
        ) from None


@gradients()
def fit_images(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    recipe: Recipe | None = None,
    *,
    seed: int = 0,
    progress: bool = False,
    resume: Path | None = None,
    fresh: bool = False,
) -> nn.Module:
    """Minimize the cross-entropy on augmented images with SGD, in place; deterministic for a seed.

    The step size rises and falls linearly once, from and to 0 (one cycle: Smith, Topin 2019,
    arXiv:1708.07120). The same machine and number of threads give the same weights.

    Arguments:
        model: a module from images to logits; it is returned in evaluation mode.
        x: training images, shape (N, C, H, W), on the model's device.
        y: training labels, shape (N,).
        recipe: how to train; :class:`Recipe` where not given.
        seed: seed of the order of the batches and of the augmentation.
        progress: show a bar with epoch, loss, accuracy on the augmented images and time left.
        resume: a file that holds the state after each epoch, so that a killed run goes on from
            there and loses one epoch at most; it is removed at the end.
        fresh: ignore that file and start anew.

    Raises:
        ValueError: for inputs, labels or a model as :func:`fit`, a resume file of another recipe,
            seed or model, a batch too large for the memory, or a loss that is not finite.

    Example:
        >>> from baq.zoo.models import cnn
        >>> x, y = torch.rand(8, 1, 28, 28), torch.arange(8) % 2
        >>> fit_images(cnn(1, 2, width=2), x, y, Recipe(epochs=1)).training
        False
    """
    recipe = recipe or Recipe()
    check_seed(seed=seed)
    x, y = _checked(model, x, y)
    if x.ndim != 4 or recipe.crop >= min(x.shape[2:]):
        raise ValueError(
            f"images have shape {tuple(x.shape)}: allowed is (N, C, H, W) with more than "
            f"{recipe.crop} pixels a side, the crop"
        )
    top = int(y.max())
    steps = math.ceil(len(x) / recipe.batch_size)
    peak = max(1.0, recipe.warmup * steps * recipe.epochs)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
        weight_decay=recipe.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda k: min(
            (k + 1) / peak, (steps * recipe.epochs - k) / (steps * recipe.epochs - peak + 1)
        ),
    )
    generator = torch.Generator().manual_seed(seed)
    run = {"recipe": dataclasses.asdict(recipe), "seed": seed, "images": len(x)}
    parts: dict[str, _Stateful] = {"model": model, "optimizer": optimizer, "schedule": schedule}
    done = 0 if resume is None or fresh else _restore(resume, run, parts, generator)
    low = fast_bf16(x.device)
    bar = tqdm(total=steps * recipe.epochs, initial=done * steps, disable=not progress, unit="step")
    model.train()
    for epoch in range(done, recipe.epochs):
        order = torch.randperm(len(x), generator=generator).to(x.device)
        loss_sum, hits = torch.zeros((), device=x.device), torch.zeros((), device=x.device)
        for batch in order.split(recipe.batch_size):
            optimizer.zero_grad()
            with _named_memory_error(len(batch)):
                images = augment(x[batch], recipe.crop, generator)
                images = images.contiguous(memory_format=torch.channels_last)
                with torch.autocast(x.device.type, torch.bfloat16, enabled=low):
                    z = model(images)
                loss = _cross_entropy(z.float(), y[batch], top)
                loss.backward()
            optimizer.step()
            schedule.step()
            loss_sum += loss.detach() * len(batch)
            hits += (z.argmax(1) == y[batch]).sum()
            bar.update()
        mean = float(loss_sum) / len(x)
        if not math.isfinite(mean):
            raise ValueError(f"the loss is {mean} in epoch {epoch + 1}: lower the learning rate")
        bar.set_postfix(epoch=epoch + 1, loss=f"{mean:.3f}", accuracy=f"{float(hits) / len(x):.3f}")
        if resume is not None:
            _keep(resume, run, parts, generator, epoch + 1)
    bar.close()
    if resume is not None:
        resume.unlink(missing_ok=True)
    return model.eval()


#: The parts of a run whose state is saved.
_Stateful = nn.Module | torch.optim.Optimizer | torch.optim.lr_scheduler.LRScheduler


def _keep(
    path: Path,
    run: dict[str, object],
    parts: Mapping[str, _Stateful],
    generator: torch.Generator,
    done: int,
) -> None:
    """Write the state of a run, whole or not at all."""
    state = {name: part.state_dict() for name, part in parts.items()}
    with whole(path) as part:
        torch.save({"run": run, "done": done, "generator": generator.get_state(), **state}, part)


def _restore(
    path: Path, run: dict[str, object], parts: Mapping[str, _Stateful], generator: torch.Generator
) -> int:
    """Load the state of a run if there is one; returns the number of finished epochs."""
    if not path.exists():
        return 0
    try:
        state = torch.load(path, weights_only=True)
        found = state["run"]
    except Exception as error:  # unpickling may raise anything
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path} holds no run ({reason}): use fresh=True") from None
    if found != run:
        raise ValueError(
            f"{path} holds a run with {state['run']}: allowed is {run}; start anew with fresh=True"
        )
    try:
        for name, part in parts.items():
            part.load_state_dict(state[name])
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} holds another model ({reason}): use fresh=True") from None
    generator.set_state(state["generator"])
    return state["done"]
