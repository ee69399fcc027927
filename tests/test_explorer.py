"""The explorer in the page: what it is given, and in a browser that its numbers are those of ``baq``."""

import functools
import http.server
import random
import re
import runpy
import shutil
import sys
import threading
import types
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from baq import compare, local, ptq_w, slices
from baq.rounding import adaround, boundary_metric
from baq.slices.grids import across_grids
from baq.zoo import data, explorer
from baq.zoo.recipes import mnist_network

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "book" / "results" / "explore"
STATIC = ROOT / "book" / "_static"


# What the page is given.


@pytest.fixture(scope="module")
def tiny():
    """A small network of the page, made in a moment."""
    given = {"hidden": 8, "epochs": 2, "test": 0.1, "bits": [3, 4], "images": 50, "steps": 5}
    return explorer.made("digits", 0, "tanh", **given)


def test_what_is_written_is_read_again(tiny, tmp_path):
    path = tmp_path / "digits.js"
    digest = explorer.save(path, "digits", {"tanh-0": tiny})
    assert explorer.save(path, "digits", {"tanh-0": tiny}) == digest
    (again,) = explorer.load(path).values()
    assert torch.equal(again.x, tiny.x) and torch.equal(again.y, tiny.y)
    assert torch.equal(again.network(tiny.x), tiny.network(tiny.x))
    assert again.plane.extent == tiny.plane.extent and torch.equal(again.plane.u, tiny.plane.u)
    assert again.up.keys() == tiny.up.keys()
    assert all(torch.equal(again.up[key], up) for key, up in tiny.up.items())


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("way", explorer.ROUNDINGS)
def test_roundings_are_those_of_the_package(tiny, way, per_channel):
    x = explorer.digits_network(0, 8, "tanh", 2, test=0.1)[1].x_train[:50]
    given = {"per_channel": per_channel, "steps": 5}
    made = {
        "adaround": lambda: adaround(tiny.network, 3, x, **given),
        "boundary metric": lambda: boundary_metric(tiny.network, 3, x, exact=[0.0], **given),
    }[way]()
    shown = tiny.rounded(way, 3, per_channel=per_channel)
    nearest = ptq_w(tiny.network, 3, per_channel=per_channel)
    for name in ("1", "3"):
        weight = shown.get_submodule(name).weight
        assert torch.equal(weight, made.get_submodule(name).weight)
        assert not torch.equal(weight, nearest.get_submodule(name).weight)


def test_adaround_takes_bits_by_layer(tiny):
    x = explorer.digits_network(0, 8, "tanh", 2, test=0.1)[1].x_train[:50]
    bits = {"1": 4, "3": 3}
    made = adaround(tiny.network, bits, x, steps=5)
    shown = tiny.rounded("adaround", bits)
    assert torch.equal(shown[1].weight, made[1].weight)
    assert torch.equal(shown[3].weight, made[3].weight)


@pytest.mark.parametrize(
    ("way", "bits", "told"),
    [
        ("adaround", 9, "bits are 9: allowed are 3, 4"),
        ("boundary metric", {"1": 3, "3": 4}, "allowed is one number for the boundary metric"),
        ("up", 3, "way is 'up'"),
    ],
)
def test_what_was_not_shipped_is_refused(tiny, way, bits, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        tiny.rounded(way, bits)


def test_other_networks_and_images_are_refused(tiny, tmp_path):
    deep = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU())
    for changed, told in (
        ({"network": deep}, "has not one hidden layer"),
        ({"x": tiny.x + 0.01}, "are no multiples of 1/16"),
    ):
        shown = explorer.Shown(**{**vars(tiny), **changed})
        with pytest.raises(ValueError, match=told):
            explorer.save(tmp_path / "digits.js", "digits", {"a": shown})


@pytest.mark.parametrize("text", ["", "explore.receive", 'explore.receive("digits", "AAAA");\n'])
def test_a_damaged_file_is_named(text, tmp_path):
    path = tmp_path / "digits.js"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"digits.js is damaged or no file of networks"):
        explorer.load(path)


def test_a_missing_file_says_what_to_do(tmp_path):
    told = r"^no file '.*gone\.js': start Python in the folder of the book, or give the path .*$"
    with pytest.raises(FileNotFoundError, match=told) as error:
        explorer.load(tmp_path / "gone.js")
    assert "\n" not in str(error.value)


def test_networks_are_those_of_the_recipes(monkeypatch):
    x, y = torch.arange(160 * 784).remainder(256).reshape(160, 1, 28, 28) / 255, torch.arange(160)
    split = data.Splits(x, y % 10, x[:0], y[:0], x[:20], y[:20] % 10)
    monkeypatch.setattr(data, "load", lambda *_, **__: split)
    given = {"hidden": 5, "epochs": 2, "bits": [3], "images": 40, "steps": 2, "test": 20}
    made = explorer.made("mnist", 3, "relu", **given).network
    wanted, _ = mnist_network("mnist", 3, epochs=2, test=20, hidden=5)
    assert all(map(torch.equal, made.state_dict().values(), wanted.state_dict().values()))
    with pytest.raises(ValueError, match="activation is 'tanh': allowed"):
        explorer.made("mnist", 3, "tanh", **given)


def figure(page="explore"):
    """The place for the explorer, as the executed notebook has it."""
    notebook = nbformat.read(ROOT / "book" / f"{page}.ipynb", as_version=4)
    texts = [
        output.get("data", {}).get("text/html", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    ]
    (found,) = [text for text in texts if "data-explore" in text]
    return found


def test_the_files_are_those_that_the_chapter_wrote(tmp_path):
    digests = re.search(r'data-digests="([^"]+)"', figure())[1].split()
    assert len(digests) == 3
    for name, digest in (entry.split(":") for entry in digests):
        path = SHIPPED / f"{name}.js"
        assert explorer.save(tmp_path / path.name, name, explorer.load(path)) == digest


def test_the_site_takes_the_networks_along(tmp_path):
    copy = runpy.run_path(str(ROOT / "book" / "_ext" / "explorer.py"))["_copy"]
    for name, error, count in (("done", None, 3), ("failed", ValueError(), 0)):
        static = tmp_path / name / "_static"
        static.mkdir(parents=True)
        copy(types.SimpleNamespace(outdir=tmp_path / name, confdir=ROOT), error)
        assert len(list(static.iterdir())) == count


def test_page_and_data_are_light():
    files = [*(STATIC / "explore").iterdir(), *SHIPPED.glob("*.js")]
    assert len(files) > 10
    assert sum(path.stat().st_size for path in files) < 1_450_000  # and 50 kB for the page


def test_its_numbers_are_the_book_s():
    shown = explorer.load(SHIPPED / "digits.js")["tanh-0"]
    table = pd.read_csv(ROOT / "book" / "results" / "02-slice-geometry" / "by-seed.csv")
    (row,) = table[(table["seed"] == 0) & (table["bits"] == 8)].to_dict("records")
    made = compare(
        shown.network, ptq_w(shown.network, 8), shown.x, shown.y, planes=shown.plane, n=row["n"]
    ).iloc[0]
    for name in ("jaccard", "grid_change", "mean_displacement", "accuracy", "flip_rate", "triple"):
        assert made[name] == pytest.approx(row[name], rel=1e-4), name


# In a browser.

for folder in (ROOT / "_build" / "checks").glob("lib/python3*/site-packages"):
    sys.path.append(str(folder))
try:
    from playwright.sync_api import sync_playwright
except ImportError:
    sync_playwright = None
CHROMIUM = shutil.which("chromium")
in_browser = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium"),
    pytest.mark.skipif(not sync_playwright, reason="`make _build/checks/installed` was not run"),
]
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
PLACE = "[data-explore]"
HEAD = """<!doctype html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Explore</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="../_static/book.css">
<script defer src="../_static/explore/start.js"></script></head>
<body><main class="bd-article"><h1>Explore</h1>{body}</main></body></html>"""
#: A definition of each part, broken.
MUTANTS = {
    "jaccard.js": ("1 - both / either", "both / either"),
    "quantize.js": ("2 ** (bits - 1) - 1", "2 ** (bits - 1)"),
    "curves.js": (
        "Math.hypot(found[k + 2] - found[k],",
        "Math.abs(found[k + 2] - found[k]) + Math.abs(",
    ),
    "test-images.js": ("SHARE = 0.2", "SHARE = 0.3"),
    "network.js": ("(j + 0.5)", "(j + 0.52)"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the explorer's page, without the rest of the book."""
    root = tmp_path_factory.mktemp("site")
    shutil.copytree(STATIC, root / "_static")
    for path in SHIPPED.glob("*.js"):
        shutil.copy(path, root / "_static")
    (root / "book").mkdir()
    for theme in ("light", "dark"):
        (root / "book" / f"{theme}.html").write_text(HEAD.format(theme=theme, body=figure()))
    bodies = {"small": figure("intro"), "both": figure("intro") + figure()}
    for name, body in bodies.items():
        (root / "book" / f"{name}.html").write_text(HEAD.format(theme="light", body=body))
    return root


@pytest.fixture(scope="module")
def served(site):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/book/light.html"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield started
        started.close()


@pytest.fixture
def visit(browser, served):
    """Opens the page at a state; what its console, its requests and its scripts complain of is none."""
    complaints, contexts = [], []

    def opened(state="", address=served, forgiven=(), changed=None, script="", **how):
        context = browser.new_context(viewport={"width": 1000, "height": 900}, **how)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        base = address.rpartition("/book/")[0]
        if script:
            page.add_init_script(script)

        def local(route):
            url = route.request.url
            name = url.partition("?")[0].rpartition("/")[2]
            if changed and name in changed:
                text = changed[name]
                if text is None:
                    route.abort()
                else:
                    route.fulfill(body=text, content_type="text/javascript")
                return
            if not url.startswith((base, "data:", "blob:")):
                complaints.append(f"asks for {url}")
            route.continue_()

        page.route("**/*", local)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text)
                if message.type in ("error", "warning")
                and not any(word in message.text for word in forgiven)
                else None
            ),
        )
        page.goto(f"{address}{state}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def settle(page):
    page.wait_for_selector(f"{PLACE}[data-settled]", state="attached")


def go(page, state):
    """Brings the page to a state by its address."""
    page.evaluate(
        """state => {
        const place = document.querySelector("[data-explore]"), old = location.hash;
        place.removeAttribute("data-settled");
        location.hash = state;
        if (location.hash === old) place.setAttribute("data-settled", "");}""",
        state,
    )
    settle(page)


def shown(page):
    """What the page shows: read-outs, label maps and the code."""
    return page.evaluate(
        """() => {
        const place = document.querySelector("[data-explore]"), { n, measures } = place.shown;
        const texts = [...place.querySelectorAll("[data-measure]")].map(one => [one.dataset.measure, one.textContent]);
        return { n, labels: measures.labels.map(one => Array.from(one)), texts: Object.fromEntries(texts),
                 code: place.querySelector("pre code").textContent };}"""
    )


def run(code):
    """What the page's code makes: its names, and the row that it prints."""
    names = {}
    exec(code, names)
    return names, names["found"].iloc[0]


def numbers(text):
    """The numbers of a read-out, each with half a unit of its last digit; shares are hundredths."""
    found = []
    for value, power, percent in re.findall(r"(\d+(?:\.\d+)?)(?:×10⁻([⁰¹²³⁴⁵⁶⁷⁸⁹]+))?( %)?", text):
        exponent = int(power.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")) or 0)
        unit = 10.0 ** -(len(value.partition(".")[2]) + exponent) * (0.01 if percent else 1)
        found.append((float(value) * 10.0**-exponent * (0.01 if percent else 1), unit / 2))
    return found


def wrong(said):
    """The measures and the maps of a state that are not those of ``baq``."""
    names, row = run(said["code"])
    points = row["points"]
    band = max(1, round(0.2 * points))
    flips = [row["flip_rate"] * points, points, row["flip_rate"]]
    expected = {
        "jaccard": [row["jaccard"]],
        "displacement": [row["mean_displacement"]],
        "gridChange": [row["grid_change"]],
        "junctions": [row["triple_reference"], row["triple"]],
        "accuracy": [row["accuracy_reference"], row["accuracy"]],
        "flips": flips,
        "bandFlips": [row["band_flip_rate"] * band, band, row["band_flip_rate"]],
    }
    assert expected.keys() == said["texts"].keys()
    found = []
    for name, values in expected.items():
        read = numbers(said["texts"][name])
        # The page bisects in float64, the package in float32: the length is off by 1e-5.
        if len(read) != len(values) or any(
            not abs(a - b) <= half * 1.001 + 2e-5 * abs(b)
            for (a, half), b in zip(read, values, strict=True)
        ):
            found.append(f"{name}: {said['texts'][name]!r}, not {values}")
    for labels, network in zip(said["labels"], (names["network"], names["candidate"]), strict=True):
        grid = slices.label_map(network, names["plane"], said["n"])
        off = np.flatnonzero(grid.labels.ravel() != labels)
        z = network(names["plane"].inputs(grid.plane.centres(said["n"]).reshape(-1, 2)[off]))
        if len(off) and local.margins(z.detach()).max() > 1e-5:
            found.append(f"{len(off)} labels")
    return found


def states(count, seed):
    """Random states of the page, as text."""
    draw = random.Random(seed)
    names = re.search(r'data-networks="([^"]+)"', figure())[1].split()
    for k in range(count):
        rounding = draw.choice(["nearest", "nearest", "adaround", "boundary metric"])
        widths = range(2, 17) if rounding == "nearest" else range(2, 9)
        bits = [draw.choice(widths)] * 2 if k % 2 or rounding == "boundary metric" else None
        state = {
            "network": names[k % len(names)],
            "rounding": rounding,
            "scale": draw.choice(["tensor", "channel"]),
            "bits": bits or [draw.choice(widths), draw.choice(widths)],
            "to": draw.choice(widths),
            "t": draw.choice([0, 0, 1, round(draw.random(), 3)]),
            "n": draw.choice([9, 33, draw.randint(10, 300)]),
            "sides": draw.choice(["one", "two"]),
            "plane": draw.choice(["pca", "three"]),
            "images": draw.sample(range(450), 3),
        }
        if draw.random() < 0.4:
            state |= {
                "zoom": round(draw.uniform(1, 8), 2),
                "x": draw.random(),
                "y": draw.random(),
            }
        yield "&".join(
            f"{key}={','.join(map(str, value)) if isinstance(value, list) else value}"
            for key, value in state.items()
        )


class TestInABrowser:
    """The page against ``baq``, its controls, and what it does where something is missing."""

    pytestmark = in_browser

    @pytest.fixture(autouse=True)
    def where(self, monkeypatch):
        monkeypatch.chdir(ROOT)  # the page's code names files below it

    @pytest.mark.parametrize("seed", range(4))
    def test_random_states_have_the_numbers_of_the_package(self, visit, seed):
        page = visit()
        settle(page)
        for state in states(10, seed):
            go(page, state)
            assert wrong(shown(page)) == [], state

    def test_a_fine_grid_has_the_labels_of_the_package(self, visit):
        page = visit("#n=1025&bits=4,4&network=digits/relu-1")
        settle(page)
        assert wrong(shown(page)) == []

    @pytest.mark.parametrize("name", MUTANTS)
    def test_a_broken_definition_is_noticed(self, visit, name):
        text = (STATIC / "explore" / name).read_text("utf-8")
        old, new = MUTANTS[name]
        assert text.count(old) >= 1
        page = visit("#bits=4,4&n=65", changed={name: text.replace(old, new)})
        settle(page)
        assert wrong(shown(page))

    @pytest.mark.parametrize("state", ["bits=6,6", "bits=4,3&network=fashion-mnist/relu-0&zoom=2"])
    def test_the_plot_is_that_of_the_chapter(self, visit, state):
        page = visit(f"#{state}&t=0.5")
        page.wait_for_function(f"document.querySelector('{PLACE}').plotted")
        plotted = page.evaluate(f"document.querySelector('{PLACE}').plotted")
        names, _ = run(shown(page)["code"])
        grids = [row["n"] for row in plotted["grids"]]
        assert max(grids) == 1025 and min(grids) == 9
        made, _ = across_grids(names["network"], {"q": names["candidate"]}, names["plane"], grids)
        made = made.set_index("n").loc[grids]
        assert [r["jaccard"] for r in plotted["grids"]] == pytest.approx(made["jaccard"].tolist())
        law = [row["law"] for row in plotted["law"]]
        assert law == pytest.approx(made["law"].tolist(), rel=1e-4)

    @pytest.mark.parametrize("network", ["digits/tanh-1", "mnist/relu-0"])
    def test_a_point_has_the_values_of_both_networks(self, visit, network):
        page = visit(f"#network={network}&bits=3,3&probe=0.25,-0.4")
        settle(page)
        probed = page.evaluate(f"document.querySelector('{PLACE}').probed")
        names, _ = run(shown(page)["code"])
        x = names["plane"].inputs(torch.tensor([[0.25, -0.4]], dtype=torch.float64))
        seen = np.array(probed["input"])
        assert seen == pytest.approx(x.ravel().numpy(), abs=1e-6)
        for one, net in zip(
            probed["networks"], (names["network"], names["candidate"]), strict=True
        ):
            z = net(x).detach()
            assert one["logits"] == pytest.approx(z[0].tolist(), abs=1e-4)
            assert one["label"] == int(z.argmax())
            assert one["margin"] == pytest.approx(float(local.margins(z)), abs=1e-4)
            assert one["radius"] == pytest.approx(float(local.radii(net, x)[0]), rel=1e-3)
        said = dict(
            zip(
                page.locator(".probed dt").all_inner_texts(),
                page.locator(".probed dd").all_inner_texts(),
                strict=True,
            )
        )
        one, other = probed["networks"]
        assert said["label"] == f"{one['label']} → {other['label']}"
        assert said["logit 9"] == f"{one['logits'][9]:.2f} → {other['logits'][9]:.2f}"
        page.get_by_role("button", name="reset").click()
        page.locator(".probe").wait_for(state="hidden")

    def test_a_pointer_looks_at_points_while_the_bits_play(self, visit):
        page = visit("#n=33&bits=4,4")
        settle(page)
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        page.click("[data-play='t']")
        page.locator("[data-map='float']").hover()
        page.locator(".probe:visible").wait_for()
        assert page.locator("[data-play='t']").inner_text() == "pause"

    @pytest.mark.parametrize("how", ["mouse", "keyboard", "touch"])
    def test_every_control_works(self, visit, how):
        page = visit(has_touch=True)
        settle(page)
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        controls = page.locator(f"{PLACE} :is(input, select, [data-map], button)")
        assert controls.count() > 30
        act = {"mouse": by_mouse, "keyboard": by_key, "touch": by_touch}[how]
        still = []
        for k in range(controls.count()):
            control = controls.nth(k)
            start = "#plane=three&images=3,7,11&zoom=2&bits=4,5&t=0.25&look=side by side&probe=0,0"
            if control.get_attribute("title") == "whole plane" or control.inner_text() == "reset":
                start += "&n=33"
            go(page, start)
            before = address(page)
            name = control.get_attribute("name") or control.get_attribute("aria-label")
            name = name or control.inner_text()
            drawn = page.evaluate(f"document.querySelector('{PLACE}').frames")
            act(page, control)
            page.wait_for_timeout(100)
            if control.get_attribute("data-play"):  # however slow the machine is
                page.wait_for_function(f"document.querySelector('{PLACE}').frames > {drawn} + 1")
            for button in page.locator("[data-play]", has_text="pause").all():
                button.click()
            settle(page)
            page.wait_for_timeout(250)
            if address(page) == before:
                still.append(name)
        assert still == ["copy as Python"]

    def test_code_is_copied(self, visit):
        page = visit(permissions=["clipboard-read", "clipboard-write"])
        settle(page)
        page.get_by_role("button", name="copy as Python").click()
        page.get_by_role("button", name="copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == shown(page)["code"]

    def test_a_link_restores_a_state(self, visit):
        page = visit()
        settle(page)
        page.get_by_role("button", name="4. 4 bits").click()
        page.get_by_label("network", exact=True).select_option("mnist/relu-0")
        page.wait_for_timeout(300)
        settle(page)
        again = visit(f"#{address(page)}")
        settle(again)
        assert "mnist" in address(page) and shown(again) == shown(page)
        page.get_by_role("button", name="reset").click()
        page.wait_for_timeout(300)
        settle(page)
        assert address(page) == "" and shown(again) != shown(page)

    def test_nonsense_in_a_link_is_passed_over(self, visit):
        page = visit("#bits=99,x&n=-5&network=gone&plane=up&t=&zoom=NaN&layers=no")
        settle(page)
        fresh = visit()
        settle(fresh)
        assert shown(page) == shown(fresh)

    def test_the_steps_show_that_j_reads_the_grid(self, visit):
        page = visit()
        settle(page)
        seen = []
        for step in (2, 3):
            page.click(f"[data-step='{step}']")
            settle(page)
            measures = page.evaluate(f"document.querySelector('{PLACE}').shown.measures")
            seen.append((measures["jaccard"], measures["displacement"]))
            said = page.inner_text(".saying")
            assert f"J is {measures['jaccard']:.2f}" in said
        (coarse, moved), (fine, again) = seen
        assert coarse < 0.1 < 0.7 < fine
        assert moved == pytest.approx(again, rel=0.2)

    @pytest.mark.parametrize("name", ["light", "dark", "small"])
    def test_axe_finds_nothing_serious(self, visit, served, name):
        from importlib.resources import files

        page = visit("#probe=0,0", served.replace("light", name))
        settle(page)
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        page.add_script_tag(path=str(files("axe_playwright_python") / "axe.min.js"))
        found = page.evaluate("axe.run('figure', {resultTypes: ['violations']})")["violations"]
        assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []

    def test_it_fits_a_phone(self, visit):
        page = visit("#probe=0,0", is_mobile=True, has_touch=True)
        page.set_viewport_size({"width": 390, "height": 844})
        settle(page)
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        small = "[...document.querySelectorAll('button, select')].map(one => one.clientHeight)"
        assert min(page.evaluate(small)) >= 24

    def test_it_opens_from_a_file(self, visit, site):
        page = visit("#bits=4,4&n=65", (site / "book" / "light.html").as_uri())
        settle(page)
        assert wrong(shown(page)) == []

    def test_it_needs_no_worker_and_no_webgl(self, visit):
        script = "delete window.Worker; HTMLCanvasElement.prototype.getContext = (old => function (kind, ...more) {"
        script += (
            " if (/webg/.test(kind)) throw Error(kind); return old.call(this, kind, ...more); }"
        )
        script += ")(HTMLCanvasElement.prototype.getContext);"
        page = visit("#bits=4,4&n=65", script=script)
        settle(page)
        assert page.evaluate("typeof Worker") == "undefined" and wrong(shown(page)) == []

    @pytest.mark.parametrize(
        "text", [None, "", 'explore.receive("digits", "AAAA");', "half"], ids=repr
    )
    def test_missing_networks_are_told_in_a_sentence(self, visit, text):
        if text == "half":
            text = (SHIPPED / "digits.js").read_text()[:200_000] + '");'
        page = visit(changed={"digits.js": text}, forgiven=["net::ERR_FAILED"])
        alert = page.locator(f"{PLACE} [role=alert]")
        alert.wait_for()
        assert re.fullmatch(r"The explorer cannot be shown: .*digits\.js.*", alert.inner_text())

    def test_other_networks_go_on_where_one_is_missing(self, visit):
        page = visit(changed={"mnist.js": None}, forgiven=["net::ERR_FAILED"])
        settle(page)
        choice = page.get_by_label("network", exact=True)
        choice.select_option("mnist/relu-0")
        page.locator("[role=alert]", has_text="mnist.js could not be read").wait_for()
        choice.select_option("digits/relu-0")
        settle(page)
        assert wrong(shown(page)) == [] and page.locator("[role=alert]:visible").count() == 0

    def test_changes_while_it_computes_are_kept(self, visit):
        page = visit("#n=1025")
        page.wait_for_function(f"!!document.querySelector('{PLACE}').set")
        page.evaluate(
            f"""() => {{ const place = document.querySelector('{PLACE}');
            for (const change of [{{ n: 513 }}, {{ network: "mnist/relu-0" }}, {{ n: 33 }}]) place.set(change); }}"""
        )
        settle(page)
        assert set(address(page).split("&")) == {"network=mnist%2Frelu-0", "n=33"}
        assert wrong(shown(page)) == []

    def test_a_link_to_images_on_a_line_shows_another_plane_and_says_so(self, visit):
        page = visit("#plane=three&images=1,1,1&n=33")
        settle(page)
        assert "plane=three" not in address(page)
        assert page.get_by_text("The link asks for plane=three").is_visible()
        assert page.locator(f"{PLACE} select").count() > 0

    def test_values_of_another_state_are_dimmed(self, visit):
        page = visit("#n=33")
        settle(page)
        page.evaluate(
            f"""() => {{
              const place = document.querySelector("{PLACE}");
              window.dimmed = [];
              new MutationObserver(() => window.dimmed.push(place.hasAttribute("data-waiting"))).observe(
                place, {{ attributes: true, attributeFilter: ["data-waiting"] }});
              place.set({{ network: "mnist/relu-0", n: 1025 }}); }}"""
        )
        page.wait_for_function("window.dimmed.includes(false)")
        assert page.evaluate("window.dimmed") == [True, False]

    def test_a_wipe_is_dragged_on_the_map(self, visit):
        page = visit("#look=wipe&wipe=0.5&n=33")
        settle(page)
        handle = page.locator(".handle")
        box, width = handle.bounding_box(), page.locator(".stack >> nth=0").bounding_box()["width"]
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 3
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 0.2 * width, y, steps=4)
        page.mouse.up()
        page.wait_for_timeout(200)
        settle(page)
        assert float(re.search(r"wipe=([\d.]+)", address(page))[1]) == pytest.approx(0.7, abs=0.02)
        assert "zoom" not in address(page)
        page = visit("#n=33")
        settle(page)
        assert not page.locator(".handle").is_visible()

    @pytest.mark.parametrize(
        "state, told",
        [
            (
                "n=5&bits=99,99&t=0.2",
                "n=5, which is not allowed; bits=99,99, which is not allowed.",
            ),
            ("network=digits/none", "asks for network=digits/none, which is not allowed."),
            ("toString=1&constructor=2", "asks for toString=1, which is not allowed"),
            ("rounding=adaround&bits=12,12", "bits=12,12, where 8,8 is shown"),
            ("plane=three&images=0,1,9999", "images=0,1,9999, where 0,1,449 is shown"),
            ("plane=three&images=0,0,0", "that of the principal components is shown"),
            ("zoom=2&x=0.9", "x=0.9, where 0.75 is shown"),
        ],
    )
    def test_what_a_link_asks_for_in_vain_is_told(self, visit, state, told):
        page = visit(f"#{state}")
        settle(page)
        assert told in page.locator(".explore-error").inner_text()
        page.locator("input[name=n]").fill("2")
        page.wait_for_timeout(200)
        settle(page)
        assert not page.locator(".explore-error").is_visible()

    def test_a_place_on_the_page_is_no_state(self, visit):
        page = visit("#bits=4,4&n=33")
        settle(page)
        before = shown(page)["texts"]
        page.evaluate("location.hash = '#what-is-shown'")
        page.wait_for_timeout(300)
        settle(page)
        assert shown(page)["texts"] == before and address(page) == "what-is-shown"
        assert not page.locator(".explore-error").is_visible()

    def test_where_workers_may_not_run_the_page_computes(self, visit):
        script = """window.Worker = class { postMessage() { setTimeout(() => this.onerror?.(), 20); } };"""
        page = visit("#n=33", script=script)
        settle(page)
        assert wrong(shown(page)) == []

    def test_a_link_to_a_network_that_does_not_come_shows_another(self, visit):
        page = visit(
            "#network=mnist/relu-0&n=33", changed={"mnist.js": None}, forgiven=["mnist.js", "ERR"]
        )
        settle(page)
        told = page.locator(".explore-error").inner_text()
        assert told.startswith("The link asks for network=mnist/relu-0: mnist.js could not be read")
        network = page.evaluate(f"document.querySelector('{PLACE}').shown.state.network")
        assert network == "digits/tanh-0"

    def test_the_words_of_a_step_are_for_its_own_state(self, visit):
        page = visit("#bits=16,16&step=4")
        settle(page)
        assert page.locator(".saying").inner_text().startswith("Five steps")
        page.get_by_role("button", name="coarse grid").click()
        page.wait_for_timeout(200)
        settle(page)
        assert "Nothing moved but the grid" in page.locator(".saying").inner_text()
        page.evaluate(f"document.querySelector('{PLACE}').set({{n: 65, step: 2}})")
        page.wait_for_timeout(200)
        settle(page)
        assert page.locator(".saying").inner_text().startswith("Five steps")

    def test_a_point_is_left_by_escape_and_by_its_button(self, visit):
        page = visit("#n=33&probe=0.1,0.2")
        settle(page)
        page.get_by_role("button", name="leave the point").click()
        page.locator(".probe").wait_for(state="hidden")
        page.locator("[data-map=float]").focus()
        page.keyboard.press("ArrowLeft")
        page.locator(".probe").wait_for()
        page.keyboard.press("Escape")
        page.locator(".probe").wait_for(state="hidden")

    def test_a_view_without_a_boundary_says_so(self, visit):
        page = visit("#zoom=20&x=0.3&y=0.3&bits=2,2&n=33")
        settle(page)
        assert float(shown(page)["texts"]["jaccard"]) == 0
        assert page.get_by_text("No boundary is in view").is_visible()
        page = visit("#n=33&layers=points")
        settle(page)
        assert not page.get_by_text("No boundary is in view").is_visible()
        assert page.get_by_text("test images, in the colour of their class").is_visible()

    def test_images_are_shown_before_a_plane_goes_through_them(self, visit):
        page = visit("#n=33&images=3,7,11")
        settle(page)
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        told = page.locator(".corners span").all_inner_texts()
        truth = explorer.load(SHIPPED / "digits.js")["tanh-0"].y[[3, 7, 11]].tolist()
        assert told == [f"{name}, a {k}" for name, k in zip("ABC", truth, strict=True)]

    def test_lines_stand_out_from_every_class(self, visit):
        """By WCAG's contrast, 3 to 1 for graphics."""
        page = visit("#n=33")
        settle(page)
        colours = page.evaluate(
            "() => { const { LIGHT, OVER } = explore.use('paint'); return { LIGHT, OVER }; }"
        )

        def luminance(colour):
            c = np.array(colour) / 255
            return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [
                0.2126,
                0.7152,
                0.0722,
            ]

        lines = {name: luminance(colour) for name, colour in colours["OVER"].items()}
        least = min(map(luminance, colours["LIGHT"]))
        assert all((least + 0.05) / (line + 0.05) >= 3 for line in lines.values())
        assert (lines["quantized"] + 0.05) / (lines["float"] + 0.05) > 1.5, "apart in grey"

    def test_the_law_is_told_to_be_of_masks_of_two_sides(self, visit):
        page = visit("#n=33&sides=one")
        settle(page)
        assert page.locator(".lined").inner_text() == "the law: for both sides only"

    def test_another_plane_has_no_point_that_was_looked_at(self, visit):
        page = visit("#n=33&probe=0.1,0.2")
        settle(page)
        assert page.locator(".probe").is_visible()
        page.get_by_label("network", exact=True).select_option("digits/tanh-1")
        page.wait_for_timeout(200)
        settle(page)
        assert not page.locator(".probe").is_visible() and "probe" not in address(page)

    def test_t_plays_to_its_end_and_stops(self, visit):
        page = visit("#t=0.9&n=33")
        settle(page)
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        page.click("[data-play='t']")
        page.locator("[data-play='t']", has_text="pause").wait_for()
        page.locator("[data-play='t']", has_text="play").wait_for()
        settle(page)
        assert "t=1" in address(page).split("&")

    def test_with_reduced_motion_t_goes_in_steps(self, visit):
        page = visit("#n=33&t=0", reduced_motion="reduce")
        settle(page)
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        page.evaluate(f"document.querySelector('{PLACE}').frames = 0")
        page.click("[data-play='t']")
        page.wait_for_timeout(2000)
        assert 1 <= page.evaluate(f"document.querySelector('{PLACE}').frames") <= 5

    def test_what_is_shown_is_said(self, visit):
        page = visit("#n=65")
        settle(page)
        texts = shown(page)["texts"]
        said = page.locator(".unseen[role=status]")
        page.wait_for_function("document.querySelector('.unseen').textContent")
        assert f"Jaccard distance J {texts['jaccard']}" in said.inner_text()

    def test_the_front_page_shows_that_j_reads_the_grid(self, visit, served):
        page = visit(address=served.replace("light", "small"))
        settle(page)
        page.get_by_role("button", name="play the grid").click()
        seen = []
        for _ in range(100):
            page.wait_for_timeout(100)
            seen.append(
                page.evaluate(f"""() => {{ const {{ n, measures }} = document.querySelector('{PLACE}').shown;
                return [n, measures.jaccard, measures.displacement]; }}""")
            )
            if seen[-1][0] == 1025:
                break
        settle(page)
        distances, moved = ([row[k] for row in seen if row[0] >= 17] for k in (1, 2))
        assert distances[0] < 0.1 and distances[-1] > 0.9, "within ten seconds"
        assert min(moved) > 0.85 * max(moved)
        assert page.evaluate("location.hash") == ""

    @pytest.mark.parametrize("how", ["mouse", "keyboard", "touch"])
    def test_every_control_of_the_small_form_works(self, visit, served, how):
        page = visit(address=served.replace("light", "small"), has_touch=True)
        settle(page)
        controls = page.locator(f"{PLACE} :is(input, select, button)")
        names = [one.get_attribute("name") for one in controls.all()]
        assert names == ["network", "levels", None, "n", None]
        act = {"mouse": by_mouse, "keyboard": by_key, "touch": by_touch}[how]
        place = page.locator(f"{PLACE} a")
        for control in controls.all():
            before = place.get_attribute("href")
            act(page, control)
            page.wait_for_timeout(300)
            for button in page.locator("[data-play]", has_text="pause").all():
                button.click()
            page.wait_for_timeout(300)
            settle(page)
            assert place.get_attribute("href") != before, control.evaluate("one => one.outerHTML")

    def test_the_small_form_leads_to_the_same_state(self, visit, served):
        page = visit(address=served.replace("light", "small"))
        settle(page)
        page.get_by_label("network", exact=True).select_option("digits/tanh-1")
        page.locator("input[name=levels]").fill("4.3")
        page.wait_for_timeout(200)
        settle(page)
        assert page.inner_text("output >> nth=0") == "5 → 4, t = 0.70"
        href = page.get_by_role("link", name="Explore further").get_attribute("href")
        name, _, state = href.partition("#")
        assert name == "explore.html"
        again = visit(f"#{state}")
        settle(again)
        found = "one => [...one.shown.measures.labels[1]]"
        assert page.locator(PLACE).evaluate(found) == again.locator(PLACE).evaluate(found)
        assert wrong(shown(again)) == []

    def test_the_bits_play_down_and_go_on_where_they_were_stopped(self, visit, served):
        page = visit(address=served.replace("light", "small"), reduced_motion="reduce")
        settle(page)
        bits = "() => Number(document.querySelector('input[name=levels]').value)"
        page.get_by_role("button", name="play the bits").click()
        page.wait_for_timeout(1200)
        page.get_by_role("button", name="pause the bits").click()
        stopped = page.evaluate(bits)
        assert 6.5 <= stopped < 8
        page.get_by_role("button", name="play the bits").click()
        page.wait_for_timeout(300)
        assert stopped - 1 <= page.evaluate(bits) <= stopped
        page.get_by_role("button", name="play the bits").wait_for()
        assert page.evaluate(bits) == 3

    def test_without_scripts_there_is_a_picture(self, visit, served):
        page = visit(address=served.replace("light", "small"), java_script_enabled=False)
        picture = page.locator(f"{PLACE} img")
        assert picture.bounding_box()["width"] > 300
        assert re.search(r"8 bits, J = 0\.\d\d; 6 bits, ", picture.get_attribute("alt"))

    def test_the_picture_stays_where_the_networks_are_missing(self, visit, served):
        page = visit(
            address=served.replace("light", "small"),
            changed={"digits.js": None},
            forgiven=["net::ERR_FAILED"],
        )
        page.locator("[role=alert]", has_text="digits.js could not be read").wait_for()
        assert page.locator(f"{PLACE} img").is_visible()

    def test_two_explorers_share_a_page_and_a_file(self, visit, served):
        page = visit(address=served.replace("light", "both"))
        page.wait_for_function(
            f"document.querySelectorAll('{PLACE}[data-settled]').length === 2", timeout=30_000
        )
        one, other = page.evaluate(
            f"[...document.querySelectorAll('{PLACE}')].map(one => one.shown.measures.jaccard)"
        )
        assert one == other > 0

    def test_on_paper_there_are_maps_and_words(self, visit):
        page = visit("#bits=4,5&n=65")
        settle(page)
        page.emulate_media(media="print")
        assert page.locator(f"{PLACE} :is(button, input, select):visible").count() == 0
        assert page.locator(f"{PLACE} canvas.marks:visible").count() == 2
        said = page.locator(f"{PLACE} [role=status]", has_text="bits 4 and 5, 65 cells a side")
        assert said.bounding_box()["height"] > 10

    def test_a_mouse_drags_and_the_wheel_zooms(self, visit):
        page = visit("#n=65&zoom=2")
        settle(page)
        box = page.locator("[data-map='float']").bounding_box()
        x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + box["width"] / 4, y, steps=4)
        page.mouse.up()
        after(page)
        assert entries(page)["x"] == pytest.approx(0.5 - 0.25 / 2, abs=1e-3)
        page.mouse.wheel(0, 200)
        after(page)
        assert entries(page)["zoom"] == 2 and page.evaluate("scrollY") > 0
        page.evaluate("scrollTo(0, 0)")
        page.keyboard.down("Control")
        page.mouse.wheel(0, -100)
        page.keyboard.up("Control")
        after(page)
        # What is below the pointer, here the middle of the map, stays there.
        assert entries(page)["zoom"] == pytest.approx(2 * np.exp(0.25), abs=1e-4)
        assert entries(page)["x"] == pytest.approx(0.5 - 0.25 / 2, abs=1e-3)
        assert page.evaluate("devicePixelRatio") == 1

    def test_two_fingers_zoom_and_move_and_one_scrolls(self, visit):
        page = visit("#n=65", is_mobile=True, has_touch=True)
        page.set_viewport_size({"width": 390, "height": 844})
        settle(page)
        box = page.locator("[data-map='quantized']").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.evaluate("scrollTo(0, 0)")

        touched(page, [[(x - d, y), (x + d, y)] for d in range(20, 61, 5)])
        assert entries(page)["zoom"] == pytest.approx(3, abs=1e-3)
        assert "x" not in entries(page)
        touched(page, [[(x - 40 + s, y), (x + 40 + s, y)] for s in range(0, 31, 5)])
        assert entries(page)["zoom"] == pytest.approx(3, abs=1e-3)
        assert entries(page)["x"] == pytest.approx(0.5 - 30 / box["width"] / 3, abs=1e-3)
        assert page.evaluate("[scrollY, visualViewport.scale]") == [0, 1]
        touched(page, [[(x, y - s)] for s in range(0, 161, 20)])
        assert page.evaluate("scrollY") > 50
        assert entries(page)["zoom"] == pytest.approx(3, abs=1e-3)


def after(page):
    """Waits until the page's address follows."""
    page.wait_for_timeout(300)
    settle(page)


def entries(page):
    """The numbers in the page's address."""
    found = dict(entry.split("=") for entry in address(page).split("&"))
    return {name: float(found[name]) for name in ("x", "y", "zoom") if name in found}


def touched(page, frames):
    """Moves fingers over the page: each frame has their places."""
    session = page.context.new_cdp_session(page)
    kinds = ["touchStart"] + ["touchMove"] * (len(frames) - 1)
    for kind, places in zip(kinds, frames, strict=True):
        points = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(places)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.wait_for_timeout(30)
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    after(page)


def address(page):
    return page.evaluate("location.hash").removeprefix("#")


def pressed(control, press, number):
    """Types a number; presses anything else at four fifths of its width."""
    if control.evaluate("one => one.type") == "number":
        press()
        control.fill(number)
        control.blur()
    else:
        box = control.bounding_box()
        press(position={"x": box["width"] * 0.8, "y": box["height"] / 2})


def by_mouse(page, control):
    if control.evaluate("one => one.type") == "select-one":
        other(control)
    else:
        pressed(control, control.click, "5")


def by_key(page, control):
    kind = control.evaluate("one => one.type || one.tagName")
    control.focus()
    if kind == "select-one":
        at_end = control.evaluate("one => one.selectedIndex === one.options.length - 1")
        page.keyboard.press("ArrowUp" if at_end else "ArrowDown")
    elif kind == "number":
        page.keyboard.press("ArrowUp")
        control.blur()
    elif kind == "checkbox":
        page.keyboard.press("Space")
    elif kind == "button":
        page.keyboard.press("Enter")
    else:
        page.keyboard.press("ArrowRight")


def by_touch(page, control):
    if control.evaluate("one => one.type") == "select-one":
        control.tap()
        page.keyboard.press("Escape")
        other(control)
    else:
        pressed(control, control.tap, "8")


def other(control):
    """Chooses the next option, as a list that has opened would."""
    control.evaluate(
        "one => { one.selectedIndex = (one.selectedIndex + 1) % one.options.length;"
        " one.dispatchEvent(new Event('change', { bubbles: true })); }"
    )
