"""The command line: ``python -m workflow book`` makes the book, ``run`` runs one chapter."""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from workflow.outcome import forget_changed, settle, table
from workflow.parameters import check, declared, from_text
from workflow.project import PROFILES, Project, UserError
from workflow.runner import execute
from workflow.site import render

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(Project(Path.cwd()), options) or 0
    except UserError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workflow", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: object, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(command=function)
        return made

    def profile(made: argparse.ArgumentParser) -> None:
        made.add_argument("--profile", choices=PROFILES, default="full")

    made = command("book", _book, "execute what has changed, and render the book")
    profile(made)
    made.add_argument("-n", "--dry-run", action="store_true", help="only list what would be done")
    made = command("run", _run, "run one chapter with other parameters, into runs/")
    made.add_argument("chapter", help="full name, number, or name without number")
    made.add_argument(
        "-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a parameter"
    )
    made.add_argument("-y", type=Path, metavar="FILE", help="a YAML file of parameters")
    made.add_argument(
        "--help-parameters", action="store_true", help="list the chapter's parameters instead"
    )
    made = command("execute", _execute, "execute one chapter for a profile (called by rules)")
    made.add_argument("chapter")
    profile(made)
    made = command("render", _render, "check and render what was executed (called by rules)")
    profile(made)
    made = command("table", _table, "list how each chapter came out")
    profile(made)
    return parser


def _book(project: Project, options: argparse.Namespace) -> int:
    profile = options.profile
    for chapter in project.chapters:  # tell of bad input before anything runs
        check(chapter, project.parameters(profile).get(chapter.name, {}))
        chapter.header  # noqa: B018
    project.build.mkdir(exist_ok=True)
    with open(project.build / "book.lock", "w", encoding="utf-8") as lock:
        # Unlike a lock file of Snakemake, this one cannot outlive a killed process.
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError("another `make book` is at work in this checkout") from error
        forget_changed(project, profile)
        command = [sys.executable, "-m", "snakemake", "--snakefile"]
        command += [str(Path(__file__).parent / "Snakefile"), "--directory", str(project.root)]
        command += ["--cores", "all", "--nolock", "--rerun-incomplete", "--keep-going"]
        command += ["--config", f"profile={profile}"]
        if options.dry_run:
            print("\n".join(_plan(command)))
            return 0
        _warm_up()
        quiet = [*command, "--quiet", "all"]
        with subprocess.Popen(quiet, pass_fds=[lock.fileno()]) as child:
            # A terminal interrupts both of us, and Snakemake is the one that has to clean up.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, lambda *_: child.terminate())
            status = child.wait()
    if status:
        _plan(command)  # when Snakemake itself failed, this says why; jobs speak for themselves
        raise UserError(f"the book ({profile}) was not made, see above")
    print(table(project, profile))
    print(f"the book is at {project.html(profile) / 'index.html'}")
    return 0


def _plan(command: list[str]) -> list[str]:
    """The chapters that would be executed, and ``render``.

    Raises:
        UserError: when there is no plan, with the reason.
    """
    done = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    if done.returncode:
        _, _, reason = said.strip().rpartition("\n")
        raise UserError(f"no plan for the book: {reason}")
    outputs = re.findall(r"^    output: (\S+)$", said, re.MULTILINE)
    stems = [Path(output).stem for output in outputs]
    return ["render" if stem == "rendered" else stem for stem in stems]


def _run(project: Project, options: argparse.Namespace) -> None:
    chapter = project.chapter(options.chapter)
    known = declared(chapter)
    if options.help_parameters:
        header = chapter.header
        needs = ", ".join(header["requires"]) or "nothing"
        print(f"{chapter.name}: about {header['minutes']} minutes, requires {needs}")
        for parameter in known.values():
            print(f"  {parameter.name}: {parameter.kind} = {parameter.default!r}")
            print(f"      {parameter.comment}")
        return
    given = _parameter_file(options.y) if options.y else {}
    given |= {name: from_text(chapter, name, text) for name, text in options.p}
    given = check(chapter, given)
    for name, reason in project.missing_data(chapter.requires(given)).items():
        raise UserError(f"{chapter.name} requires {name}: {reason}")
    _warm_up()
    digest = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:8]
    folder = project.root / "runs" / f"{chapter.name}-{digest}"
    print(execute(project, chapter, given, folder))


def _parameter_file(path: Path) -> dict:
    try:
        given = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"parameter file {path}: {' '.join(str(error).split())}") from error
    if not isinstance(given, dict):
        raise UserError(f"parameter file {path}: allowed are lines of the form name: value")
    return given


def _execute(project: Project, options: argparse.Namespace) -> None:
    settle(project, project.chapter(options.chapter), options.profile)


def _render(project: Project, options: argparse.Namespace) -> None:
    render(project, options.profile)


def _table(project: Project, options: argparse.Namespace) -> None:
    print(table(project, options.profile))


def _warm_up() -> None:
    """Let matplotlib list the fonts now, or a first run's notebook would hold its message."""
    quiet = {**os.environ, "MPLBACKEND": "agg"}
    code = "import logging; logging.disable(); import matplotlib.font_manager"
    subprocess.run([sys.executable, "-c", code], env=quiet, check=False)


if __name__ == "__main__":
    sys.exit(main())
