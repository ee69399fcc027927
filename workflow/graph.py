"""Run Snakemake for the book or a sweep, one at a time in a checkout; what its jobs need."""

import contextlib
import csv
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

from baq.machine import locked
from workflow.files import run_record
from workflow.parameters import declared
from workflow.progress import Progress
from workflow.project import Chapter, Project, UserError, entries
from workflow.sweep import Sweep, complete


def make(
    project: Project,
    settings: dict[str, str],
    *,
    cores: str = "all",
    cluster: Path | None = None,
    dry_run: bool = False,
    sweep: Sweep | None = None,
) -> None:
    """Make what the settings name.

    The ``settings`` are the Snakefile's configuration; ``cluster`` is a Snakemake profile to run the
    jobs elsewhere, ``sweep`` the one whose runs are counted. A dry run only prints what would be done.

    Raises:
        UserError: when another process is making the same, there is no plan, or not all was made.
    """
    command = [sys.executable, "-m", "snakemake", "--snakefile"]
    command += [str(Path(__file__).parent / "Snakefile"), "--directory", str(project.root)]
    # As in profiles/default, which Snakemake would announce; a lock of ours stands for its own.
    command += ["--workflow-profile", "none", "--keep-going", "--rerun-incomplete", "--nolock"]
    command += ["--rerun-triggers", "code", "input", "params"]
    command += _cluster(cluster) if cluster else ["--cores", cores]
    command += ["--config", *(f"{name}={value}" for name, value in settings.items())]
    target = f"sweep {sweep.name}" if sweep else f"book ({settings['profile']})"
    project.build.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        # Unlike a lock file of Snakemake, this one cannot outlive a killed process.
        path = project.build / f"{f'sweep-{sweep.name}' if sweep else 'book'}.lock"
        try:
            lock = stack.enter_context(locked(path))
        except BlockingIOError as error:
            process = path.read_text("utf-8").partition("\n")[0]
            told = f"another {target if sweep else '`make book`'} is at work in this checkout"
            raise UserError(f"{told} (process {process})") from error
        if dry_run:
            print("\n".join(plan(command)))
            return
        if cluster:
            plan(command)  # a profile may hold what Snakemake refuses, and it says why
        with subprocess.Popen([*command, "--quiet", "all"], pass_fds=[lock]) as child:
            os.pwrite(lock, f"{child.pid}\n".encode(), 0)  # it holds the lock when we are killed
            # A terminal interrupts both of us, and Snakemake is the one that has to clean up.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, lambda *_: child.terminate())
            if sweep is not None:
                _count(project, sweep, child)
            status = child.wait()
    if status:
        plan(command)  # when Snakemake itself failed, this says why; jobs speak for themselves
        raise UserError(f"the {target} was not made, see above")


def plan(command: list[str]) -> list[str]:
    """The chapters or runs that would be executed, and ``render`` or ``summary``.

    Raises:
        UserError: when there is no plan, with Snakemake's reason.
    """
    done = subprocess.run([*command, "--summary"], capture_output=True, text=True, check=False)
    if done.returncode:
        _, _, reason = (done.stdout + done.stderr).strip().rpartition("\n")
        raise UserError(f"no plan: {reason}")
    files = csv.DictReader(done.stdout.splitlines(), delimiter="\t")
    pending = [file for file in files if file["plan"] == "update pending"]
    named = ("chapter", "page", "network", "run")  # of the other rules there is one each
    return [Path(f["output_file"]).stem if f["rule"] in named else f["rule"] for f in pending]


def _cluster(folder: Path) -> list[str]:
    """The option for a Snakemake profile; Slurm must be there where it is asked for.

    Raises:
        UserError: for a folder without a profile, or without the Slurm that it asks for.
    """
    path = max(folder.glob("config.v*+.yaml"), default=folder / "config.yaml")
    if not path.is_file():
        allowed = "a folder with a Snakemake profile in config.yaml, such as profiles/slurm"
        raise UserError(f"cluster is {str(folder)!r}, allowed is {allowed}")
    profile = entries(path)
    if profile.get("executor") == "slurm":
        if absent := [name for name in ("sbatch", "squeue") if not shutil.which(name)]:
            raise UserError(f"{folder} needs Slurm: {' and '.join(absent)} cannot be found here")
        if not importlib.util.find_spec("snakemake_executor_plugin_slurm"):
            raise UserError(f"{folder} needs the Python package snakemake-executor-plugin-slurm")
        asked = subprocess.run(["sinfo", "--noheader"], capture_output=True, text=True, check=False)
        if asked.returncode:
            reason = " ".join(asked.stderr.split()) or "sinfo failed"
            raise UserError(f"{folder} needs a Slurm that answers: {reason}")
    from snakemake.cli import get_argument_parser  # slow to import

    options = {name for one in get_argument_parser()._actions for name in one.option_strings}
    if unknown := sorted(name for name in profile if f"--{name}" not in options):
        raise UserError(f"{path} has {', '.join(unknown)}, which this Snakemake does not know")
    return ["--profile", str(folder.resolve())]


def _count(project: Project, sweep: Sweep, child: subprocess.Popen) -> None:
    """Tell how many runs are complete until the child ends."""
    with Progress(f"sweep {sweep.name}", len(sweep.runs), "run") as progress:
        while child.poll() is None:
            progress.cell = len(complete(project, sweep))
            time.sleep(1)
        progress.cell, progress.failed = len(complete(project, sweep)), child.returncode != 0


def networks(project: Project) -> list[Path]:
    """The trained networks that the chapters load, by their paths below the root.

    They are those of a chapter's parameters ``families`` and ``seeds``. All chapters wait for them,
    since the manifest of the checkpoints is part of what each is made from. Where the data to train
    them cannot be had, only those that are there.
    """
    found = []
    for chapter in project.chapters:
        known = declared(chapter)
        if {"families", "seeds"} <= known.keys():
            names = product(known["families"].default, range(known["seeds"].default))
            found += [Path(f"checkpoints/{family}-{k}.safetensors") for family, k in names]
    there = [path for path in found if (project.root / path).is_file()]
    return there if len(there) < len(found) and project.missing_data(["cifar10"]) else found


def memory(project: Project, chapter: Chapter) -> int:
    """MiB to ask for: twice what the recorded run took at most."""
    record = run_record(project.root / "book" / f"{chapter.name}.ipynb")
    return 2 * record.get("peak_memory_mib", 2000)


def runtime(chapter: Chapter) -> int:
    """Minutes after which a job may be stopped: ten times what the header says, and ten more."""
    return 10 + round(10 * chapter.header.minutes)
