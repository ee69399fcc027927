"""The command line: ``book`` makes the book, ``run`` runs one chapter, ``sweep`` many runs."""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from workflow.files import read_json, run_record, write_json
from workflow.gate import problems
from workflow.graph import make
from workflow.outcome import settle
from workflow.parameters import check, declared, from_text
from workflow.project import PROFILES, Chapter, Project, UserError, entries
from workflow.run_page import run_page
from workflow.runner import matplotlib_folder
from workflow.runs import run
from workflow.site import print_pdf, render
from workflow.sweep import failures, read

PATH = click.Path(path_type=Path)
PROFILE = click.option("--profile", type=click.Choice(PROFILES), default="full")
DRY_RUN = click.option("-n", "--dry-run", is_flag=True, help="Only list what would be done.")
CLUSTER = click.option(
    "--cluster", type=PATH, metavar="FOLDER", help="A Snakemake profile, such as profiles/slurm."
)


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit status."""
    _open_closed()
    try:
        status = _cli(arguments, prog_name="python -m workflow", standalone_mode=False)
        sys.stdout.flush()
        return status or 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except UserError as error:
        return _fail(*str(error).splitlines())
    except OSError as error:  # a disk that is full or read-only, an output that is closed
        with contextlib.suppress(OSError):
            sys.stdout.close()  # what could not be written is not tried again
        reason = error.strerror or str(error)
        return _fail(f"{reason} ({error.filename})" if error.filename else reason)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted")
        return 130


def _fail(*lines: str) -> int:
    print(*(f"error: {line}" for line in lines), sep="\n", file=sys.stderr)
    return 1


def _open_closed() -> None:
    """Open what is closed of standard input, output and errors, or the next file takes its place."""
    for number, stream in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, stream, os.fdopen(number, "w" if number else "r", closefd=False))


@click.group(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
def _cli() -> None:
    pass


@_cli.command()
@PROFILE
@DRY_RUN
@CLUSTER
def book(profile: str, dry_run: bool, cluster: Path | None) -> None:
    """Execute what has changed, and render the book."""
    project = Project(Path.cwd())
    for chapter in project.notebooks:  # tell of bad input before anything runs
        check(chapter, project.given(profile, chapter))
        chapter.header  # noqa: B018
    if not dry_run:
        _warm_up(project)
    make(project, {"profile": profile}, cluster=cluster, dry_run=dry_run)
    if dry_run:
        return
    if changed := problems(project, profile):
        raise UserError("\n".join(changed))
    from baq.report.answers import summary  # slow to import
    from workflow.status import table, verdicts

    print(table(project, profile))
    print(summary(verdicts(project, profile)))
    print(f"the book is at {project.html(profile) / 'index.html'}")


@_cli.command("run", add_help_option=False)
@click.argument("name", required=False, metavar="CHAPTER")
@click.option("-h", "--help", "asked", is_flag=True, help="Show this, or a chapter's parameters.")
@click.option(
    *("-p", "pairs"), nargs=2, multiple=True, metavar="NAME VALUE", help="Give a parameter."
)
@click.option("-y", "file", type=PATH, metavar="FILE", help="Give parameters by a YAML file.")
@click.option("--no-page", is_flag=True, help="Make no HTML page.")
@click.option("--max-flip-rate", type=click.FloatRange(0, 1), help="Fail if more may change.")
@click.pass_context
def run_(
    context: click.Context,
    name: str | None,
    asked: bool,
    pairs: tuple[tuple[str, str], ...],
    file: Path | None,
    no_page: bool,
    max_flip_rate: float | None,
) -> int:
    """Run one chapter with other parameters, into runs/."""
    if name is None:
        click.echo(context.get_help(), err=not asked)
        return 0 if asked else 2
    project = Project(Path.cwd())
    chapter = project.chapter(name)
    if asked:
        _describe(project, chapter)
        return 0
    given = entries(file) if file else {}
    names = [name for name, _ in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"-p gives {', '.join(twice)} more than once: allowed is once")
    given |= {name: from_text(chapter, name, text) for name, text in pairs}
    given |= {} if max_flip_rate is None else {"max_flip_rate": max_flip_rate}
    check(chapter, given)
    _warm_up(project)
    try:
        notebook = run(project, chapter, given)
    except UserError as error:  # with a gate, 1 says that a candidate does not pass
        return _fail(*str(error).splitlines()) + (max_flip_rate is not None)
    print(notebook)
    if not no_page:
        print(run_page(project, notebook))
    made = read_json(notebook.parent / "results" / chapter.name / f"{chapter.name}.json")
    return _fail(*told) if (told := made.get("gate", {}).get("told")) else 0


def _describe(project: Project, chapter: Chapter) -> None:
    needs = ", ".join(chapter.header.requires) or "nothing"
    cost = f"should take about {chapter.header.minutes:g} min"
    if run := run_record(project.root / "book" / f"{chapter.name}.ipynb"):
        cost = f"took {run['minutes']:.1f} min, {run['peak_memory_mib']} MiB on {run['processor']}"
    print(f"{chapter.name} requires {needs}; with its defaults it {cost}")
    for known in declared(chapter).values():
        print(f"  {known.name}: {known.kind} = {known.default!r}\n      {known.comment}")


@_cli.command()
@click.argument("file", type=PATH)
@DRY_RUN
@click.option("-c", "--cores", default="all", help="Cores to use here.", show_default=True)
@CLUSTER
def sweep(file: Path, dry_run: bool, cores: str, cluster: Path | None) -> None:
    """Run a chapter over a grid of parameters, and sum it up.

    FILE is YAML with chapter, given, grid and table.
    """
    project = Project(Path.cwd())
    made = read(project, file)
    required = {name for run in made.runs for name in made.chapter.requires(made.parameters(run))}
    for name, reason in project.missing_data(required).items():
        raise UserError(f"{made.chapter.name} requires {name}: {reason}")
    if cores != "all" and not (cores.isdigit() and int(cores) > 0):
        raise UserError(f"cores is {cores!r}, allowed are all, and 1 up")
    if not dry_run:
        _warm_up(project)
    make(project, {"sweep": str(file)}, cores=cores, cluster=cluster, dry_run=dry_run, sweep=made)
    if not dry_run:
        print(*(made.folder(project) / name for name in ("table.csv", "sweep.html")), sep="\n")


@_cli.command(hidden=True)
@click.argument("file", type=PATH)
def gather(file: Path) -> None:
    """Sum up a sweep's complete runs; a rule calls this."""
    from workflow.gather import gather, sweep_page  # slow to import

    project = Project(Path.cwd())
    made = read(project, file)
    gather(project, made)
    sweep_page(project, made)
    if failed := failures(project, made):
        told = f"sweep {made.name}: {len(failed)} of {len(made.runs)} runs to do"
        told += f", the others are in runs/sweeps/{made.name}/sweep.html"
        raise UserError("\n".join([*failed.values(), told]))
    write_json(project.build / "sweeps" / f"{made.name}.json", {"runs": list(made.runs)})


@_cli.command()
@click.argument("runs", nargs=-1, type=PATH)
@click.option("--table", metavar="NAME", help="The table to show, by default the claims.")
def compare(runs: tuple[Path, ...], table: str | None) -> None:
    """Show what differs between runs, side by side; a run is its folder or its notebook."""
    from workflow.compare import compare_runs  # slow to import

    print(compare_runs(Project(Path.cwd()), list(runs), table))


@_cli.command()
def verify() -> int:
    """Execute every chapter anew, and compare its tables with those in book/."""
    from workflow.compare import verify_chapter  # slow to import

    project, failed = Project(Path.cwd()), 0
    for chapter in project.chapters:
        if missing := project.missing_data(chapter.requires({})):
            print(f"{chapter.name}: not verified, {'; '.join(missing.values())}")
            continue
        found = verify_chapter(project, chapter)
        print("\n".join(f"{chapter.name}: {text}" for text in found or ["tables agree"]))
        failed += len(found)
    return int(failed > 0)


@_cli.command(hidden=True)
@click.argument("chapter")
@PROFILE
def execute(chapter: str, profile: str) -> None:
    """Execute one chapter for a profile; a rule calls this."""
    project = Project(Path.cwd())
    settle(project, project.chapter(chapter), profile)


@_cli.command("render", hidden=True)
@PROFILE
def render_(profile: str) -> None:
    """Check and render what was executed; a rule calls this."""
    render(Project(Path.cwd()), profile)


@_cli.command("pdf")
@PROFILE
def pdf_(profile: str) -> None:
    """Print the rendered book as one PDF, and offer it on the site."""
    print(print_pdf(Project(Path.cwd()), profile))


@_cli.command("table")
@PROFILE
def table_(profile: str) -> None:
    """List how each chapter came out."""
    from workflow.status import table  # slow to import

    print(table(Project(Path.cwd()), profile))


def _warm_up(project: Project) -> None:
    """Let matplotlib list the fonts now, or a first run's notebook would hold its message."""
    folder = matplotlib_folder(project)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:  # a full or read-only folder is told of first
        file.write(bytes(2**12))
    quiet = {"MPLBACKEND": "agg", "MPLCONFIGDIR": str(folder), "MATPLOTLIBRC": os.devnull}
    code = "import logging; logging.disable(); import matplotlib.font_manager"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **quiet}, check=False)


if __name__ == "__main__":
    sys.exit(main())
