"""The command line: ``python -m baq compare`` measures classifiers in files, without the book."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import baq

__all__ = ["main"]

_COMPARE = """Measure how each candidate's decisions differ from a reference's, on the inputs of a file.

A network is an ONNX file, a file of torch, or module:name of Python. Data are an .npz, .npy or
.safetensors file, a folder of images, or torchvision:NAME."""
_STATUS = """Exit status: 0; 1 where a candidate's flip rate may exceed --max-flip-rate; 2 for arguments,
files or networks that are wrong; 130 when interrupted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status.

    Example:
        >>> main(["compare", "float.onnx", "int8.onnx", "--data", "absent.npz"])
        2
    """
    given = _parser().parse_args(arguments)
    if "" not in sys.path:  # as with `python -m`, module:name is found in the current folder
        sys.path.insert(0, "")
    try:
        status = _compare(given)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # who read the output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        return _fail(f"{error.filename or 'the output'}: {error.strerror or error}")
    except ModuleNotFoundError as error:
        return _fail(f"{error.name} is not installed: `pip install {error.name}`")
    except Exception as error:  # a network runs any code, and 1 stands for the gate alone
        return _fail(_one_line(error))
    except KeyboardInterrupt:
        _fail("interrupted")
        return 130


def _one_line(error: Exception) -> str:
    """An error in one line, with its type where it is none of this package's own."""
    kind, text = type(error).__name__, " ".join(str(error).split())
    if not text:
        return kind
    return text if isinstance(error, (MemoryError, OSError, ValueError)) else f"{kind}: {text}"


def _fail(reason: str) -> int:
    with contextlib.suppress(OSError):
        print(f"baq: error: {reason}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    about = "What quantization did to a classifier's decisions."
    # Options in full: a later one may begin like another.
    parser = argparse.ArgumentParser("baq", description=about, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"%(prog)s {baq.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    plain = argparse.RawDescriptionHelpFormatter
    compare = commands.add_parser(
        "compare",
        help="measure candidates against a reference",
        description=_COMPARE,
        epilog=_STATUS,
        formatter_class=plain,
        allow_abbrev=False,
    )
    add = compare.add_argument
    add("reference", metavar="FLOAT", help="the float network")
    add("candidates", metavar="CANDIDATE", nargs="+", help="a quantized one")
    add("--data", required=True, metavar="FILE", help="inputs, and labels where there are some")
    add(
        "--key",
        dest="keys",
        action="append",
        metavar="NAME",
        help="the array of the file that holds the inputs; one for each input where a network has several",
    )
    add("--labels", metavar="FILE", help="a .npy or .txt file of labels, or an array of the data")
    add("--limit", type=_count, metavar="N", help="take the first N inputs alone")
    add(
        *("--input", "-i"),
        dest="inputs",
        action="append",
        metavar="NAME",
        help="the network's input that takes the data, if it is not named as the array is",
    )
    add("--output", metavar="NAME", help="the network's output that holds the logits")
    add(
        "--trust",
        action="store_true",
        help="load pickles, which can run any code",
    )
    add(
        "--slice",
        type=_cells,
        metavar="N",
        help="also compare label maps of N x N cells on the plane of the inputs' principal components",
    )
    add("--no-gradients", action="store_true", help="leave out radii, shifts and normals")
    add("--batch", type=_count, default=1024, metavar="N", help="inputs a pass (%(default)s)")
    add("--csv", type=Path, metavar="FILE", help="write the table there too")
    add(
        "--max-flip-rate",
        type=_rate,
        metavar="R",
        help="exit with 1 where the exact 95 %% upper bound of a candidate's flip rate exceeds R",
    )
    return parser


def _count(text: str, least: int = 1) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are whole numbers from {least}")
    return int(text)


def _cells(text: str) -> int:
    return _count(text, 2)


def _rate(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (rate := float(text)) <= 1:
            return rate
    raise argparse.ArgumentTypeError(f"{text!r}: allowed is a share from 0 to 1")


def _compare(given: argparse.Namespace) -> int:
    # Slow to import.
    from baq.adapters import load_classifier, load_inputs
    from baq.audit.given import depends_on_batch
    from baq.comparison import compare
    from baq.slices import pca_plane

    if len(set(given.candidates)) < len(given.candidates):
        raise ValueError(f"candidates are {given.candidates}: allowed is each once")
    several = len(given.keys or ()) > 1
    key = given.keys if several else (given.keys or [None])[0]
    data = load_inputs(given.data, key=key, labels=given.labels, limit=given.limit)
    inputs = given.inputs or (given.keys if several else None)
    how = {"inputs": inputs, "output": given.output, "trust": given.trust}
    reference = load_classifier(given.reference, **how)
    used = (given.data, given.labels, given.reference, *given.candidates)
    if given.csv and given.csv.resolve() in [Path(name).resolve() for name in used if name]:
        raise ValueError(f"--csv is {given.csv}, which is read: allowed is another file")
    if given.csv and not given.csv.absolute().parent.is_dir():
        raise ValueError(
            f"{given.csv.parent} is no folder: allowed is one that is there, for --csv"
        )
    candidates: dict[str, Any] = {}
    absent: dict[str, str] = {}
    for source in given.candidates:
        try:
            candidates[source] = load_classifier(source, **how)
        except Exception as error:  # one that fails must not lose the others
            absent[source] = _one_line(error)
    if not candidates:
        raise ValueError(next(iter(absent.values())))
    x: Any = data.x
    if several and given.slice:
        raise ValueError("--slice is given with several inputs: allowed is one")
    cut = {"planes": pca_plane(x), "n": given.slice} if given.slice else {}
    rows = compare(
        reference,
        candidates,
        x,
        data.y,
        gradients=not given.no_gradients,
        batch_size=given.batch,
        **cut,
    )
    print(_shown(rows))
    if not isinstance(x, Mapping):
        for source in rows.loc[
            rows["flip_rate"].notna(), "candidate"
        ]:  # those that could be evaluated
            if note := depends_on_batch(candidates[source], x):
                print(f"{source}: {note}")
    if given.csv:
        rows.to_csv(given.csv, index=False)
    status = 0
    if given.max_flip_rate is not None:
        status = max(
            _gate(name, rate, len(data), given.max_flip_rate)
            for name, rate in zip(rows["candidate"], rows["flip_rate"], strict=True)
        )
    for source, why in absent.items():
        status = _fail(f"{source} is left out: {why}")
    return status


def _shown(rows: Any) -> str:
    """A line for each measure and a column for each candidate; measures that none has are left out."""
    short = [Path(name).name for name in rows["candidate"]]
    if len(set(short)) == len(short):
        rows = rows.assign(candidate=short)
    table = rows.set_index("candidate").dropna(axis="columns", how="all").T
    return str(table.rename_axis(columns=None).to_string(float_format="{:.6g}".format))


def _gate(name: object, rate: float, points: int, allowed: float) -> int:
    """1 where a flip rate may exceed what is allowed, or is not known; it is said in one line."""
    from baq.shares import share_bound

    if rate != rate:
        print(f"{name}: could not be evaluated, and does not pass")
        return 1
    bound = share_bound(round(rate * points), points, 0.95)
    failed = bound > allowed
    print(
        f"{name}: flip rate at most {bound:.4%} with 95 % confidence, "
        f"{'more than' if failed else 'within'} the {allowed:.4%} that are allowed"
    )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
