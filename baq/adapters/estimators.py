"""Classifiers of scikit-learn, XGBoost and LightGBM: linear ones as a module, others as a callable."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from baq.adapters.outputs import convert, to_array
from baq.adapters.packages import needed

__all__ = ["adapted_estimator", "class_names", "is_estimator"]


def is_estimator(source: object) -> bool:
    """Whether an object is a classifier of scikit-learn's kind, or a booster of XGBoost or LightGBM."""
    kinds = ("decision_function", "predict_proba")
    return any(callable(getattr(source, kind, None)) for kind in kinds) or _is_booster(source)


def class_names(estimator: Any) -> tuple[Any, ...] | None:
    """The labels that an estimator was fitted on, in the order of its scores; None where it has none."""
    names = np.asarray(getattr(estimator, "classes_", []))
    return tuple(names.tolist()) if names.ndim == 1 and len(names) else None


def _is_booster(source: object) -> bool:
    return type(source).__name__ == "Booster" and _package(source) in ("xgboost", "lightgbm")


def _package(source: object) -> str:
    return type(source).__module__.partition(".")[0]


def adapted_estimator(estimator: Any) -> tuple[Callable[[Tensor], Tensor], str]:
    """An estimator as a classifier that returns logits, and a clause on what these are.

    An input is flattened. Estimators whose decision is affine become a ``nn.Linear`` in float64, so
    that their radii are exact; others a callable without gradients. Of XGBoost and LightGBM the raw
    scores are taken, of others the decision function, or the logarithms of their probabilities.

    Raises:
        ValueError: for an estimator that is not fitted, whose scores are not one for each class, or that
            predicts another class than that of the highest score.
    """
    names = class_names(estimator) or ()
    count = len(names)
    scores, kind, note = _scores(estimator, count)
    _check_predictions(estimator, names, scores)
    if names != tuple(range(count)):
        note += f"; classes in the order {', '.join(map(str, names[:10]))}"
    affine = _affine(estimator, scores)
    if affine is not None:
        return affine, f"{note}; affine, so that radii are exact"

    def classifier(x: Tensor) -> Tensor:
        found = np.asarray(scores(to_array(x.flatten(1))))
        return convert(torch.from_numpy(np.array(found)).to(x.device), _kind(found, kind))

    return classifier, f"{note}; no gradients"


#: From inputs (N, d) to scores of the classes.
_Scores = Callable[[np.ndarray], Any]


def _kind(scores: np.ndarray, kind: str) -> str:
    single = scores.ndim == 1 or scores.shape[1] == 1
    return "one logit" if single and kind == "logits" else kind


def _scores(estimator: Any, count: int) -> tuple[_Scores, str, str]:
    """Scores of an estimator, of which kind they are, and a clause on them."""
    package = _package(estimator)
    if _is_booster(estimator) and package == "xgboost":
        matrix = needed("xgboost", "a booster of XGBoost").DMatrix
        return lambda x: estimator.predict(matrix(x), output_margin=True), "logits", "raw scores"
    if package == "xgboost":
        return lambda x: estimator.predict(x, output_margin=True), "logits", "raw scores"
    if package == "lightgbm":
        return lambda x: estimator.predict(x, raw_score=True), "logits", "raw scores"
    try:
        features = int(estimator.n_features_in_)
    except (AttributeError, TypeError):
        raise ValueError(
            f"{type(estimator).__name__} is not fitted: allowed is a fitted classifier"
        ) from None
    # Some have the one only with certain parameters, and tell by an AttributeError.
    if callable(getattr(estimator, "decision_function", None)):
        found = np.asarray(estimator.decision_function(np.zeros((1, features))))
        if found.ndim == 1 or found.shape[1] == count:
            return estimator.decision_function, "logits", "decision function"
        if not hasattr(estimator, "predict_proba"):
            raise ValueError(
                f"{type(estimator).__name__} has {found.shape[1]} decisions for {count} classes: allowed "
                "is one for each class, such as decision_function_shape='ovr'"
            )
    return estimator.predict_proba, "probabilities", "probabilities: their logarithm is taken"


#: The most features of which inputs at random are tried, and an affine decision is looked for.
_FEATURES = 20_000
#: Estimators that decide by a threshold of their own.
_BY_THRESHOLD = ("FixedThresholdClassifier", "TunedThresholdClassifierCV")


def _check_predictions(estimator: Any, names: tuple[Any, ...], scores: _Scores) -> None:
    """Raise a ValueError unless an estimator predicts the class of its highest score, at inputs at random."""
    if _is_booster(estimator) or not names or not hasattr(estimator, "n_features_in_"):
        return
    kind, last = type(estimator).__name__, estimator
    while hasattr(last, "steps") or hasattr(last, "best_estimator_"):
        last = last.steps[-1][1] if hasattr(last, "steps") else last.best_estimator_
    if getattr(last, "decision_function_shape", "") == "ovo" and len(names) > 2:
        raise ValueError(
            f"{kind} has decision_function_shape 'ovo', of pairs of classes: allowed is 'ovr'"
        )
    if type(last).__name__ in _BY_THRESHOLD and getattr(last, "threshold", "") != "auto":
        raise ValueError(
            f"{kind} decides by a threshold of its own: allowed is the classifier in it, estimator_"
        )
    features = int(estimator.n_features_in_)
    if hasattr(last, "break_ties") or features > _FEATURES:  # of votes, whose ties scores break
        return
    x = np.random.default_rng(0).normal(size=(64, features))
    x = np.concatenate([scale * x for scale in (0.01, 1.0, 30.0)])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            z, predicted = np.asarray(scores(x), float), np.asarray(estimator.predict(x))
    except Exception:  # some take only inputs like those that they were fitted on
        return
    z = np.stack([np.zeros(len(z)), z.reshape(-1)], 1) if z.size == len(x) else z
    if z.shape != (len(x), len(names)) or predicted.shape != (len(x),):
        return
    ordered = np.sort(z, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 1e-6 * np.abs(ordered).max(axis=1)
    wrong = clear & (np.asarray(names)[z.argmax(axis=1)] != predicted)
    if wrong.any():
        raise ValueError(
            f"{kind} predicts another class than that of its highest score for {wrong.sum()} of {len(x)} "
            "inputs at random: allowed is one that predicts by its scores"
        )


def _affine(estimator: Any, scores: _Scores) -> nn.Linear | None:
    """The decision function as one affine map, where it is one; None otherwise.

    Its coefficients where the estimator has them; else, for scalers and the like before a linear one,
    from its values at 0 and at a step along each axis. Both are checked at inputs at random.
    """
    last = getattr(estimator, "steps", [(None, estimator)])[-1][1]
    if not hasattr(last, "coef_") or not hasattr(estimator, "decision_function"):
        return None
    features = int(estimator.n_features_in_)
    if features > _FEATURES:
        return None
    if last is estimator:
        weight = np.atleast_2d(np.asarray(_dense(estimator.coef_), float))
        bias = np.zeros(len(weight)) + np.asarray(estimator.intercept_, float)
    else:
        bias = np.atleast_1d(scores(np.zeros((1, features)))[0]).astype(float)
        steps = np.asarray(scores(np.eye(features)), float).reshape(features, -1)
        weight = (steps - bias).T
    if weight.shape != (len(bias), features):
        return None
    x = np.random.default_rng(0).normal(size=(64, features))
    for scale in (1.0, 30.0):
        expected = np.asarray(scores(scale * x), float).reshape(len(x), -1)
        found = scale * x @ weight.T + bias
        if found.shape != expected.shape or not np.allclose(
            found, expected, rtol=1e-7, atol=1e-7 * np.abs(expected).max()
        ):
            return None
    if len(weight) == 1:
        weight, bias = (np.concatenate([np.zeros_like(v), v]) for v in (weight, bias))
    layer = nn.Linear(features, len(weight), dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer.requires_grad_(False).eval()


def _dense(values: Any) -> Any:
    return values.toarray() if hasattr(values, "toarray") else values
