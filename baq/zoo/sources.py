"""Where the data sets are stored, whether they are complete, and how to fetch them."""

from __future__ import annotations

import functools
import gzip
import hashlib
import os
import shutil
import socket
import tarfile
import tempfile
import zlib
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path

__all__ = ["SOURCES", "Source", "check", "fetch", "root"]

#: Seconds to wait for a server, so that a missing network is noticed soon.
TIMEOUT = 10.0


@dataclass(frozen=True)
class Source:
    """A data set's name in ``torchvision.datasets``, and its files: path in the root, bytes, md5.

    They come in one ``archive``, or, if that is empty, each as ``path.gz``.
    """

    kind: str
    files: tuple[tuple[str, int, str], ...]
    archive: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for _, size, _ in self.files)


def _idx(folder: str, *md5: str) -> tuple[tuple[str, int, str], ...]:
    parts = (
        ("train-images-idx3", 47_040_016),
        ("train-labels-idx1", 60_008),
        ("t10k-images-idx3", 7_840_016),
        ("t10k-labels-idx1", 10_008),
    )
    return tuple(
        (f"{folder}/raw/{part}-ubyte", size, digest)
        for (part, size), digest in zip(parts, md5, strict=True)
    )


#: The data sets that torchvision fetches. For the first two it has md5 sums of the archives only;
#: these are of the unpacked files, which are kept and may get damaged.
SOURCES = {
    "mnist": Source(
        "MNIST",
        _idx(
            "MNIST",
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
        ),
    ),
    "fashion-mnist": Source(
        "FashionMNIST",
        _idx(
            "FashionMNIST",
            "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "9018921c3c673c538a1fc5bad174d6f9",
            "8181f5470baa50b63fa0f6fddb340f0a",
            "15d484375f8d13e6eb1aabb0c3f46965",
        ),
    ),
    "cifar10": Source(
        "CIFAR10",
        tuple(
            (f"cifar-10-batches-py/{name}", size, md5)
            for name, size, md5 in (
                ("data_batch_1", 31_035_704, "c99cafc152244af753f735de768cd75f"),
                ("data_batch_2", 31_035_320, "d4bba439e000b95fd0a9bffe97cbabec"),
                ("data_batch_3", 31_035_999, "54ebc095f3ab1f0389bbae665268c751"),
                ("data_batch_4", 31_035_696, "634d18415352ddfa80567beed471001a"),
                ("data_batch_5", 31_035_623, "482c414d41f54cd18b22e5b47cb7c3cb"),
                ("test_batch", 31_035_526, "40351d587109b95175f43aff81a1287e"),
                ("batches.meta", 158, "5ff9c542aee3614f3951f8cda6e48888"),
            )
        ),
        "cifar-10-python.tar.gz",
    ),
}


def root() -> Path:
    """The folder of the data sets, in torchvision's layout: ``$BAQ_DATA``, else a per-user cache."""
    if named := os.environ.get("BAQ_DATA"):
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "baq"


def check(name: str, folder: Path | None = None) -> None:
    """Check that every file of a data set is there, with the published size and md5 sum.

    Arguments:
        name: a key of :data:`SOURCES`.
        folder: where to look; :func:`root` where not given.

    Raises:
        FileNotFoundError: for an absent file.
        ValueError: for a partial or damaged file, or an unknown name.
    """
    folder = root() if folder is None else folder
    for path, size, md5 in _source(name).files:
        _check_file(name, folder / path, size, md5)


def _check_file(name: str, file: Path, size: int, md5: str) -> None:
    expected = f"expected are {size} bytes with md5 {md5}"
    if not file.is_file():
        raise FileNotFoundError(f"{name}: {file} is absent: {expected}")
    if (found := file.stat().st_size) != size:
        raise ValueError(f"{name}: {file} is partial, {found} bytes: {expected}")
    if not _has_sum(file, md5, file.stat().st_mtime_ns):
        raise ValueError(f"{name}: {file} is damaged: {expected}")


@functools.cache
def _has_sum(file: Path, md5: str, _modified: int) -> bool:
    """Whether a file has an md5 sum; computed once in a process unless the file changes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "md5").hexdigest() == md5


def fetch(name: str) -> Path:
    """Unpack or download the missing parts of a data set, and return its root.

    Archives that lie where torchvision keeps them are unpacked; else torchvision downloads. Files are
    written beside their place, checked, and only then moved there, so that an
    interrupted download leaves nothing that could be taken for data. Files that are damaged are
    replaced, whole ones are kept. Shows progress.

    Raises:
        FileNotFoundError: if the data set cannot be downloaded or stored.
        ValueError: for an unknown name.
    """
    source, folder = _source(name), root()
    lacking = []
    for part in source.files:
        try:
            _check_file(name, folder / part[0], *part[1:])
        except (FileNotFoundError, ValueError):
            lacking.append(part)
    if not lacking:
        return folder
    source = replace(source, files=tuple(lacking))
    reasons = []
    for get in (_unpack, _download) if _packed(source) else (_download,):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch:
                get(source, Path(scratch))
                for path, size, md5 in lacking:
                    _check_file(name, Path(scratch) / path, size, md5)
                for path, _, _ in lacking:
                    (folder / path).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(Path(scratch) / path, folder / path)
            return folder
        except _FAILURES as error:
            reasons.append((" ".join(str(error).split()) or type(error).__name__)[:300])
    raise FileNotFoundError(f"{name} could not be fetched into {folder}: {'; '.join(reasons)}")


#: Errors that unpacking and downloading may raise.
_FAILURES = (
    *(OSError, RuntimeError, ValueError, EOFError),
    *(HTTPException, tarfile.TarError, zlib.error),
)


def _packed(source: Source) -> list[Path]:
    """The archives of a data set that are there."""
    names = [source.archive] if source.archive else [f"{path}.gz" for path, _, _ in source.files]
    return [root() / name for name in names if (root() / name).is_file()]


def _unpack(source: Source, folder: Path) -> None:
    for archive in _packed(source):
        if source.archive:
            shutil.unpack_archive(archive, folder, filter="data")
            continue
        path = folder / archive.relative_to(root()).with_suffix("")
        path.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(archive) as packed, path.open("wb") as file:
            shutil.copyfileobj(packed, file)


def _download(source: Source, folder: Path) -> None:
    # Imported when needed: it takes a second, and the digits do not need it.
    from torchvision import datasets

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        getattr(datasets, source.kind)(folder, download=True)
    finally:
        socket.setdefaulttimeout(before)


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise ValueError(f"data set is {name!r}: allowed are {', '.join(SOURCES)}")
    return SOURCES[name]
