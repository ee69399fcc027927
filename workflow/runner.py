"""Execute one chapter, and put its notebook and tables into place together or not at all."""

import contextlib
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from baq.machine import locked, processor_name
from workflow.files import digest, run_record, write_json
from workflow.parameters import check
from workflow.progress import Progress
from workflow.project import Chapter, Project, UserError
from workflow.stamp import sources, tables_of, tables_read, versions


def execute(project: Project, chapter: Chapter, given: dict, book: Path) -> Path:
    """Execute a chapter, with the parameters given in place of its own defaults.

    On success ``book`` holds NAME.ipynb, and results/NAME with exactly the tables of this run
    and run.json. A failure leaves there what was, and keeps the failed notebook in
    ``_build/failed``, by the name of the chapter or of the run's folder below ``runs``. Equal
    inputs give equal bytes on one machine, but for run.json.

    Returns:
        The path of the executed notebook.

    Raises:
        UserError: for a parameter that does not fit, a cell that fails, a disk that is full, or
            when another process is executing the same chapter into the same place.
    """
    try:
        return _execute(project, chapter, check(chapter, given), book)
    except OSError as error:
        where = error.filename or book.relative_to(project.root)
        raise UserError(f"{chapter.name}: {error.strerror or error} ({where})") from error


def _execute(project: Project, chapter: Chapter, given: dict, book: Path) -> Path:
    made_from = sources(project, chapter, given, book)
    place = (book / chapter.name).relative_to(project.root).as_posix().replace("/", "--")
    # Finished work is renamed into place, so it is made on the same file system.
    ours = project.runs in book.parents
    folder = (project.runs / ".work" if ours else project.build / "work") / place
    target, tables = book / f"{chapter.name}.ipynb", book / "results" / chapter.name
    with _workshop(folder, wait=ours) as (work, waited):
        if waited and made_from.items() <= run_record(target).items():
            return target  # what the other process made is what we were asked for
        if (work / "previous").exists() and not tables.exists():
            os.replace(work / "previous", tables)  # a run was killed between two renames
        shutil.rmtree(work)
        results, read, scratch = work / "results", work / "tables", work / "scratch"
        for folder in (work, results, read, scratch):
            folder.mkdir()
        for name, path in tables_read(project, chapter, book).items():
            (read / name).symlink_to(path)
        nbformat.write(chapter.notebook, work / "source.ipynb")
        begun = datetime.now(UTC)
        cells = sum(c.cell_type == "code" for c in chapter.notebook.cells)
        with Progress(chapter.name, cells + bool(given), inner=work / "progress") as progress:
            failed = project.build / "failed" / f"{book.name if ours else chapter.name}.ipynb"
            _run(project, chapter, given, work, progress, failed)
        done = nbformat.read(work / "executed.ipynb", as_version=4)
        now = sources(project, chapter, given, book)
        files = now.get("files", {})  # a chapter may fill a folder that a parameter names
        if made_from | {"files": files | made_from.get("files", {})} != now | {"files": files}:
            raise UserError(f"{chapter.name}: its sources changed while it ran, run it again")
        recorded = project.root / "book" / f"{chapter.name}.ipynb"
        same = run_record(recorded).get("parameters") == now["parameters"]
        if same and recorded.is_file():
            lost = lost_figures(nbformat.read(recorded, as_version=4), done)
            if cells := ", ".join(map(str, lost)):
                raise UserError(f"{chapter.name} cell {cells}: the recorded figure is missing")
        stamp = {**now, "versions": versions()}
        unit = 2**20 if sys.platform == "darwin" else 2**10
        nbformat.write(_tidy(done, stamp), work / "executed.ipynb")
        record = {
            "date": begun.date().isoformat(),
            "minutes": round(progress.seconds / 60, 2),
            "processor": processor_name(),
            "cores": os.cpu_count(),
            "threads": int(os.environ.get("BAQ_JOBS") or chapter.header.threads),
            # Of the largest child process, which is the kernel.
            "peak_memory_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // unit,
            **stamp,
            "tables": tables_of(results),
            "notebook": digest(work / "executed.ipynb"),
        }
        write_json(results / "run.json", record)
        _publish(work, target, tables)
        return target


class _KernelManager(AsyncKernelManager):
    """Kernels of this interpreter, whatever kernels of the same name the user has."""

    def _kernel_spec_manager_default(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[])


class _Engine(NBClientEngine):
    """Papermill's own engine, telling a progress and passing an environment to the kernel."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: NotebookExecutionManager,
        kernel_name: str,
        *,
        progress: Progress,
        environment: dict[str, str],
        **_: object,
    ) -> NotebookNode:
        start = nb_man.cell_start

        def cell_start(cell: NotebookNode, index: int) -> None:
            progress.cell += cell.cell_type == "code"
            start(cell, index)

        nb_man.cell_start = cell_start
        # Sockets in a private folder: no ports to run out of or to listen on. Paths must be short.
        short = "/tmp" if len(tempfile.gettempdir()) > 60 else None
        with tempfile.TemporaryDirectory(prefix="baq-", dir=short) as sockets:
            transport = {"transport": "ipc", "ip": f"{sockets}/kernel"}
            client = PapermillNotebookClient(
                nb_man,
                kernel_name=kernel_name,
                kernel_manager_class=_KernelManager,
                startup_timeout=120,
                config=Config(KernelManager=transport),
            )
            # It reports an orderly end as an error, now and then: only a dead one's last words count.
            with open(f"{sockets}/words", "wb") as words:
                try:
                    return client.execute(env=environment, stderr=words)
                except DeadKernelError:
                    print(Path(words.name).read_text(errors="replace"), end="", file=sys.stderr)
                    raise


papermill_engines.register("baq", _Engine)


def _run(
    project: Project, chapter: Chapter, given: dict, work: Path, progress: Progress, failed: Path
) -> None:
    try:
        papermill.execute_notebook(
            work / "source.ipynb",
            work / "executed.ipynb",
            parameters=given,
            engine_name="baq",
            kernel_name="python3",
            cwd=work / "scratch",
            progress_bar=False,
            progress=progress,
            environment=_environment(project, chapter, work),
        )
    except (PapermillExecutionError, DeadKernelError) as error:
        failed.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(work / "executed.ipynb", failed)
        if isinstance(error, DeadKernelError):
            last = "the kernel died, perhaps for want of memory"
        else:
            last = f"{error.ename}: {error.evalue}".strip().splitlines()[-1]
        where = f"{chapter.name} cell {progress.cell}/{progress.cells}"
        raise UserError(f"{where}: {last} (see {failed.relative_to(project.root)})") from error


#: Beginnings of the variables that Python, its notebooks and the libraries read.
_LEAKS = (
    "BAQ_",
    *("PYTHON", "IPYTHON", "JUPYTER", "MPL", "MATPLOTLIB", "TORCH", "PYTORCH", "ATEN", "CUBLAS"),
    *("OMP_", "MKL_", "KMP_", "OPENBLAS_", "DNNL_", "ONEDNN_", "SKLEARN_", "COLUMNS", "LINES"),
)


def matplotlib_folder(project: Project) -> Path:
    """Where runs keep matplotlib's list of fonts, apart from the user's configuration."""
    return project.build / "matplotlib"


def _environment(project: Project, chapter: Chapter, work: Path) -> dict[str, str]:
    """An environment in which equal inputs give equal bytes."""
    data, counts = os.environ.get("BAQ_DATA"), os.environ.get("BAQ_COUNTS")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(_LEAKS)},
        # The kernel works elsewhere, where a relative path would lead nowhere.
        "BAQ_FOLDER": os.getcwd(),
        **({"BAQ_DATA": os.path.abspath(os.path.expanduser(data))} if data else {}),
        "BAQ_RESULTS": str(work / "results"),
        "BAQ_PROGRESS": str(work / "progress"),
        "BAQ_JOBS": os.environ.get("BAQ_JOBS", ""),
        # An empty file, in place of the user's; the list of fonts is kept for the next run.
        "MATPLOTLIBRC": os.devnull,
        "MPLCONFIGDIR": str(matplotlib_folder(project)),
        "BAQ_TABLES": str(work / "tables"),
        # The package that the stamp describes, with its checkpoints, and nothing else of the user's.
        "PYTHONPATH": f"{project.root}" + f":{project.root}/benchmarks/counted" * bool(counts),
        **({"BAQ_COUNTS": str(Path(counts).resolve() / chapter.name)} if counts else {}),
        "IPYTHONDIR": str(work / "ipython"),
        **dict.fromkeys(("PYTHONHASHSEED", "SOURCE_DATE_EPOCH"), "0"),
        # Joblib replaces a worker whose memory has grown, and says so; results do not depend on it.
        "PYTHONWARNINGS": "ignore:A worker stopped:UserWarning",
        **dict.fromkeys(("PYTHONNOUSERSITE", "PYTHONDONTWRITEBYTECODE", "TQDM_DISABLE"), "1"),
        # The allocator keeps what a batch leaves, which else the system would give and clear anew.
        **{f"MALLOC_{one}_THRESHOLD_": str(2**k) for one, k in (("TRIM", 30), ("MMAP", 25))},
        # Threads change the last bits, and wait for each other where chapters run side by side.
        **{f"{one}_NUM_THREADS": "1" for one in ("OMP", "MKL", "OPENBLAS")},
    }


def _tidy(notebook: NotebookNode, stamp: dict) -> NotebookNode:
    """The notebook without anything that differs between equal runs, and with its stamp."""
    notebook.metadata.pop("papermill", None)
    notebook.metadata.pop("jupytext", None)
    notebook.metadata["baq"] = {**notebook.metadata["baq"], **stamp}
    notebook.metadata.get("language_info", {}).pop("version", None)
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index:03d}"
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        for output in cell.get("outputs", []):
            if text := output.get("data", {}).get("text/plain"):  # addresses of objects
                output.data["text/plain"] = re.sub(r" at 0x[0-9a-f]+>", ">", text)
            if "text" in output:  # where a cell's warning says that it comes from
                output.text = re.sub(r"\S*/ipykernel_\d+/\d+\.py", "cell", output.text)
    nbformat.validate(notebook)
    return notebook


def _publish(work: Path, target: Path, tables: Path) -> None:
    """Move tables and notebook into place; the two renames of folders follow at once."""
    tables.parent.mkdir(parents=True, exist_ok=True)
    held = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        if tables.exists():
            os.replace(tables, work / "previous")
        os.replace(work / "results", tables)
        os.replace(work / "executed.ipynb", target)
        shutil.rmtree(work / "previous", ignore_errors=True)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)


@contextlib.contextmanager
def _workshop(folder: Path, wait: bool) -> Iterator[tuple[Path, bool]]:
    """A folder of our own, and whether another process was at work in it; its lock dies with us."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock, waited = folder.with_suffix(".lock"), False
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(lock))
        except BlockingIOError as error:
            told = f"{folder.name} is being executed by another process"
            if not wait:
                raise UserError(told) from error
            print(f"{told}, waiting for it", file=sys.stderr, flush=True)
            stack.enter_context(locked(lock, wait=True))
            waited = True
        folder.mkdir(exist_ok=True)
        try:
            yield folder, waited
        finally:
            shutil.rmtree(folder)


def lost_figures(recorded: NotebookNode, made: NotebookNode) -> list[int]:
    """The code cells, counted from 1, that drew a figure when they were recorded, and none now."""
    drew, draw = ({cell.source for cell in figures(one)} for one in (recorded, made))
    code = [cell.source for cell in made.cells if cell.cell_type == "code"]
    return [number for number, text in enumerate(code, start=1) if text in drew - draw]


def figures(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells with a figure among their outputs: an image, or a ``figure`` element of HTML."""
    found = []
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        shown = [output.get("data", {}) for output in cell.outputs]
        image = any(kind.startswith("image/") for data in shown for kind in data)
        found += [cell] if image or "<figure" in str(shown) else []
    return found
