"""The fetched data sets: whole ones load as they should, and what is not whole is never used."""

import dataclasses
import gzip
import io
import os
import shutil
import tarfile
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import torch
from torchvision import datasets

from baq.zoo import data, sources
from workflow.outcome import settle
from workflow.project import Project
from workflow.runner import execute

ROOT = Path(__file__).parent.parent
CHAPTER = "04-stopping"
LABELS_FILE = "MNIST/raw/t10k-labels-idx1-ubyte"


def whole(name):
    reasons = data.missing([name], download=False)
    marks = [pytest.mark.skipif(name in reasons, reason=reasons.get(name, ""))]
    return pytest.param(name, marks=marks + [pytest.mark.slow] * (name == "cifar10"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty data root on a machine whose only way out is a port where nobody listens."""
    monkeypatch.setenv("BAQ_DATA", str(tmp_path))
    for scheme in ("http", "https"):
        for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def sparse(folder, name):
    """Files of the published sizes that hold nothing but zeros, without their room on the disk."""
    for path, size, _ in sources.SOURCES[name].files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
        os.truncate(folder / path, size)


@pytest.mark.parametrize("name", [whole(name) for name in sources.SOURCES])
def test_official_sets_come_in_order_scaled_and_split_by_the_seed(name):
    split = data.load(name, seed=3, train=500, calibration=200)
    official = getattr(datasets, sources.SOURCES[name].kind)(sources.root(), train=False)
    stored = torch.as_tensor(official.data)
    stored = stored.permute(0, 3, 1, 2) if stored.ndim == 4 else stored[:, None]
    assert split.x_test.dtype == torch.float32 and split.y_test.dtype == torch.int64
    assert torch.equal(split.x_test, stored.float() / 255)
    assert torch.equal(split.y_test, torch.as_tensor(official.targets))
    assert [len(y) for y in (split.y_train, split.y_calibration)] == [500, 200]

    again, other = (data.load(name, seed=s, train=500, calibration=200) for s in (3, 4))
    assert torch.equal(again.x_train, split.x_train)
    assert torch.equal(again.x_calibration, split.x_calibration)
    assert not torch.equal(other.x_calibration, split.x_calibration)


@pytest.mark.parametrize("name", [whole(name) for name in sources.SOURCES])
def test_official_subsets_are_stratified_and_disjoint(name):
    split = data.load(name, seed=0, train=1000, calibration=0.01, test=500)
    training = getattr(datasets, sources.SOURCES[name].kind)(sources.root(), train=True)
    share = torch.as_tensor(training.targets).bincount() / len(training.targets)
    for y in (split.y_train, split.y_calibration):
        assert ((y.bincount() / len(y) - share).abs() < 2 / len(y)).all()
    assert len(split.y_test) == 500
    rows = {x.numpy().tobytes() for x in split.x_train}
    assert len(rows) == 1000
    assert not rows & {x.numpy().tobytes() for x in split.x_calibration}
    assert not rows & {x.numpy().tobytes() for x in split.x_test}


def test_published_sums_are_those_of_torchvision():
    cifar = datasets.CIFAR10
    published = [*cifar.train_list, *cifar.test_list, (cifar.meta["filename"], cifar.meta["md5"])]
    ours = {path: md5 for path, _, md5 in sources.SOURCES["cifar10"].files}
    assert ours == {f"{cifar.base_folder}/{name}": md5 for name, md5 in published}
    for name in ("mnist", "fashion-mnist"):
        kind = getattr(datasets, sources.SOURCES[name].kind)
        archives = [f"{kind.__name__}/raw/{archive}" for archive, _ in kind.resources]
        assert [f"{path}.gz" for path, _, _ in sources.SOURCES[name].files] == archives


def test_absent_without_a_network_is_one_line_that_says_where(folder):
    with pytest.raises(FileNotFoundError) as caught:
        data.load("mnist")
    message = str(caught.value)
    assert "\n" not in message and str(folder) in message and "could not be fetched" in message
    assert set(data.missing(["digits", "fashion-mnist"])) == {"fashion-mnist"}
    assert list(folder.iterdir()) == []


def test_looking_alone_names_the_file_that_is_expected(folder):
    reason = data.missing(["cifar10"], download=False)["cifar10"]
    path, size, md5 = sources.SOURCES["cifar10"].files[0]
    assert reason == f"cifar10: {folder / path} is absent: expected are {size} bytes with md5 {md5}"


@pytest.mark.parametrize("name", sources.SOURCES)
def test_damaged_files_are_named_and_left_alone(folder, name):
    sparse(folder, name)
    with pytest.raises(ValueError, match=r"is damaged: expected are \d+ bytes with md5 .*fetch"):
        data.load(name)
    assert "is damaged" in data.missing([name])[name]
    path, size, _ = sources.SOURCES[name].files[0]
    assert (folder / path).stat().st_size == size


def test_partial_files_are_named_with_the_bytes_that_are_there(folder):
    sparse(folder, "mnist")
    first = folder / sources.SOURCES["mnist"].files[0][0]
    os.truncate(first, 1000)
    with pytest.raises(
        ValueError, match=f"{first.name} is partial, 1000 bytes: expected are 47040016"
    ):
        data.load("mnist")


def test_a_download_that_breaks_off_or_comes_out_wrong_leaves_nothing(folder, monkeypatch):
    def breaks_off(source, scratch):
        sparse(scratch, "mnist")
        os.truncate(scratch / LABELS_FILE, 17)
        raise ConnectionResetError("connection reset")

    def comes_out_wrong(source, scratch):
        sparse(scratch, "mnist")

    for download, reason in ((breaks_off, "connection reset"), (comes_out_wrong, "is damaged")):
        monkeypatch.setattr(sources, "_download", download)
        with pytest.raises(FileNotFoundError, match=reason):
            sources.fetch("mnist")
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize("before", ["nothing", "damaged"])
def test_a_good_download_is_moved_into_place(folder, monkeypatch, before):
    small = sources.Source("MNIST", (("MNIST/raw/a", 5, "5d41402abc4b2a76b9719d911017c592"),))
    monkeypatch.setitem(sources.SOURCES, "mnist", small)

    def hello(source, scratch):
        (scratch / "MNIST/raw").mkdir(parents=True)
        (scratch / "MNIST/raw/a").write_text("hello")
        (scratch / "MNIST/raw/a.gz").write_text("the archive stays behind")

    monkeypatch.setattr(sources, "_download", hello)
    if before == "damaged":
        (folder / "MNIST/raw").mkdir(parents=True)
        (folder / "MNIST/raw/a").write_text("jello")
    assert sources.fetch("mnist") == folder
    assert [p.name for p in folder.rglob("*") if p.is_file()] == ["a"]
    sources.check("mnist")


def packed(path, name, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffixes != [".tar", ".gz"]:
        path.write_bytes(gzip.compress(content))
        return
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    ("name", "file", "archive"),
    [
        ("mnist", "MNIST/raw/a-ubyte", "MNIST/raw/a-ubyte.gz"),
        ("fashion-mnist", "FashionMNIST/raw/a-ubyte", "FashionMNIST/raw/a-ubyte.gz"),
        ("cifar10", "cifar-10-batches-py/a", "cifar-10-python.tar.gz"),
    ],
)
def test_archives_that_are_there_are_unpacked(folder, monkeypatch, name, file, archive):
    source = sources.SOURCES[name]
    small = dataclasses.replace(source, files=((file, 5, "5d41402abc4b2a76b9719d911017c592"),))
    monkeypatch.setitem(sources.SOURCES, name, small)

    def no_network(source, scratch):
        raise OSError("there is no network")

    monkeypatch.setattr(sources, "_download", no_network)
    packed(folder / archive, file, b"jello")
    with pytest.raises(FileNotFoundError, match="is damaged.*; there is no network") as caught:
        sources.fetch(name)
    assert "\n" not in str(caught.value)
    (folder / archive).write_bytes(b"no archive")
    with pytest.raises(FileNotFoundError, match="; there is no network"):
        sources.fetch(name)
    packed(folder / archive, file, b"hello")
    assert data.missing([name]) == {}
    assert (folder / file).read_bytes() == b"hello"
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert found == {file, archive}


HELLO = "5d41402abc4b2a76b9719d911017c592"


@pytest.mark.parametrize("one", ["whole", "with an archive that is none", "damaged"])
def test_files_and_archives_side_by_side_make_a_set(folder, monkeypatch, one):
    paths = [f"FashionMNIST/raw/{letter}-ubyte" for letter in "abcd"]
    small = sources.Source("FashionMNIST", tuple((path, 5, HELLO) for path in paths))
    monkeypatch.setitem(sources.SOURCES, "fashion-mnist", small)

    def no_network(source, scratch):
        raise OSError("there is no network")

    monkeypatch.setattr(sources, "_download", no_network)
    (folder / "FashionMNIST/raw").mkdir(parents=True)
    for path in paths[:2]:
        (folder / path).write_text("hello")
    for path in paths[2:]:
        packed(folder / f"{path}.gz", path, b"hello")
    if one == "damaged":
        (folder / paths[0]).write_text("jello")
        with pytest.raises(FileNotFoundError, match="could not be fetched .*; there is no network"):
            sources.fetch("fashion-mnist")
        assert not (folder / paths[2]).exists()
        packed(folder / f"{paths[0]}.gz", paths[0], b"hello")
    elif one != "whole":
        (folder / f"{paths[0]}.gz").write_bytes(b"no archive")
    kept = (folder / paths[1]).stat().st_ino
    assert sources.fetch("fashion-mnist") == folder
    assert [(folder / path).read_text() for path in paths] == ["hello"] * 4
    assert (folder / paths[1]).stat().st_ino == kept
    assert {path.name for path in folder.iterdir()} == {"FashionMNIST"}
    sources.check("fashion-mnist")


def test_a_root_that_cannot_be_written_is_one_line(folder, monkeypatch):
    (folder / "file").touch()
    monkeypatch.setenv("BAQ_DATA", str(folder / "file"))
    with pytest.raises(FileNotFoundError, match="could not be fetched into .*file"):
        sources.fetch("mnist")


def test_the_cache_is_the_users_own(monkeypatch, tmp_path):
    monkeypatch.delenv("BAQ_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert sources.root() == tmp_path / "baq"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sources.root() == tmp_path / ".cache" / "baq"


def test_the_list_says_what_lacks_and_fetch_fails_in_one_line(folder, capsys):
    assert data.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["digits", "whole"],
        *([name, "lacking"] for name in sources.SOURCES),
    ]
    assert data.main(["fetch", "mnist"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (
            {"test": 1.5},
            r"test is 1.5: allowed are a share from 0.0 to 1.0 or a count from 0 to 1797",
        ),
        ({"test": 5}, "test has 5 points of 1797: allowed are 10 to 1787"),
        ({"calibration": True}, "calibration is True"),
        ({"calibration": -1}, "calibration is -1"),
        ({"calibration": float("nan")}, "calibration is nan"),
        ({"calibration": 0.7, "test": 0.5}, "calibration has 1258 points of 898"),
        ({"train": 1790}, "train has 1790 points of 1347"),
    ],
)
def test_sizes_that_do_not_fit(sizes, message):
    with pytest.raises(ValueError, match=message):
        data.load("digits", **sizes)


def test_digits_take_counts_and_shares_alike():
    shares = data.load("digits", 1, calibration=0.2, test=0.2)
    counts = data.load("digits", 1, calibration=360, test=360)
    assert torch.equal(shares.x_calibration, counts.x_calibration)
    assert torch.equal(shares.x_test, counts.x_test)
    few = data.load("digits", 1, train=100, calibration=360, test=360)
    assert torch.equal(few.x_test, counts.x_test) and len(few.y_train) == 100


def test_unknown_names_list_the_known_ones():
    with pytest.raises(
        ValueError, match="'emnist': allowed are digits, mnist, fashion-mnist, cifar10"
    ):
        data.missing(["emnist"])
    with pytest.raises(ValueError, match="'digits': allowed are mnist"):
        sources.fetch("digits")


@pytest.fixture
def checkout(tmp_path_factory):
    """A checkout of one chapter that needs fetched data, with its recorded notebook and tables."""
    root = tmp_path_factory.mktemp("checkout")
    for path in (f"notebooks/{CHAPTER}.py", f"book/{CHAPTER}.ipynb"):
        (root / path).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / path, root / path)
    shutil.copytree(ROOT / "book" / "results" / CHAPTER, root / "book" / "results" / CHAPTER)
    toc = f"format: jb-book\nroot: book/intro\nchapters:\n  - file: book/{CHAPTER}\n"
    (root / "_toc.yml").write_text(toc)
    return Project(root)


def test_without_data_and_network_the_recorded_chapter_stays(checkout, folder):
    before = {path: path.read_bytes() for path in checkout.book("full").rglob("*.*")}
    found = settle(checkout, checkout.chapter(CHAPTER), "full")
    assert not found.live
    assert all(
        f"{name} could not be fetched" in found.reason for name in ("mnist", "fashion-mnist")
    )
    assert {path: path.read_bytes() for path in checkout.book("full").rglob("*.*")} == before


@pytest.mark.slow
@pytest.mark.skipif("mnist" in data.missing(["mnist"], download=False), reason="mnist is not here")
def test_with_data_the_chapter_is_executed(checkout, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    small = {"datasets": ["mnist"], "seeds": 2, "bits": [8, 4], "n": 33}
    small |= {"epochs_mlp": 1, "epochs_cnn": 1, "eps_study": [0.01], "tau_f_study": [0.01]}
    assert checkout.missing_data(checkout.chapter(CHAPTER).requires(small)) == {}
    made = execute(checkout, checkout.chapter(CHAPTER), small, checkout.root / "runs")
    assert nbformat.read(made, as_version=4).metadata["baq"]["parameters"]["datasets"] == ["mnist"]
    tables = made.parent / "results" / CHAPTER
    claimed = pd.read_csv(tables / "claims.csv")
    assert list(claimed["claim"]) == ["S5", "S5"]
    accuracy = pd.read_csv(tables / "float-accuracy.csv")
    assert (accuracy["min"] > 0.9).all()
