"""All ways of rounding a network, and the choices among them, against their own definitions."""

import pytest
import torch
from torch import nn

from baq import compare, ptq_w, rounding
from baq.local import displacement, pair_gap
from baq.rounding.form import low_margin_displacement
from baq.rounding.ways import METRICS, WAYS, by_metric, chosen, parts_of_metric, searched

torch.manual_seed(0)
NETWORK = nn.Sequential(
    nn.Linear(4, 24), nn.Tanh(), nn.Linear(24, 12), nn.ReLU(), nn.Linear(12, 3)
).eval()
X, X_VALID, X_TEST = (3 * torch.randn(60, 4) for _ in range(3))
VALIDATION = X_VALID, torch.randint(3, (60,))
WEIGHTS = [0.001, 0.1, 10.0, 1e4]


def known():
    return rounding.Statistics(NETWORK, X)


def weights_of(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def test_each_way_is_that_function():
    made = searched(known(), 3, gap_weights=WEIGHTS, points=20, steps=5)
    networks, path = chosen(NETWORK, made, WEIGHTS, VALIDATION)
    assert tuple(networks) == tuple(made.seconds) == WAYS
    assert all(seconds > 0 for seconds in made.seconds.values())
    alone = rounding.adaround(NETWORK, 3, X, steps=5)
    chained = rounding.adaround(NETWORK, 3, X, propagate=True, steps=5)
    metric = rounding.boundary_metric(NETWORK, 3, X, exact=[0.0], points=20, steps=5)
    gaps = rounding.boundary_gap(NETWORK, 3, X, WEIGHTS, start=alone, steps=5)
    gap = gaps[path.loc[path["chosen"], "weight"].item()]
    logit, fisher = (
        rounding.output_metric(NETWORK, 3, X, kind, points=20, steps=5)
        for kind in ("logit", "fisher")
    )
    made_alone = ptq_w(NETWORK, 3), alone, gap, chained, logit, fisher, metric
    named = dict(zip(WAYS, made_alone, strict=True))
    for way, network in named.items():
        assert torch.equal(weights_of(networks[way]), weights_of(network)), way
    assert len({tuple(weights_of(network).tolist()) for network in named.values()}) >= 5
    rows = made.searches.groupby("method", sort=False).size()
    assert rows.to_dict() == dict.fromkeys((WAYS[1], *METRICS), 3)
    assert made.searches["weights"].head(3).tolist() == [96, 288, 36]
    assert set(made.searches["steps"]) == {5}


def test_metrics_differ_in_nothing_else():
    made = by_metric(known(), 3, points=20, steps=5)
    assert tuple(made) == METRICS
    chained = rounding.adaround(NETWORK, 3, X, propagate=True, steps=5)
    assert torch.equal(weights_of(made[METRICS[0]]), weights_of(chained))
    for way, kind in zip(METRICS[1:], ("logit", "fisher", "boundary"), strict=True):
        alone = rounding.output_metric(NETWORK, 3, X, kind, points=20, steps=5)
        assert torch.equal(weights_of(made[way]), weights_of(alone)), way


def test_the_gap_chosen_turns_fewest_pair_orders():
    start = rounding.adaround(NETWORK, 2, X, steps=5)
    made = searched(known(), 2, gap_weights=WEIGHTS, points=20, steps=5)
    networks, path = chosen(NETWORK, made, WEIGHTS, VALIDATION)
    assert path["weight"].tolist() == [0.0, *WEIGHTS] and path["chosen"].sum() == 1
    candidates = rounding.boundary_gap(NETWORK, 2, X, WEIGHTS, start=start, steps=5)
    turned = {
        w: compare(NETWORK, q, *VALIDATION).loc[0, "band_pair_flip_rate"]
        for w, q in candidates.items()
    }
    best = min(turned, key=turned.get)
    assert path.loc[path["chosen"], "weight"].item() == best
    assert len(set(turned.values())) > 1  # there was something to choose
    assert torch.equal(weights_of(networks["boundary gap"]), weights_of(candidates[best]))


def test_the_weight_zero_may_be_on_the_path():
    made = searched(known(), 2, gap_weights=[0.0], points=20, steps=5)
    path = chosen(NETWORK, made, [0.0], VALIDATION)[1]
    assert path["chosen"].tolist() == [True]


def test_a_part_changed_is_the_metric_with_that_part():
    made = parts_of_metric(known(), 3, points=16, steps=5)
    common = {"exact": [0.0], "points": 16, "steps": 5}
    for name, change in {
        "boundary metric": {},
        "without ridge": {"ridge": 0.0},
        "a quarter of the points": {"points": 4},
        "with the exact shape, weight 1": {"exact": [1.0]},
    }.items():
        network = rounding.boundary_metric(NETWORK, 3, X, **(common | change))
        assert torch.equal(weights_of(made[name]), weights_of(network)), name
    assert len(made) == 13


def test_the_displacement_is_at_the_lowest_margins():
    candidates = {b: ptq_w(NETWORK, b) for b in (3, 8)}
    z_q = {bits: candidate(X_TEST).detach() for bits, candidate in candidates.items()}
    found = low_margin_displacement(NETWORK, X_TEST, NETWORK(X_TEST).detach(), z_q, share=0.1)
    z = NETWORK(X_TEST).detach().topk(2).values
    near = X_TEST[(z[:, 0] - z[:, 1]).argsort()[:6]]
    at = pair_gap(NETWORK, near)
    for bits, candidate in candidates.items():
        moved = displacement(at, pair_gap(candidate, near, (at.first, at.second)))
        assert found[bits] == pytest.approx(float(moved.square().mean().sqrt()), rel=1e-5)
    assert found[8] < found[3]


def test_one_input_is_enough_for_a_displacement():
    z = NETWORK(X_TEST[:3]).detach()
    found = low_margin_displacement(NETWORK, X_TEST[:3], z, {0: z})
    assert found == {0: pytest.approx(0, abs=1e-6)}


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_another_share_is_refused(share):
    with pytest.raises(ValueError, match=f"share is {share}: allowed is above 0 and up to 1"):
        low_margin_displacement(NETWORK, X_TEST, NETWORK(X_TEST).detach(), {}, share)
