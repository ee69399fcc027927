"""Figures are readable without colour, equal for equal content, and need no server."""

import base64
import io
import json
import re

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import stats

from baq import ptq_w, slices
from baq.band import band_flip_law
from baq.report import charts, maps, style
from baq.report.answers import judged
from baq.report.claims import answer, claims
from baq.report.stats import summarize
from baq.slices import LabelMap, Plane, boundary_mask, label_map
from baq.zoo import models

EYE = torch.eye(2).double()
PLANE = Plane(torch.zeros(2).double(), EYE[0], EYE[1], (-1.0, 1.0, -2.0, 2.0))


def a_map(seed=0, n=40):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 4, (4, 4)).repeat(n // 4, axis=0).repeat(n // 4, axis=1)
    return LabelMap(blocks.astype(np.int16), PLANE, "dense", n * n)


def luminance(colour):
    """Relative luminance of an sRGB colour (WCAG 2.2)."""
    c = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def svg(figure):
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    return buffer.getvalue()


@pytest.mark.parametrize("classes", [2, 10, 30])
def test_black_text_stands_out_on_every_class(classes):
    for colour in maps._class_colours(classes):
        assert (luminance(colour) + 0.05) / 0.05 >= 4.5


def test_equal_content_gives_equal_figures():
    style.use_style()
    first, second, other = (
        svg(maps.label_maps({"float": a_map(seed)}, classes=4)) for seed in (0, 0, 1)
    )
    assert first == second
    assert first != other  # and the comparison can fail


def test_every_kind_of_cell_of_an_overlay_is_another_grey():
    style.use_style()
    figure = maps.boundary_overlay(a_map(0), {"a": a_map(1), "b": a_map(2)})
    greys = sorted(luminance(c) for c in figure.axes[0].images[0].cmap.colors)
    assert min(np.diff(greys)) > 0.1
    plt.close(figure)


def test_by_bits_runs_from_many_bits_to_few_and_names_units():
    style.use_style()
    frame = pd.DataFrame({"bits": [8, 4, 8, 4], "jaccard": [0.3, 0.9, 0.4, 0.8]})
    summary = summarize(frame, ["bits"], ["jaccard"])
    figure = charts.by_bits(summary, {"J": {"jaccard": "ours"}}, paper={"J": [(8, "D2")]})
    axis = figure.axes[0]
    assert axis.get_ylabel() == "J"
    ticks = dict(
        zip((t.get_text() for t in axis.get_xticklabels()), axis.get_xticks(), strict=True)
    )
    assert ticks["8"] < ticks["4"]
    np.testing.assert_allclose(
        sorted(axis.lines[0].get_xydata().tolist()), [[-8, 0.35], [-4, 0.85]]
    )
    np.testing.assert_allclose(axis.lines[1].get_xydata(), [[-8, 0.428]])
    plt.close(figure)


def test_against_paper_draws_every_seed_the_interval_and_the_paper():
    style.use_style()
    values = pd.Series(np.linspace(0.3, 0.5, 21))
    figure = charts.against_paper({"D2": values})
    axis = figure.axes[0]
    dots, mean, paper = axis.lines
    np.testing.assert_allclose(np.sort(dots.get_xdata()), values)
    assert mean.get_xdata() == pytest.approx([0.4])
    assert paper.get_xdata() == pytest.approx([0.428])
    (bar,) = axis.collections
    # D2 is one run of the paper: mean -+ t s sqrt(1 + 1 / n).
    half = stats.t.ppf(0.95, 20) * values.std() * np.sqrt(22 / 21)
    np.testing.assert_allclose(bar.get_segments()[0][:, 0], [0.4 - half, 0.4 + half])
    plt.close(figure)


def test_the_overview_has_each_claim_as_a_multiple_of_the_papers():
    style.use_style()
    answers = [answer({"D2": pd.Series([0.2, 0.228])}), answer({"D1": pd.Series([0.0, 1.0])})]
    answers += [
        answer({"D3": pd.Series([0.9733, 0.9733])}),
        answer({"S6": pd.Series([-1, -1])}, "MLP"),
    ]
    figure = charts.claims_overview(judged(pd.concat(answers)))
    (axis,) = figure.axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    first = ["D3 test accuracy", "D2 J on the PCA slice, 8-bit weights"]
    assert names[-2:] == first, "the first on top"
    assert max(name.count("\n") for name in names) == 1, "lines of one label meet no other's"
    assert names[-3] == "D1 test labels changed" and len(names) == len(claims())
    marks = {line.get_ydata()[0]: line for line in axis.lines if len(line.get_ydata()) == 1}
    last = len(names) - 1
    assert marks[last].get_xdata() == pytest.approx([0.5]) and marks[last - 1].get_xdata() == [1]
    told = {text.get_position()[1]: text.get_text() for text in axis.texts}
    sign = names.index("S6 held-out flip rate, Fashion-MNIST")
    assert told[last - 2] == "paper: 0" and told[sign] == "paper: falls"
    assert marks[last - 2].get_markerfacecolor() == marks[sign].get_markerfacecolor() == "none"
    one = axis.lines[-1]
    assert list(one.get_xdata()) == [1, 1] and axis.get_xscale() == "log"
    plt.close(figure)


def test_against_paper_marks_zero_for_a_sign_and_both_ends_of_a_range():
    style.use_style()
    values = pd.Series([-0.2, -0.1, 0.1])
    figure = charts.against_paper({"S5": values, "P1": values})
    sign, span = figure.axes
    assert sign.lines[-1].get_xdata() == [0, 0] and "(falls)" in sign.get_title(loc="left")
    assert list(span.lines[-1].get_xdata()) == [0.947, 0.994]
    plt.close(figure)


def test_far_ends_are_drawn_by_their_square_root():
    frame = pd.DataFrame({"pair": list("abcd"), "flip_rate": [0.5, 0.01, 0.02, 0.015]})
    for rows, scale in ((frame, "function"), (frame[1:], "linear")):
        summary = summarize(rows, ["pair"], ["flip_rate"])
        (ax,) = charts.interval_rows(summary, "pair", {"flip_rate": "flip rate"}).axes
        assert ax.get_xscale() == scale
        plt.close("all")


def test_interval_rows_run_from_top_to_bottom():
    style.use_style()
    frame = pd.DataFrame({"pair": ["b", "a"] * 2, "j": [0.0, 0.5, 1.0, 0.5]})
    figure = charts.interval_rows(summarize(frame, ["pair"], ["j"]), "pair", {"j": "J"})
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["b", "a"]
    assert axis.get_ylim()[0] > axis.get_ylim()[1]
    np.testing.assert_allclose(axis.lines[0].get_xdata(), [0.5, 0.5])
    np.testing.assert_allclose(axis.collections[0].get_segments()[0][:, 0], [0, 1])
    plt.close(figure)


def test_stepper_holds_all_frames_and_needs_no_server():
    captions = ["first <of> three", "second", "third"]
    films = {
        name: [maps.Frame(a_map(k + shift), text) for k, text in enumerate(captions)]
        for name, shift in (("seed 0", 0), ("seed <1>", 5))
    }
    page = maps.stepper(films, 4, "a & b", {"seed 0": a_map(9)}).data
    images, found = (
        json.loads(v) for v in re.findall(r"(?:images|captions) = (\{.*?\})[,;]", page)
    )
    assert list(images) == list(films) and found == dict.fromkeys(films, captions)
    assert len({image for film in images.values() for image in film}) == 6
    assert all(i.startswith("data:image/webp;base64,") for film in images.values() for i in film)
    assert 'alt="first &lt;of&gt; three"' in page and "<option>seed &lt;1&gt;</option>" in page
    assert "http" not in re.sub(r"data:image/webp;base64,[\w+/=]*", "", page)
    assert page == maps.stepper(films, 4, "a & b", {"seed 0": a_map(9)}).data
    alone = maps.stepper({"": films["seed 0"]}, 4, "a & b").data
    assert "<option>" not in alone and "boundary in float" in page and "in float" not in alone


def test_an_outline_lies_below_the_boundary_of_the_frame():
    frame, float_map = maps.Frame(a_map(0), ""), a_map(1)

    def kinds(outline):
        page = maps.stepper({"": [frame]}, 4, "", outline).data
        data = re.search(r'src="data:image/webp;base64,([\w+/=]*)"', page)[1]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))[::-2, ::2]

    own = boundary_mask(frame.grid.labels, "one")
    with_outline, without = kinds({"": float_map}), kinds(None)
    drawn = (with_outline == (213, 94, 0)).all(axis=2)
    assert drawn.any() and not (drawn & own).any()
    assert (boundary_mask(float_map.labels, "one") | ~drawn).all()
    assert (with_outline == without)[~drawn].all()


def test_a_film_of_levels_goes_over_each_step_of_every_transition():
    network = models.mlp(2, 4, 8, "tanh", seed=0)
    film = maps.film_of_levels(network, [4, 3, 2], PLANE, 2, 30)
    assert [frame.caption.partition(":")[0] for frame in film] == [
        *("4 to 3 bits, t = 0.00", "4 to 3 bits, t = 0.50", "4 to 3 bits, t = 1.00"),
        *("3 to 2 bits, t = 0.00", "3 to 2 bits, t = 0.50", "3 to 2 bits, t = 1.00"),
    ]
    last = label_map(ptq_w(network, 2), PLANE, 30)
    np.testing.assert_array_equal(film[-1].grid.labels, last.labels)
    assert "0.0% of the cells changed" in film[0].caption
    assert film[0].marked.sum() >= slices.junction_cells(film[0].grid.labels).sum()


@pytest.mark.parametrize("lengths", [{}, {"a": 0}, {"a": 1, "b": 2}])
def test_stepper_names_unequal_numbers(lengths):
    films = {name: [maps.Frame(a_map(), "")] * k for name, k in lengths.items()}
    with pytest.raises(ValueError, match=f"films have {lengths} frames: allowed are equal"):
        maps.stepper(films, 4, "title")


@pytest.mark.parametrize("seed", range(3))
def test_the_runs_of_a_map_paint_it_again(seed):
    labels = np.random.default_rng(seed).integers(0, 3, (7, 7)).astype(np.int16)
    labels[3] = 1  # one run from side to side
    grids = {
        name: LabelMap(part, PLANE, "dense", 49)
        for name, part in (("a", labels), ("b", labels.T.copy()))
    }
    runs = maps.map_runs(grids)
    for name, grid in grids.items():
        painted = np.full((7, 7), -1)
        for run in runs[runs["map"] == name].itertuples():
            assert (painted[run.row, run.first : run.last + 1] == -1).all()
            painted[run.row, run.first : run.last + 1] = run.label
        np.testing.assert_array_equal(painted, grid.labels)
    assert len(runs[(runs["map"] == "a") & (runs["row"] == 3)]) == 1


def test_against_grids_draws_each_width_and_the_claims_that_it_has():
    style.use_style()
    rows = [(b, n, n / 100, 0.5, 0.1, 0.2) for b in (4, 6) for n in (10, 40)]
    names = ["bits", "n", "jaccard", "law", "grid_change", "curve_distance"]
    frame = pd.DataFrame(rows, columns=names)
    summary = summarize(frame, names[:2], names[2:])
    figure = charts.against_grids(summary, {"D2": 8, "D4": 4})
    above, *below = figure.axes
    measured = above.lines[0]
    assert measured.get_label() == "4 bits, measured"
    assert list(measured.get_xdata()) == [10, 40] and list(measured.get_ydata()) == [0.1, 0.4]
    assert [text.get_text() for text in above.texts] == ["paper, D4"]
    assert [len(ax.lines) for ax in below] == [2, 2]
    plt.close(figure)


def test_against_thresholds_draws_means_and_thresholds():
    style.use_style()
    frame = pd.DataFrame(
        {
            "setting": ["s", "s", "t"],
            "candidate": [4, 4, 4],
            "jaccard": [0.1, 0.3, 0.5],
            "loss": 0.0,
        }
    )
    panels = {"loss": ("loss", 0.01), "jaccard": ("J", 0.7)}
    figure = charts.against_thresholds(frame, panels)
    loss, j = figure.axes
    assert [list(line.get_ydata()) for line in j.lines] == [[0.2], [0.5], [0.7, 0.7]]
    assert loss.get_yscale() == "symlog" and j.get_yscale() == "linear"
    assert j.get_xlabel() and not loss.get_xlabel()
    plt.close(figure)


def test_paired_dots_join_the_two_ends_of_each_network():
    style.use_style()
    index = pd.MultiIndex.from_tuples([("s", "d", 0), ("s", "d", 1), ("t", "c", 0)])
    columns = pd.MultiIndex.from_tuples([("j", "b"), ("j", "a")])
    pairs = pd.DataFrame([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], index, columns)
    plt.close(charts.paired_dots(pairs.loc[["t", "s"]], {"j": "J"}, ("a", "b")))  # in any order
    figure = charts.paired_dots(pairs, {"j": "J"}, ("a", "b"))
    axis = figure.axes[0]
    hollow, filled = axis.lines[:2]
    assert list(hollow.get_xdata()) == [0.2, 0.4] and list(filled.get_xdata()) == [0.1, 0.3]
    assert hollow.get_markerfacecolor() == "white" != filled.get_markerfacecolor()
    assert [label.get_text() for label in axis.get_yticklabels()] == ["s", "t"]
    plt.close(figure)


def test_threshold_maps_write_bits_shade_flips_and_frame_their_own():
    style.use_style()
    rows = [("s", f, j, 4 + 10 * f + j, f / 10) for f in (0.1, 0.2) for j in (0.3, 0.6, 0.9)]
    study = pd.DataFrame(rows, columns=["setting", "tau_f", "tau_j", "bits", "flip_rate"])
    figure = charts.threshold_maps(study, (0.2, 0.6))
    axis = figure.axes[0]
    assert [text.get_text() for text in axis.texts] == ["5.3", "5.6", "5.9", "6.3", "6.6", "6.9"]
    np.testing.assert_allclose(axis.collections[0].get_array().ravel(), [1.0] * 3 + [2.0] * 3)
    assert axis.patches[0].get_xy() == (1, 1)
    plt.close(figure)


def test_the_frontier_never_falls_and_marks_its_own():
    style.use_style()
    points = pd.DataFrame(
        {
            "setting": "s",
            "kind": ["own", "study", "study", "study"],
            "cost": [1.0, 2.0, 0.0, 1.0],
            "gain": [0.5, 0.4, 0.1, 0.3],
        }
    )
    figure = charts.frontier(points, "cost", "gain", ("bits", "share"))
    best, own = figure.axes[0].lines
    assert list(best.get_xdata()) == [0, 1, 2] and list(best.get_ydata()) == [0.1, 0.5, 0.5]
    assert list(own.get_xdata()) == [1] and list(own.get_ydata()) == [0.5]
    plt.close(figure)


def test_what_is_all_zero_is_drawn_on_a_plain_axis():
    """A logarithmic one would warn, which is an error here."""
    style.use_style()
    frame = pd.DataFrame({"bits": [8, 16], "shift": 0.0, "angle": [1.0, 2.0]})
    summary = summarize(frame, ["bits"], ["shift", "angle"])
    panels = {"shift, mm": {"shift": "all"}, "angle, degrees": {"angle": "all"}}
    figure = charts.by_bits(summary, panels, log=list(panels))
    assert [ax.get_yscale() for ax in figure.axes] == ["linear", "log"]
    plt.close(figure)


def test_by_bits_and_group_has_a_row_a_measure_and_a_column_a_group():
    style.use_style()
    frame = pd.DataFrame(
        [
            {"family": family, "scheme": scheme, "bits": bits, "loss": -0.01, "flips": 1 / bits}
            for family in ("net", "other")
            for scheme in ("a", "b")
            for bits in (8, 4)
        ]
    )
    summary = summarize(frame, ["family", "scheme", "bits"], ["loss", "flips"])
    rows = {"loss": "loss of accuracy", "flips": "flip rate"}
    paper = {"flips": (4, "F2")}
    figure = charts.by_bits_and_group(summary, "family", "scheme", rows, paper, ["loss"])
    top, bottom = np.array(figure.axes).reshape(2, 2)
    assert [ax.get_title() for ax in top] == ["net", "other"]
    assert [ax[0].get_ylabel() for ax in (top, bottom)] == ["loss of accuracy", "flip rate"]
    assert [ax.get_yscale() for ax in (*top, *bottom)] == ["symlog", "symlog", "log", "log"]
    for ax in bottom:
        first, second, mark = ax.lines
        np.testing.assert_allclose(sorted(first.get_xydata().tolist()), [[-8, 1 / 8], [-4, 1 / 4]])
        assert first.get_color() != second.get_color()
        np.testing.assert_allclose(mark.get_xydata(), [[-4, charts.paper_value("F2")]])
    assert all(len(ax.lines) == 2 for ax in top)
    plt.close(figure)


@pytest.mark.parametrize(("flips", "share"), [([0.0, 0.02, 0.9], 0.2), ([0.0], 0.8), ([0.7], 1.0)])
def test_the_law_of_the_band_is_drawn_beside_the_networks(flips, share):
    style.use_style()
    levels = pd.DataFrame({"net": "a", "flip_rate": flips, "band_flip_rate": flips})
    figure = charts.band_law(levels, "net", share, {"paper": (0.05, 0.2), "other": (0.03, 0.1)})
    (axis,) = figure.axes
    *laws, dots, paper, other = axis.lines
    for line, part in zip(laws, (share / 2, share, min(1.5 * share, 1)), strict=True):
        rate, law = line.get_xydata()[50]
        assert law == pytest.approx(band_flip_law(rate, part))
    np.testing.assert_allclose(dots.get_xdata(), flips)
    assert dots.get_linestyle() == "None"
    assert [paper.get_xydata()[0].tolist(), other.get_xydata()[0].tolist()] == [
        [0.05, 0.2],
        [0.03, 0.1],
    ]
    assert paper.get_marker() != other.get_marker()
    svg(figure)  # drawn without a warning, whatever lies off the axes


def test_band_widths_draw_both_lines_of_each_group_and_the_paper():
    style.use_style()
    rows = pd.DataFrame({"share": [0.1, 0.5], "band_flip_rate": [0.4, 0.3], "law": [0.45, 0.2]})
    rates = pd.concat([rows.assign(net="a"), rows.assign(net="b", law=0.1)])
    figure = charts.band_widths(rates, "net", 0.2, "F3")
    (axis,) = figure.axes
    *lines, paper = axis.lines
    assert [line.get_label() for line in lines] == [
        "a, measured",
        "a, law",
        "b, measured",
        "b, law",
    ]
    np.testing.assert_allclose(lines[0].get_ydata(), [0.4, 0.3])
    np.testing.assert_allclose(lines[3].get_ydata(), [0.1, 0.1])
    np.testing.assert_allclose(paper.get_xydata(), [[0.2, charts.paper_value("F3")]])
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["10%", "50%"]
    assert axis.yaxis.get_major_formatter()(0.045) == "4.5%"
    plt.close(figure)


def test_shares_on_a_logarithmic_axis_are_percentages_at_the_ticks_with_room():
    figure, axis = plt.subplots()
    axis.set(xscale="log", xlim=(1e-3, 1))
    charts.share_axis(axis.xaxis)
    figure.canvas.draw()
    shown = [
        tick for tick in axis.get_xticklabels(which="both") if 1e-3 <= tick.get_position()[0] <= 1
    ]
    assert [tick.get_text() for tick in shown if tick.get_text()] == ["0.1%", "1%", "10%", "100%"]
    plt.close(figure)


@pytest.mark.parametrize(("flips", "scale"), [([0.0, 0.1], "log"), ([0.0, 0.0], "linear")])
def test_an_axis_is_logarithmic_where_something_lies_above_zero(flips, scale):
    summary = summarize(pd.DataFrame({"bits": [12, 8], "flips": flips}), ["bits"], ["flips"])
    figure = charts.by_bits(summary, {"flip rate": {"flips": "ours"}}, log=["flip rate"])
    assert figure.axes[0].get_yscale() == scale
    svg(figure)


def test_panels_of_intervals_space_any_values_evenly():
    frame = pd.DataFrame({"w": [0, 1, 10], "name": "a", "j": [1.0, 2.0, 3.0], "k": 0.0})
    frame = pd.concat([frame, frame.assign(name="b", j=5.0)])
    summary = summarize(frame, ["name", "w"], ["j", "k"])
    figure = charts.interval_panels(summary, "w", {"j": "J", "k": "K"}, "name")
    top, bottom = figure.axes
    assert [line.get_label() for line in top.get_lines()] == ["a", "b"]
    np.testing.assert_array_equal(top.get_lines()[0].get_xydata(), [[0, 1], [1, 2], [2, 3]])
    assert [text.get_text() for text in bottom.get_xticklabels()] == ["0", "1", "10"]
    assert (top.get_ylabel(), bottom.get_ylabel()) == ("J", "K")
    plt.close(figure)


def test_dodged_intervals_stand_side_by_side_at_their_place():
    frame = pd.DataFrame({"at": ["x", "y", "y"], "set": ["a", "a", "b"], "r": [1.0, 2.0, 3.0]})
    frame = frame.assign(r_lo=frame["r"] - 1, r_hi=frame["r"] + 1)
    figure, ax = plt.subplots()
    charts.dodged_intervals(ax, frame, "at", {"y": "why", "x": "ex"}, "r", "set")
    first, second = ax.get_lines()
    np.testing.assert_allclose(first.get_xydata(), [[0.92, 1], [-0.08, 2]])
    np.testing.assert_allclose(second.get_xydata(), [[0.08, 3]])
    assert first.get_marker() != second.get_marker()
    ends = [segment[:, 1].tolist() for bars in ax.collections for segment in bars.get_segments()]
    assert ends == [[0, 2], [1, 3], [2, 4]]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["why", "ex"]
    plt.close(figure)


def test_scatter_panels_draw_every_row_once_in_its_panel():
    rows = [(p, s, b, b / 10, b / 5) for p in "uvw" for s in "st" for b in (8, 4)]
    frame = pd.DataFrame(rows, columns=["p", "s", "b", "x", "y"])
    figure = charts.scatter_panels(
        frame, {"x": "X", "y": "Y"}, panel="p", shape="s", shade="b", unit=" bits"
    )
    drawn = [ax for ax in figure.axes if ax.get_title()]
    assert [ax.get_title() for ax in drawn] == ["u", "v", "w"]
    for ax in drawn:
        marks = [line for line in ax.get_lines() if line.get_marker() != "None"]
        assert sorted(tuple(m.get_xydata()[0]) for m in marks) == sorted(
            zip(frame["x"][:4], frame["y"][:4], strict=True)
        )
        assert len({(m.get_marker(), tuple(m.get_color())) for m in marks}) == 4
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("X", "Y")
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["s", "t", "8 bits", "4 bits"]
    plt.close(figure)


def test_junctions_along_shows_the_papers_count_however_large():
    style.use_style()
    along = pd.DataFrame(
        {"transition": ["a", "a", "b", "b"], "t": [0, 1] * 2, "triple": [3, 4, 5, 6]}
    )
    summary = summarize(along, ["transition", "t"], ["triple"])
    figure = charts.junctions_along(summary, {"b": "T2"})
    assert [axis.get_title() for axis in figure.axes] == ["a", "b (T2)"]
    assert figure.axes[1].lines[1].get_ydata()[0] == 34 < figure.axes[1].get_ylim()[1]
    assert [text.get_text() for text in figure.legends[0].get_texts()][-1] == "paper"
    plt.close(figure)


def test_shares_within_are_cumulative_and_leave_out_the_open_bin():
    style.use_style()
    kinds = ["changed cells", "boundary cells", "all cells", "regions"]
    frame = pd.DataFrame(
        [("a", kind, d, c) for kind in kinds for d, c in ((0.1, 1), (0.2, 2), (0.3, 1))],
        columns=["transition", "kind", "distance", "count"],
    )
    figure = charts.shares_within(pd.concat([frame, frame]), 0.1)
    assert figure.axes[0].lines[0].get_ydata().tolist() == [0.25, 0.75]
    plt.close(figure)
