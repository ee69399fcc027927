"""What the paper's numbers say about its protocol: posterior, best protocol, held-out numbers, controls."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from baq.protocols.answers import GROUP_OF
from baq.protocols.likelihood import Answers, Number, below, inside, log_likelihood, printed
from baq.protocols.posterior import Factor, belief, best, eliminate, marginals
from baq.protocols.space import GROUPS, Space
from baq.report.claims import limits
from baq.report.stats import LEVEL, prediction_interval

__all__ = ["ASKED", "DECIDED", "Inference", "control_rows", "hidden_numbers", "shuffled_numbers"]

#: From this probability on a value is called decided, below it open.
DECIDED = 0.8
#: The share of the held-out numbers inside that was asked for before the first fit.
ASKED = 0.7


class Inference:
    """Numbers of a paper against all protocols of a space.

    Arguments:
        space: choices, prior, and the probability of a stray number.
        answers: what every protocol answers to each number.
        numbers: as printed, by name; those without answers are left out.
    """

    def __init__(
        self, space: Space, answers: Mapping[str, Answers], numbers: Mapping[str, Number]
    ) -> None:
        self.space, self.answers = space, answers
        self.numbers = {name: number for name, number in numbers.items() if name in answers}
        self._likelihood: dict[str, Factor] = {}

    def of(self, group: str) -> list[str]:
        """The names of a group's numbers, or of all for ``together``."""
        return [n for n in self.numbers if group in ("together", GROUP_OF[n[0]])]

    def factors(self, names: Iterable[str]) -> list[Factor]:
        """Prior and likelihoods of some numbers; the prior of the choices that they depend on."""
        found = []
        for name in names:
            if name not in self._likelihood:
                number, answers = self.numbers[name], self.answers[name]
                self._likelihood[name] = log_likelihood(number, answers, self.space.stray)
            found.append(self._likelihood[name])
        return [*self._prior(found), *found]

    def _prior(self, factors: Iterable[Factor]) -> list[Factor]:
        prior = self.space.log_prior()
        over = dict.fromkeys(name for factor in factors for name in factor.over)
        return [Factor((name,), prior[name]) for name in over]

    def posterior(self, groups: Sequence[str] = (*GROUPS, "together")) -> pd.DataFrame:
        """The probability of every value: ``choice``, ``value``, ``group``, ``prior``, ``posterior``.

        A group's posterior is that from its own numbers; ``together`` has all, with one value of a choice for
        all groups that share it.
        """
        rows = []
        for group in groups:
            found = marginals(self.factors(self.of(group)))
            for name, choice in self.space.choices.items():
                values = zip(choice.values, choice.prior, found.get(name, ()), strict=False)
                rows += [(name, str(v), group, prior, float(p)) for v, prior, p in values]
        return pd.DataFrame(rows, columns=["choice", "value", "group", "prior", "posterior"])

    def left_out(self, groups: Sequence[str] = (*GROUPS, "together")) -> pd.DataFrame:
        """How much each posterior rests on a single number: ``choice``, ``group``, ``least``, ``without``.

        ``least`` is the smallest probability of the most probable value when any one number of the group is left
        out, and ``without`` that number.
        """
        rows = []
        for group in groups:
            names = self.of(group)
            of_all = marginals(self.factors(names))
            top = {n: int(of_all[n].argmax()) for n in self.space.choices if n in of_all}
            found = []
            for left in names:
                rest = marginals(self.factors([name for name in names if name != left]))
                # Of a choice that no other number depends on the prior is left.
                p = {n: rest.get(n, self.space.choices[n].prior)[k] for n, k in top.items()}
                found += [(n, group, float(p[n]), left) for n in top]
            table = pd.DataFrame(found, columns=["choice", "group", "least", "without"])
            rows.append(table.loc[table.groupby("choice", sort=False)["least"].idxmin()])
        return pd.concat(rows, ignore_index=True)

    def evidence(self, group: str) -> float:
        """The logarithm to base 2 of the probability of a group's numbers, whatever the protocol."""
        return float(eliminate(self.factors(self.of(group)), ()).log) / float(np.log(2))

    def share_of_best(self, group: str) -> tuple[float, int]:
        """The posterior probability of a group's most probable protocol, and how many protocols there are."""
        factors = self.factors(self.of(group))
        top = float(eliminate(factors, (), largest=True).log) / float(np.log(2))
        sizes = {n: k for f in factors for n, k in zip(f.over, f.log.shape, strict=True)}
        return float(2 ** (top - self.evidence(group))), math.prod(sizes.values())

    def best(self, group: str, names: Sequence[str] | None = None) -> dict[str, int]:
        """The most probable protocol of a group from all its numbers, or from some."""
        return best(self.factors(self.of(group) if names is None else names))

    def judged(self, protocol: Mapping[str, int], names: Iterable[str]) -> pd.DataFrame:
        """What one protocol answers to each number: ``number``, ``paper``, ``mean``, ``lo``, ``hi``, ``n``, ``inside``.

        The interval is the 90 % prediction interval for a mean of as many runs as the paper averaged.
        """
        rows = []
        for name in names:
            number, answers = self.numbers[name], self.answers[name]
            one = answers.at(protocol)
            mean, std, n = float(one.mean), float(one.std), int(one.n)
            runs = number.runs if len(number.values) == 1 else 1
            ends = (mean, *prediction_interval(mean, std, n, runs))
            found = inside(number, mean, std, n, answers.fisher)
            ends = tuple(np.tanh(ends)) if answers.fisher else ends
            rows.append((name, number.text, *map(float, ends), n, found))
        return pd.DataFrame(rows, columns=["number", "paper", "mean", "lo", "hi", "n", "inside"])

    def values(self, protocol: Mapping[str, int]) -> dict[str, str]:
        """The values of a protocol by choice, from their indices."""
        return {name: str(self.space.choices[name].values[k]) for name, k in protocol.items()}

    def predicted(self, fitted: Sequence[str], name: str) -> tuple[float, bool, float]:
        """A number that was held out: where it lies in its prediction, whether that is within 90 %, and the gain.

        The prediction is the mixture over all protocols, each with its probability given the fitted numbers;
        where none are fitted, with that of the prior.

        Returns:
            The share of the prediction below the number, of a range below its middle; whether the number, as it is
            printed, lies between the 5 % and the 95 % point; and by how many bits the fitted numbers make it more
            probable than the prior does, ``log2 p(number | fitted) - log2 p(number)``. That is below 0 where they
            mislead, and a prediction that is right because it is wide gains nothing.
        """
        answers, number = self.answers[name], self.numbers[name]
        *_, likelihood = self.factors([name])
        before = belief(self._prior([likelihood]), answers.over)
        after = belief(self._with_prior(fitted, answers.over), answers.over) if fitted else before
        gain = _probability(likelihood, after) - _probability(likelihood, before)
        # Protocols with the same answer share its probability.
        few, which = answers.distinct
        weight = np.bincount(which.ravel(), after.ravel())
        ends = [float((weight * below(number, few, v)).sum()) for v in _edges(number)]
        tail = (1 - LEVEL) / 2
        return float(np.mean(ends)), ends[0] <= 1 - tail and ends[-1] >= tail, gain

    def _with_prior(self, fitted: Sequence[str], over: Sequence[str]) -> list[Factor]:
        """Prior and likelihoods of some numbers, with the prior of further choices."""
        factors, prior = self.factors(fitted), self.space.log_prior()
        known = {name for factor in factors for name in factor.over}
        return factors + [Factor((name,), prior[name]) for name in over if name not in known]

    def reached(self, name: str) -> tuple[float, float, float]:
        """How much of the prior, and of the posterior of its group, has a number inside; and where it lies.

        Returns:
            The probability of the protocols with the number in their 90 % interval, before and after all numbers
            of the group; and the part of the posterior's prediction that lies below it.
        """
        answers, number = self.answers[name], self.numbers[name]
        within = inside(number, answers.mean, answers.std, answers.n, answers.fisher)
        shares = []
        prior = self._prior([Factor(answers.over, np.zeros(answers.mean.shape))])
        group = GROUP_OF[name[0]]
        for factors in (prior, self.factors(self.of(group))):
            shares.append(float(belief(factors, answers.over)[within].sum()))
        weight = belief(self.factors(self.of(group)), answers.over)
        low = float((weight * below(number, answers, float(np.mean(number.values)))).sum())
        return shares[0], shares[1], low

    def held_out(self, groups: Sequence[str] = GROUPS) -> pd.DataFrame:
        """Every number, predicted from the half that it is not in: one row each way and number.

        Columns: ``group``, ``fitted`` (which half), ``number``, ``paper``, ``below``, ``hit`` by the mixture of
        all protocols, ``best``, whether the most probable protocol of the fitted half has it inside, and ``gain``
        in bits.
        """
        rows = []
        for group in groups:
            names = self.of(group)
            for k, half in enumerate(self.space.halves):
                fitted = [name for name in names if name in half]
                rest = [name for name in names if name not in half]
                top = self._completed(self.best(group, fitted), rest)
                judged = self.judged(top, rest).set_index("number")["inside"]
                for name in rest:
                    at, hit, gain = self.predicted(fitted, name)
                    row = {"group": group, "fitted": k + 1, "number": name}
                    row |= {"paper": self.numbers[name].text, "below": at, "hit": hit}
                    row |= {"best": bool(judged[name])}
                    rows.append(row | {"gain": gain})
        return pd.DataFrame(rows)

    def _completed(self, protocol: Mapping[str, int], names: Iterable[str]) -> dict[str, int]:
        """A protocol with the value of largest prior, the first of equal ones, where a number needs more."""
        over = {choice for name in names for choice in self.answers[name].over}
        prior = self.space.log_prior()
        return {name: int(prior[name].argmax()) for name in over} | dict(protocol)


def _probability(likelihood: Factor, weight: np.ndarray) -> float:
    """The probability of a number as a mixture over protocols, as a logarithm to base 2."""
    top = float(likelihood.log.max())
    return (top + float(np.log((weight * np.exp(likelihood.log - top)).sum()))) / float(np.log(2))


def _edges(number: Number) -> tuple[float, float]:
    """The ends of what a printed number covers, of a range the middle of its two numbers."""
    ends = printed(number.text)
    if len(ends) == 1:
        return ends[0]
    middle = sum(number.values) / len(number.values)
    return middle, middle


def hidden_numbers(
    inference: Inference, rng: np.random.Generator
) -> tuple[dict[str, int], dict[str, Number]]:
    """A protocol drawn from the prior, and the numbers that new runs of it would print.

    A mean of as many runs as the paper's is drawn from the distribution that the likelihood takes it to have
    (:func:`baq.protocols.likelihood.log_likelihood`, no stray ones): Student's t around our mean. Our mean of a
    few runs is not the truth, so a normal distribution around it would lie too close. Then it is cut to
    the range of the measure and printed with the paper's decimals.
    """
    choices = inference.space.choices
    hidden = {
        name: int(rng.choice(len(choice.values), p=choice.prior))
        for name, choice in choices.items()
    }
    found = {}
    for name, number in inference.numbers.items():
        answers = inference.answers[name]
        one = answers.at(hidden)
        if one.n < 2:
            found[name] = number
            continue
        runs = number.runs if len(number.values) == 1 else 1
        off = rng.standard_t(one.n - 1, size=len(number.values))
        drawn = one.mean + one.scale(runs) * off
        drawn = np.clip(np.sort(np.tanh(drawn) if answers.fisher else drawn), *limits(number.claim))
        decimals = len(number.text.split(" to ")[0].partition(".")[2])
        found[name] = replace(number, text=" to ".join(f"{v:.{decimals}f}" for v in drawn))
    return hidden, found


def shuffled_numbers(inference: Inference, rng: np.random.Generator) -> dict[str, Number]:
    """The paper's numbers, permuted within their kind."""
    found = dict(inference.numbers)
    for names in inference.space.kinds.values():
        there = [name for name in names if name in found]
        for name, other in zip(there, rng.permutation(there), strict=True):
            found[name] = replace(found[name], text=inference.numbers[str(other)].text)
    return found


def control_rows(
    inference: Inference, hidden: bool, seed: int, groups: Sequence[str] = GROUPS
) -> list[dict[str, object]]:
    """One control, a row a group: how many numbers the most probable protocol has inside, and what it found.

    Columns: ``kind`` (``hidden`` or ``shuffled``), ``seed``, ``group``, ``numbers``, ``inside``, and of :meth:`Inference.held_out` how many
    are a ``hit`` and in ``best``, and the sum of ``gain``; for a hidden protocol ``equal``, the choices that are the
    hidden one's, of ``choices``, ``guess``, how many the prior's most probable values would be on average, ``covered``, those of which the smallest set of values with 90 % of the posterior
    holds it, ``decided``, those with a value of at least :data:`DECIDED`, and ``right``, of how many of these it is the
    hidden one's. The last six are NaN for shuffled numbers.
    """
    rng = np.random.default_rng(seed)
    truth, numbers = hidden_numbers(inference, rng) if hidden else ({}, {})
    numbers = numbers if hidden else shuffled_numbers(inference, rng)
    now = Inference(inference.space, inference.answers, numbers)
    rows: list[dict[str, object]] = []
    for group in groups:
        names = now.of(group)
        factors = now.factors(names)
        top = best(factors)
        row: dict[str, object] = {
            "kind": "hidden" if hidden else "shuffled", "seed": seed, "group": group,
            "numbers": len(names), "inside": int(now.judged(top, names)["inside"].sum()),
        }  # fmt: skip
        held = now.held_out([group])
        row |= {"hit": int(held["hit"].sum()), "best": int(held["best"].sum())}
        row["gain"] = float(held["gain"].sum())
        if hidden:
            found = marginals(factors)
            row["choices"] = len(found)
            row["equal"] = sum(top[name] == truth[name] for name in found)
            row["guess"] = sum(max(inference.space.choices[name].prior) for name in found)
            row["covered"] = sum(_in_set(p, truth[name]) for name, p in found.items())
            decided = [name for name, p in found.items() if p.max() >= DECIDED]
            row["decided"] = len(decided)
            row["right"] = sum(int(found[name].argmax()) == truth[name] for name in decided)
        rows.append(row)
    return rows


def _in_set(posterior: np.ndarray, value: int) -> bool:
    """Whether a value is in the smallest set that holds 90 % of a posterior."""
    order = np.argsort(-posterior, kind="stable")
    before = np.cumsum(posterior[order]) - posterior[order]
    return bool(value in order[before < LEVEL])
