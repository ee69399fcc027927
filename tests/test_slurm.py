"""A sweep on a real Slurm of one machine gives what it gives here, though a job is killed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from slurm_cluster import cluster, missing
from tiny_project import ROOT, contents

# Some minutes long, so it is asked for: `make test-slurm`.
pytestmark = pytest.mark.skipif(
    "BAQ_TEST_SLURM" not in os.environ, reason="takes minutes: make test-slurm"
)
SWEEP = """\
chapter: local-geometry
given: {seeds: 1, bits: [8, 4], epochs: 10}
grid:
  hidden: [16, 32]
  first_seed: [0, 1, 2, 3, 4, 5]
"""


@pytest.fixture(scope="module")
def needed():
    absent = missing()
    if not importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        absent.append("snakemake-executor-plugin-slurm")
    if absent:
        pytest.skip(f"not installed here: {', '.join(absent)}")


def checkout(folder: Path) -> Path:
    """What a sweep needs of this checkout, in a folder of its own."""
    for name in ("baq", "book/claims", "notebooks", "profiles", "workflow"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "_toc.yml", folder)
    shutil.copytree(ROOT / "checkpoints", folder / "checkpoints")
    (folder / "seeds.yml").write_text(SWEEP)
    return folder


def start(folder: Path, environment: dict[str, str], *options: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "workflow", "sweep", "seeds.yml", *options],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def results(folder: Path) -> dict[str, bytes]:
    """Notebooks and tables of all runs, and the gathered table; not what tells of one execution."""
    told = ("run.json", ".log", ".html", ".lock")
    made = contents(folder / "runs")
    return {path: content for path, content in made.items() if not path.endswith(told)}


def test_a_sweep_is_the_same_on_slurm_where_a_job_was_killed(tmp_path, needed):
    here, there = checkout(tmp_path / "here"), checkout(tmp_path / "there")
    with cluster() as environment:
        child = start(there, environment, "--cluster", "profiles/slurm")
        asked = ["squeue", "--noheader", "--states=RUNNING", "--format=%i %M"]
        deadline = time.monotonic() + 120
        while True:
            assert time.monotonic() < deadline
            assert child.poll() is None, child.communicate()[0]
            running = subprocess.run(
                asked, env=environment, capture_output=True, text=True, check=True
            ).stdout.split()
            if len(running) >= 2 and (there / "runs" / ".work").is_dir():
                break
            time.sleep(0.2)
        killed = running[0]
        subprocess.run(["scancel", "--signal=KILL", "--full", killed], env=environment, check=True)
        said, _ = child.communicate(timeout=560)
        assert child.returncode == 0, said
        # One job more than runs: the one that was killed was tried again.
        last = subprocess.run(
            ["sbatch", "--parsable", "--wrap=true"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
    child = start(here, dict(os.environ))
    said, _ = child.communicate(timeout=560)
    assert child.returncode == 0, said
    assert int(last.stdout) == 12 + 1 + 1
    made = results(here)
    assert len([path for path in made if path.endswith(".ipynb")]) == 12
    assert results(there) == made
