"""The command line: ``book`` makes the book, ``run`` runs one chapter, ``sweep`` many runs."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from workflow.files import write_json
from workflow.gate import problems
from workflow.graph import make
from workflow.outcome import run_record, settle, table
from workflow.page import page
from workflow.parameters import check, declared, from_text
from workflow.project import PROFILES, Chapter, Project, UserError
from workflow.runner import matplotlib_folder
from workflow.runs import parameter_file, run
from workflow.site import render
from workflow.sweep import failures, read

__all__ = ["main"]

_CLUSTER = "a Snakemake profile that runs the jobs elsewhere, such as profiles/slurm"


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
    made.add_argument("--cluster", type=Path, metavar="FOLDER", help=_CLUSTER)
    text = "run one chapter with other parameters, into runs/"
    made = commands.add_parser("run", help=text, description=text, add_help=False)
    made.set_defaults(command=_run, parser=made)
    made.add_argument("chapter", nargs="?", help="full name, number, or name without number")
    made.add_argument(
        "-h",
        "--help",
        action="store_true",
        help="show this, or the parameters of the chapter named",
    )
    made.add_argument(
        "-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a parameter"
    )
    made.add_argument("-y", type=Path, metavar="FILE", help="a YAML file of parameters")
    made.add_argument("--no-page", action="store_true", help="make no HTML page")
    made = command("sweep", _sweep, "run a chapter over a grid of parameters, and sum it up")
    made.add_argument("file", type=Path, help="YAML with chapter, given, grid, table")
    made.add_argument("-n", "--dry-run", action="store_true", help="only list what would be done")
    made.add_argument("-c", "--cores", default="all", help="cores to use here (default: all)")
    made.add_argument("--cluster", type=Path, metavar="FOLDER", help=_CLUSTER)
    made = command("compare", _compare, "show what differs between runs, side by side")
    made.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="its folder or notebook")
    made.add_argument("--table", metavar="NAME", help="the table to show (default: claims)")
    made = command("execute", _execute, "execute one chapter for a profile (called by rules)")
    made.add_argument("chapter")
    profile(made)
    made = command("render", _render, "check and render what was executed (called by rules)")
    profile(made)
    made = command("table", _table, "list how each chapter came out")
    profile(made)
    command("verify", _verify, "execute every chapter anew, and compare its tables with book/")
    made = command("gather", _gather, "sum up a sweep's complete runs (called by rules)")
    made.add_argument("file", type=Path)
    return parser


def _book(project: Project, options: argparse.Namespace) -> int:
    profile = options.profile
    for chapter in project.notebooks:  # tell of bad input before anything runs
        check(chapter, project.parameters(profile).get(chapter.name, {}))
        chapter.header  # noqa: B018
    if not options.dry_run:
        _warm_up(project)
    settings = {"profile": profile}
    if not make(project, settings, cluster=options.cluster, dry_run=options.dry_run):
        raise UserError(f"the book ({profile}) was not made, see above")
    if not options.dry_run:
        if changed := problems(project, profile):
            raise UserError("\n".join(changed))
        from baq.report.answers import summary  # slow to import
        from workflow.status import verdicts

        print(table(project, profile))
        print(summary(verdicts(project, profile)))
        print(f"the book is at {project.html(profile) / 'index.html'}")
    return 0


def _run(project: Project, options: argparse.Namespace) -> int:
    if options.chapter is None:
        options.parser.print_help(sys.stdout if options.help else sys.stderr)
        return 0 if options.help else 2
    chapter = project.chapter(options.chapter)
    if options.help:
        _describe(project, chapter)
        return 0
    given = parameter_file(options.y) if options.y else {}
    given |= {name: from_text(chapter, name, text) for name, text in options.p}
    check(chapter, given)
    _warm_up(project)
    notebook = run(project, chapter, given)
    print(notebook)
    if not options.no_page:
        print(page(project, notebook))
    return 0


def _describe(project: Project, chapter: Chapter) -> None:
    needs = ", ".join(chapter.header["requires"]) or "nothing"
    cost = f"about {chapter.header['minutes']} minutes on {chapter.header['threads']} threads"
    record = run_record(project.root / "book" / f"{chapter.name}.ipynb")
    if record:
        cost = (
            f"{record['minutes']:.1f} minutes and {record['peak_memory_mib']} MiB "
            f"on {record['threads']} threads of {record['processor']}"
        )
    print(f"{chapter.name} requires {needs}; with its defaults it took {cost}")
    for parameter in declared(chapter).values():
        print(f"  {parameter.name}: {parameter.kind} = {parameter.default!r}")
        print(f"      {parameter.comment}")


def _sweep(project: Project, options: argparse.Namespace) -> int:
    sweep = read(project, options.file)
    required = {
        name for run in sweep.runs for name in sweep.chapter.requires(sweep.parameters(run))
    }
    for name, reason in project.missing_data(required).items():
        raise UserError(f"{sweep.chapter.name} requires {name}: {reason}")
    if options.cores != "all" and not (options.cores.isdigit() and int(options.cores) > 0):
        raise UserError(f"cores is {options.cores!r}, allowed are all, and 1 up")
    if not options.dry_run:
        _warm_up(project)
    made = make(
        project,
        {"sweep": str(options.file)},
        cores=options.cores,
        cluster=options.cluster,
        dry_run=options.dry_run,
        sweep=sweep,
    )
    if not options.dry_run:
        print(sweep.folder(project) / "table.csv")
        print(sweep.folder(project) / "sweep.html")
    return 0 if made else 1


def _gather(project: Project, options: argparse.Namespace) -> None:
    from workflow.gather import gather, sweep_page  # slow to import

    sweep = read(project, options.file)
    gather(project, sweep)
    sweep_page(project, sweep)
    if failed := failures(project, sweep):
        number, of = len(failed), len(sweep.runs)
        raise UserError("\n".join([*failed, f"sweep {sweep.name}: {number} of {of} runs to do"]))
    write_json(project.build / "sweeps" / f"{sweep.name}.json", {"runs": list(sweep.runs)})


def _compare(project: Project, options: argparse.Namespace) -> None:
    from workflow.compare import compare_runs  # slow to import

    print(compare_runs(project, options.runs, options.table))


def _verify(project: Project, options: argparse.Namespace) -> int:
    from workflow.verify import verify_chapter  # slow to import

    failed = 0
    for chapter in project.chapters:
        if missing := project.missing_data(chapter.requires({})):
            print(f"{chapter.name}: not verified, {'; '.join(missing.values())}")
            continue
        found = verify_chapter(project, chapter)
        print("\n".join(f"{chapter.name}: {text}" for text in found or ["tables agree"]))
        failed += len(found)
    return int(failed > 0)


def _execute(project: Project, options: argparse.Namespace) -> None:
    settle(project, project.chapter(options.chapter), options.profile)


def _render(project: Project, options: argparse.Namespace) -> None:
    render(project, options.profile)


def _table(project: Project, options: argparse.Namespace) -> None:
    print(table(project, options.profile))


def _warm_up(project: Project) -> None:
    """Let matplotlib list the fonts now, or a first run's notebook would hold its message."""
    folder = str(matplotlib_folder(project))
    quiet = {**os.environ, "MPLBACKEND": "agg", "MPLCONFIGDIR": folder, "MATPLOTLIBRC": os.devnull}
    code = "import logging; logging.disable(); import matplotlib.font_manager"
    subprocess.run([sys.executable, "-c", code], env=quiet, check=False)


if __name__ == "__main__":
    sys.exit(main())
