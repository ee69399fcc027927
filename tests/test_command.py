"""``python -m baq``: what it prints is what ``compare`` says, and its exit status can stop a release."""

import io
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binom
from torch import nn

import baq
from baq import compare, ptq_w
from baq.__main__ import main
from baq.slices import pca_plane

ROOT = Path(__file__).parents[1]
POINTS = 200


class Networks:
    """A float network and two candidates, as a module of Python names them."""

    torch.manual_seed(0)
    float = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    eight = ptq_w(float, 8)
    two = ptq_w(float, 2)


FLOAT, EIGHT, TWO = (f"{__name__}:Networks.{name}" for name in ("float", "eight", "two"))


@pytest.fixture
def data(tmp_path):
    torch.manual_seed(1)
    x = torch.randn(POINTS, 4)
    y = Networks.float(x).argmax(dim=1)
    np.savez(tmp_path / "x.npz", x=x.numpy(), y=y.numpy())
    return str(tmp_path / "x.npz")


def loaded(data):
    arrays = np.load(data)
    return torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"])


def test_the_table_is_that_of_compare(data, tmp_path, capsys):
    csv = tmp_path / "out.csv"
    given = ["compare", FLOAT, EIGHT, TWO, "--data", data, "--slice", "21", "--csv", str(csv)]
    assert main(given) == 0
    x, y = loaded(data)
    candidates = {EIGHT: Networks.eight, TWO: Networks.two}
    wanted = compare(Networks.float, candidates, x, y, planes=pca_plane(x), n=21)
    written = io.StringIO(wanted.to_csv(index=False))
    pd.testing.assert_frame_equal(pd.read_csv(csv), pd.read_csv(written))
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[1:])
    for name in ("flip_rate", "shift", "radius", "jaccard"):
        shown = [float(text) for text in lines[name].split()]
        assert shown == pytest.approx(wanted[name].tolist(), rel=1e-4)
    assert wanted["flip_rate"].nunique() == 2  # else a column given twice would pass


def test_gradients_can_be_left_out(data, capsys):
    assert main(["compare", FLOAT, TWO, "--data", data, "--no-gradients", "--limit", "50"]) == 0
    out = capsys.readouterr().out
    assert "radius" not in out
    assert re.search(r"^points +50$", out, re.MULTILINE)


def test_the_gate_is_the_exact_upper_bound(data, capsys):
    """The bound is the rate at which as few flips as were seen have a chance of 5 %."""
    x, _ = loaded(data)
    flips = int((Networks.two(x).argmax(1) != Networks.float(x).argmax(1)).sum())
    assert 0 < flips < POINTS
    low, high = flips / POINTS, 1.0
    for _ in range(60):  # bisection of the binomial's distribution: no inverse of beta
        middle = (low + high) / 2
        low, high = (middle, high) if binom.cdf(flips, POINTS, middle) > 0.05 else (low, middle)
    command = ["compare", FLOAT, TWO, "--data", data, "--no-gradients", "--max-flip-rate"]
    assert main([*command, str(high * 1.001)]) == 0
    assert f"{high:.4%}" in capsys.readouterr().out
    assert main([*command, str(high * 0.999)]) == 1
    # The rate itself is below what is allowed, so that it is the bound that decides.
    assert flips / POINTS < high * 0.999
    assert "more than" in capsys.readouterr().out


def test_one_candidate_that_fails_is_enough(data):
    command = ["compare", FLOAT, EIGHT, TWO, "--data", data, "--no-gradients"]
    assert main([*command, "--max-flip-rate", "0.03"]) == 1
    assert main([*command[:3], *command[4:], "--max-flip-rate", "0.03"]) == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "required"),
        (["compare", FLOAT, "--data", "x.npz"], "CANDIDATE"),
        (["compare", FLOAT, TWO], "--data"),
        (["compare", FLOAT, TWO, "--data", "x", "--max-flip-rate", "2"], "'2': allowed is a share"),
        (["compare", FLOAT, TWO, "--data", "x", "--max-flip-rate", "nan"], "allowed is a share"),
        (["compare", FLOAT, TWO, "--data", "x", "--limit", "0"], "'0': allowed are whole"),
        (["compare", FLOAT, TWO, "--data", "x", "--slice", "1"], "'1': allowed are whole"),
        (["compare", FLOAT, TWO, "--data", "x", "--max-flip", "0.1"], "unrecognized"),
        (["measure"], "invalid choice"),
    ],
)
def test_wrong_arguments_end_with_2(arguments, told, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("networks", "told"),
    [
        ((FLOAT, "absent.onnx"), "absent.onnx"),
        ((FLOAT, TWO, TWO), "allowed is each once"),
        (("no.such.module:it", TWO), "no.such.module"),
        ((FLOAT, "README.md"), "README.md"),
    ],
)
def test_wrong_networks_are_told_in_one_line(data, networks, told, capsys):
    assert main(["compare", *networks, "--data", data]) == 2
    err = capsys.readouterr().err
    assert err.startswith("baq: error: ") and err.count("\n") == 1 and told in err


def test_wrong_data_are_told_in_one_line(data, tmp_path, capsys):
    x, y = loaded(data)
    for name, arrays, told in (
        ("nan", {"x": x.numpy() * np.nan, "y": y.numpy()}, "not finite"),
        ("high", {"x": x.numpy(), "y": y.numpy() * 0 + 9}, "labels hold 9"),
        ("wide", {"x": np.zeros((3, 5), np.float32)}, "(3, 5)"),
        ("objects", {"x": np.array([{}, {}], dtype=object)}, "pickled"),
    ):
        path = tmp_path / f"{name}.npz"
        np.savez(path, **arrays)
        assert main(["compare", FLOAT, TWO, "--data", str(path)]) == 2, name
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and told in err, err
    assert main(["compare", FLOAT, TWO, "--data", str(tmp_path / "absent.npz")]) == 2


def test_a_table_that_cannot_be_written_is_told(data, capsys):
    command = ["compare", FLOAT, TWO, "--data", data, "--no-gradients"]
    assert main([*command, "--csv", "/proc/none/x.csv"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_version_is_that_of_the_package_and_comes_without_torch():
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert baq.__version__ == stated
    code = (
        "import sys\nfrom baq.__main__ import main\n"
        "try:\n    main(['--version'])\n"
        "finally:\n    assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"baq {stated}\n"


def test_a_reader_who_leaves_ends_it_in_silence(data):
    code = f"import sys; sys.path[:0] = [{str(ROOT / 'tests')!r}, {str(ROOT)!r}]\n"
    code += "from baq.__main__ import main; import os\n"
    code += "r, w = os.pipe(); os.close(r); os.dup2(w, 1)\n"
    code += f"sys.exit(main(['compare', {FLOAT!r}, {TWO!r}, '--data', {data!r}, '--no-gradients']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_candidate_that_does_not_load_loses_no_other(data, tmp_path, capsys):
    broken = tmp_path / "broken.onnx"
    broken.write_text("no network", "utf-8")
    assert main(["compare", FLOAT, EIGHT, str(broken), "--data", data, "--no-gradients"]) == 2
    out, err = capsys.readouterr()
    assert "flip_rate" in out and "eight" in out
    assert err.count("\n") == 1 and f"{broken} is left out: " in err


class Narrow(nn.Module):
    """Loads, and takes no input of this width."""

    def forward(self, x):
        return nn.functional.linear(x, torch.ones(3, 5))


Networks.narrow = Narrow().eval()


def test_a_candidate_that_cannot_be_evaluated_loses_neither_table_nor_gate(data, tmp_path, capsys):
    csv = tmp_path / "out.csv"
    given = [
        "compare",
        FLOAT,
        f"{__name__}:Networks.narrow",
        EIGHT,
        "--data",
        data,
        "--no-gradients",
    ]
    assert main([*given, "--csv", str(csv), "--max-flip-rate", "1"]) == 1
    assert pd.read_csv(csv)["flip_rate"].notna().tolist() == [False, True]
    said = capsys.readouterr().out
    assert said.count("flip rate at most") == 1
    assert "narrow: could not be evaluated, and does not pass" in said


def test_a_file_that_is_read_is_never_written(data, capsys):
    before = Path(data).read_bytes()
    assert main(["compare", FLOAT, EIGHT, "--data", data, "--csv", data]) == 2
    assert "which is read: allowed is another file" in capsys.readouterr().err
    assert Path(data).read_bytes() == before


def test_a_folder_that_is_not_there_is_named_before_the_work(data, capsys):
    assert main(["compare", FLOAT, EIGHT, "--data", data, "--csv", "/no/such/folder/x.csv"]) == 2
    assert "/no/such/folder is no folder" in capsys.readouterr().err


class Scaled(nn.Module):
    """Its outputs depend on the batch, as dynamic quantization's do."""

    def forward(self, x):
        return Networks.float(x) / x.abs().max()


Networks.scaled = Scaled().eval()


def test_outputs_that_depend_on_the_batch_are_told_of(data, capsys):
    name = f"{__name__}:Networks.scaled"
    assert main(["compare", FLOAT, name, EIGHT, "--data", data, "--no-gradients"]) == 0
    (told,) = [
        line for line in capsys.readouterr().out.splitlines() if "evaluated together" in line
    ]
    assert told.startswith(name)


class Lost(nn.Module):
    """Fails with an error that is no ValueError."""

    def forward(self, x):
        return {}["scale"]


Networks.lost = Lost().eval()


def test_a_crash_ends_with_2_and_its_type_in_one_line(data, tmp_path, monkeypatch, capsys):
    assert main(["compare", f"{__name__}:Networks.lost", TWO, "--data", data]) == 2
    assert capsys.readouterr().err == "baq: error: KeyError: 'scale'\n"
    (tmp_path / "crashing.py").write_text("raise RuntimeError('no weights')", "utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["compare", FLOAT, "crashing:net", EIGHT, "--data", data, "--no-gradients"]) == 2
    out, err = capsys.readouterr()
    assert "eight" in out and err.count("\n") == 1 and "no weights" in err


def test_a_name_leads_into_the_current_folder(data, tmp_path, monkeypatch):
    """As a console script starts it: the current folder is not on the path of modules."""
    (tmp_path / "own_nets.py").write_text(f"from {__name__} import Networks", "utf-8")
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
    monkeypatch.chdir(tmp_path)
    command = ["compare", FLOAT, "own_nets:Networks.two", "--data", data, "--no-gradients"]
    assert main(command) == 0


class Squeezed(nn.Module):
    """Its output for one input lacks the axis of the batch."""

    def forward(self, x):
        return Networks.float(x).squeeze()


Networks.squeezed = Squeezed().eval()


def test_a_network_that_squeezes_its_output_has_table_and_gate(data, tmp_path):
    csv = tmp_path / "out.csv"
    given = ["compare", FLOAT, f"{__name__}:Networks.squeezed", "--data", data, "--no-gradients"]
    assert main([*given, "--csv", str(csv), "--max-flip-rate", "0.5"]) == 0
    assert pd.read_csv(csv)["flip_rate"].tolist() == [0.0]
