"""The networks that several chapters measure, each with its splits, from a seed alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from baq.zoo import checkpoints, data, models, training

__all__ = ["digits_network", "mnist_network", "network_on", "subset_network"]


def network_on(
    dataset: str, seed: int, family: str = "mlp", **given: Any
) -> tuple[nn.Module, data.Splits]:
    """The float network of a seed on a named data set, and its splits.

    Arguments:
        dataset: ``digits``, whose network is that of :func:`digits_network`; ``mnist`` or
            ``fashion-mnist``, by :func:`mnist_network`; ``cifar10-subset``, by :func:`subset_network`; or
            ``cifar10``, whose network is loaded by :func:`baq.zoo.checkpoints.load`.
        seed: seed of the splits and of the network.
        family: the kind of network; on digits there is ``mlp`` alone.
        given: what the function named takes besides; on CIFAR-10 the sizes of the splits.

    Raises:
        ValueError: for a family that the data set does not have, or as the functions named.
    """
    if dataset == "cifar10":
        return checkpoints.load(family, seed), data.load(dataset, seed, **given)
    if dataset == "cifar10-subset":
        if family != "cnn":
            raise ValueError(f"family is {family!r}: allowed on cifar10-subset is cnn")
        return subset_network(seed, **given)
    if dataset != "digits":
        return mnist_network(dataset, seed, family, **given)
    if family != "mlp":
        raise ValueError(f"family is {family!r}: allowed on digits is mlp")
    return digits_network(seed, **given)


def digits_network(
    seed: int,
    hidden: int = 64,
    activation: str = "tanh",
    epochs: int = 200,
    *,
    test: float = 0.25,
    calibration: float = 0.0,
    shift: float = 0.0,
    scale: float = 1.0,
    start: int | None = None,
    shuffled: bool = False,
    anew: bool = False,
) -> tuple[nn.Module, data.Splits]:
    """A network with one hidden layer on the digits (:func:`baq.zoo.models.mlp`), and its splits.

    The one that ships (:func:`baq.zoo.checkpoints.load`) where it was trained on the same images in the same
    way, else one that is trained now. The seed decides the splits, the initialization and the order of the batches, so that the same
    arguments, machine and number of threads give the same weights.

    Arguments:
        seed: seed of the splits, and of all else.
        hidden: units of the hidden layer.
        activation: a name in :data:`baq.zoo.models.ACTIVATIONS`.
        epochs: passes over the training images.
        test, calibration: sizes of the splits, see :func:`baq.zoo.data.load`.
        shift, scale: inputs are ``(x - shift) / scale``, in all splits.
        start: another seed of the initialization and the batches, on the same splits.
        shuffled: train on the training labels in random order, as a control that must learn nothing
            of use.
        anew: train it now, whatever ships.

    Returns:
        The network in evaluation mode; the splits as it was trained on them.

    Raises:
        ValueError: for a scale of 0, or as the functions named.
    """
    if not scale:
        raise ValueError(f"scale is {scale}: allowed is any number but 0")
    split = data.load("digits", seed, calibration=calibration, test=test)
    parts = ("x_train", "x_calibration", "x_test")
    split = replace(split, **{part: (getattr(split, part) - shift) / scale for part in parts})
    if shuffled:
        order = torch.randperm(len(split.y_train), generator=torch.Generator().manual_seed(seed))
        split = replace(split, y_train=split.y_train[order])
    start = seed if start is None else start
    sizes = {"calibration": calibration, "test": test}
    usual = activation == "tanh" and (shift, scale, start, shuffled) == (0, 1, seed, False)
    if usual and not anew and (ships := _shipped("digits-mlp", seed, sizes, hidden, epochs)):
        return checkpoints.load(ships, seed), split
    network = models.mlp(64, 10, hidden, activation, start)
    training.fit(network, split.x_train, split.y_train, epochs=epochs, seed=start)
    return network, split


def mnist_network(
    dataset: str,
    seed: int,
    family: str = "mlp",
    epochs: int | None = None,
    *,
    train: float | None = None,
    calibration: float = 0.1,
    test: float | None = None,
    hidden: int | None = None,
    anew: bool = False,
) -> tuple[nn.Module, data.Splits]:
    """A network on MNIST or Fashion-MNIST, trained with a step size that falls to 0, and its splits.

    The one that ships (:func:`baq.zoo.checkpoints.load`) where it is as wide and was trained on the same
    images for as many epochs, else one that is trained now.

    Arguments:
        dataset: ``mnist`` or ``fashion-mnist``.
        seed: seed of the splits, the initialization and the order of the batches.
        family: ``mlp``, one hidden layer of 256 ReLU units (:func:`baq.zoo.models.mlp`), or ``cnn``
            (:func:`baq.zoo.models.cnn`).
        epochs: passes over the training images; by default 15 and 5, which give the two their usual test
            accuracy.
        train, calibration, test: sizes of the splits, see :func:`baq.zoo.data.load`.
        hidden: units of the hidden layer of ``mlp``, in place of the 256.
        anew: train it now, whatever ships.

    Returns:
        The network in evaluation mode, and the splits.

    Raises:
        ValueError: for another data set or family, hidden units of a ``cnn``, or as the functions named.
    """
    if dataset not in ("mnist", "fashion-mnist"):
        raise ValueError(f"data set is {dataset!r}: allowed are mnist, fashion-mnist")
    if family not in ("mlp", "cnn"):
        raise ValueError(f"family is {family!r}: allowed are mlp, cnn")
    if hidden is not None and family != "mlp":
        raise ValueError(f"hidden is {hidden}: allowed for {family} is None")
    sizes = {"train": train, "calibration": calibration, "test": test}
    return _loaded_or_fitted(f"{dataset}-{family}", seed, sizes, hidden, epochs, anew)


def subset_network(
    seed: int,
    *,
    train: int = 5000,
    calibration: int = 600,
    test: int | None = 600,
    width: int = 16,
    epochs: int | None = None,
    anew: bool = False,
) -> tuple[nn.Module, data.Splits]:
    """A small :func:`baq.zoo.models.cnn` on a subset of CIFAR-10, and its splits.

    The one that ships where its images, width and epochs are these, else one that is trained now.

    Arguments:
        seed: seed of the splits, the initialization and all else.
        train, calibration, test: images of each split, see :func:`baq.zoo.data.load`.
        width: channels of the first convolution.
        epochs: passes over the training images, 20 by default.
        anew: train it now, whatever ships.

    Raises:
        ValueError: as the functions named.
    """
    sizes = {"train": train, "calibration": calibration, "test": test}
    return _loaded_or_fitted("subset-cnn", seed, sizes, width, epochs, anew)


def _loaded_or_fitted(
    family: str,
    seed: int,
    sizes: dict[str, Any],
    width: int | None,
    epochs: int | None,
    anew: bool,
) -> tuple[nn.Module, data.Splits]:
    """The network that ships where all but the test images is as it was trained with, else one trained now."""
    split = data.load(checkpoints.FAMILIES[family].dataset, seed, **sizes)
    if not anew and (ships := _shipped(family, seed, sizes, width, epochs)):
        return checkpoints.load(ships, seed), split
    network = checkpoints.fitted(
        family, seed, split.x_train, split.y_train, width=width, epochs=epochs
    )
    return network, split


def _shipped(
    family: str, seed: int, sizes: dict[str, Any], width: int | None, epochs: int | None
) -> str | None:
    """The name of the family, or of one on other splits, whose network that ships is what these would give."""
    for name, kind in checkpoints.FAMILIES.items():
        if f"{name}-".startswith(f"{family}-"):
            # Test images are drawn apart from the others, but on digits, which have no official ones.
            parts = ("train", "calibration", *(["test"] if kind.dataset == "digits" else []))
            alike = all(sizes.get(part) == kind.sizes.get(part) for part in parts)
            alike &= width in (None, kind.width) and epochs in (None, kind.recipe.epochs)
            if alike and checkpoints.shipped(name, seed):
                return name
    return None
