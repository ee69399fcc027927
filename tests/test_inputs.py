"""Inputs and labels are read as they were written, and what is wrong with a file is said in one line."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from baq.adapters import load_inputs

X = np.random.default_rng(0).random((12, 1, 4, 5)).astype(np.float32)
Y = np.arange(12) % 3


def refused(message, *source, **options):
    with pytest.raises(ValueError, match=message) as caught:
        load_inputs(*source, **options)
    assert "\n" not in str(caught.value)


def test_arrays_are_read_by_their_usual_names(tmp_path):
    np.savez(tmp_path / "a.npz", images=X, labels=Y, other=X + 1)
    save_file({"x": torch.from_numpy(X), "y": torch.from_numpy(Y)}, tmp_path / "a.safetensors")
    np.savez(tmp_path / "only.npz", anything=X)
    for name in ("a.npz", "a.safetensors"):
        found = load_inputs(tmp_path / name)
        np.testing.assert_array_equal(found.x, X)
        np.testing.assert_array_equal(found.y, Y)
        assert len(found) == 12 and found.source == str(tmp_path / name) and found.names == ()
    only = load_inputs(tmp_path / "only.npz")
    assert only.y is None and torch.equal(only.x, torch.from_numpy(X))
    np.testing.assert_array_equal(load_inputs(tmp_path / "a.npz", key="other").x, X + 1)
    both = load_inputs(tmp_path / "a.npz", key=["images", "other"], limit=5)
    assert set(both.x) == {"images", "other"} and len(both) == 5 == len(both.y)


def test_an_npy_file_stays_on_the_disk(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    np.savetxt(tmp_path / "y.txt", Y)
    for labels in ("y.npy", "y.txt"):
        found = load_inputs(tmp_path / "x.npy", labels=tmp_path / labels, limit=7)
        assert isinstance(found.x, np.memmap)
        np.testing.assert_array_equal(found.x, X[:7])
        np.testing.assert_array_equal(found.y, Y[:7])


def test_a_folder_gives_its_images_by_class_and_name(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 3)).astype(np.uint8)
    for k, (folder, name) in enumerate(
        [("b", "2.png"), ("a", "1.png"), ("a", "0.png"), ("b", "1.png")]
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.fromarray(pixels[k]).save(tmp_path / folder / name)
    (tmp_path / "b" / "notes.txt").write_text("no image")
    found = load_inputs(tmp_path)
    assert found.names == ("a", "b") and found.y.tolist() == [0, 0, 1, 1]
    expected = pixels[[2, 1, 3, 0]].transpose(0, 3, 1, 2) / 255
    torch.testing.assert_close(found.x, torch.from_numpy(expected).float())
    plain = load_inputs(tmp_path / "b")
    assert plain.y is None and plain.names == () and len(plain) == 2
    Image.fromarray(pixels[0, :, :, 0]).save(tmp_path / "b" / "3.png")
    refused(r"3.png has shape \(1, 6, 5\): allowed is \(3, 6, 5\)", tmp_path)


def test_a_data_set_of_torchvision_may_be_fetched_otherwise():
    fetched = []

    def fetch(name):
        fetched.append(name)
        return torch.from_numpy(X), torch.from_numpy(Y), ("a", "b", "c")

    found = load_inputs("torchvision:digits", fetch=fetch, limit=4)
    assert fetched == ["digits"] and found.names == ("a", "b", "c") and len(found) == 4
    refused("torchvision has no data set 'nothing'", "torchvision:nothing")


def test_wrong_files_end_in_one_line(tmp_path):
    def npz(name, **arrays):
        np.savez(tmp_path / name, **arrays)
        return tmp_path / name

    (tmp_path / "bad.npz").write_bytes(b"hello")
    (tmp_path / "bad.npy").write_bytes(b"hello")
    (tmp_path / "bad.safetensors").write_bytes(b"hello")
    (tmp_path / "x.csv").write_text("1,2")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"hello")
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps({"x": 1}))
    np.save(tmp_path / "objects.npy", np.array([{"x": 1}], dtype=object))
    refused("absent: allowed are .npz, .npy", tmp_path / "gone.npz")
    refused("ends in '.csv': allowed are", tmp_path / "x.csv")
    for name in ("bad.npz", "bad.npy", "bad.safetensors"):
        refused(rf"{name} (is no|holds pickled)", tmp_path / name)
    refused("holds pickled objects: allowed are arrays", tmp_path / "objects.npy")
    refused("holds pickled objects: allowed are arrays", tmp_path / "pickle.npy")
    refused("holds no images: allowed are .png", tmp_path / "empty")
    refused("a.png is no image that can be read", tmp_path / "broken")
    refused("has no array 'z': allowed are x", npz("a.npz", x=X), key="z")
    refused("has no array of inputs", npz("e.npz"))
    refused("has no array of inputs", npz("e.npz", y=[0, 1]))
    refused("has arrays p, q: name the one that holds the inputs by key", npz("b.npz", p=X, q=X))
    refused(
        "inputs hold 20 values that are not finite",
        npz("c.npz", x=np.where(X[:1] == X, X[:1] * np.nan, X)),
    )
    refused(r"inputs have shape \(12,\): allowed is \(N, ...\)", npz("d.npz", x=Y))
    refused("inputs are complex64: allowed are real numbers", npz("e.npz", x=X.astype("c8")))
    refused(r"labels have shape \(5,\): allowed is \(12,\)", npz("f.npz", x=X, y=Y[:5]))
    refused("labels hold -1: allowed are whole numbers from 0", npz("g.npz", x=X, y=Y - 1))
    refused("labels hold 0.5: allowed are whole", npz("h.npz", x=X, y=Y + 0.5))
    refused("labels are <U1: allowed are whole numbers", npz("i.npz", x=X, y=Y.astype("U1")))
    np.save(tmp_path / "x.npy", X)
    for name in ("x.npy", "empty"):
        refused("key is 'z': .* has no arrays by name", tmp_path / name, key="z")
    refused("limit is 0: allowed is 1 or more", tmp_path / "a.npz", limit=0)
    refused("inputs have .* rows: allowed are equal", npz("j.npz", a=X, b=X[:5]), key=["a", "b"])


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_gray_images_of_16_bits_keep_them(tmp_path, order):
    values = np.array([[0, 1, 32768], [257, 65534, 65535]], order)
    kind = "png" if order == "<u2" else "tif"
    Image.fromarray(values).save(tmp_path / f"a.{kind}")
    found = load_inputs(tmp_path).x
    np.testing.assert_allclose(found[0, 0], values / 65535, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_images_without_a_largest_value_are_refused(tmp_path, dtype):
    Image.fromarray(np.ones((2, 3), dtype)).save(tmp_path / "a.tif")
    refused("a.tif has mode '[IF]': allowed are 8 bits, or gray of 16 bits", tmp_path)
