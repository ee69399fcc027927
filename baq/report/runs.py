"""Run one function over many tasks, such as seeds, several at a time and with progress."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import torch
from sklearn.utils.parallel import Parallel, delayed
from tqdm import tqdm

from baq.arguments import check_whole

__all__ = ["run_all", "threads"]

Result = TypeVar("Result")


def run_all(
    function: Callable[..., Result],
    tasks: Iterable[Sequence[Any]],
    *,
    jobs: int = 2,
    label: str = "runs",
) -> list[Result]:
    """``[function(*task) for task in tasks]``, each on one thread and ``jobs`` at a time.

    Tasks start from the last one, so that long tasks at the end of the list do not run alone.
    Results do not depend on ``jobs``, of which ``$BAQ_JOBS`` are the most where it is set. Progress
    goes to the file that ``$BAQ_PROGRESS`` names, so that it never enters a notebook, and to standard
    error where the variable is not set.

    Arguments:
        function: called in a process of its own; it may be defined in a notebook.
        tasks: the arguments of each call.
        jobs: calls at the same time, 1 or more; never more processes than tasks.
        label: what the progress bar counts.

    Returns:
        The results, in the order of the tasks.

    Raises:
        ValueError: for jobs below 1, also in ``$BAQ_JOBS``.
    """
    check_whole(jobs=jobs)
    todo = list(tasks)[::-1]
    if most := os.environ.get("BAQ_JOBS"):
        check_whole(BAQ_JOBS=int(most) if most.isdecimal() else most)
        jobs = min(jobs, int(most))
    parallel = Parallel(n_jobs=max(1, min(jobs, len(todo))), return_as="generator")
    with ExitStack() as stack:
        bar: dict[str, Any] = {"desc": label, "total": len(todo), "leave": False}
        if path := os.environ.get("BAQ_PROGRESS"):
            bar["file"] = stack.enter_context(open(path, "w", encoding="utf-8"))
            bar["disable"] = False
            bar["bar_format"] = "{desc} {n_fmt}/{total_fmt}"
        results = parallel(delayed(_on_one_thread)(function, task) for task in todo)
        done = list(tqdm(results, **bar))
    return done[::-1]


def _on_one_thread(function: Callable[..., Result], task: Sequence[Any]) -> Result:
    with threads(1):
        return function(*task)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Set the number of torch's threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
