"""Results of runs side by side are those of a loop, whatever the number of jobs."""

import os

import pytest
import torch

from baq.report.runs import run_all


def power(base, exponent):
    return base**exponent, torch.get_num_threads()


@pytest.mark.parametrize("jobs", [1, 2, 100])
def test_runs_give_what_a_loop_gives(jobs):
    tasks = [(2, k) for k in range(5)]
    assert run_all(power, tasks, jobs=jobs) == [(2**k, 1) for k in range(5)]


def test_the_environment_bounds_the_jobs(monkeypatch):
    monkeypatch.setenv("BAQ_JOBS", "1")
    assert run_all(os.getpid, [()] * 2, jobs=2) == [os.getpid()] * 2
    monkeypatch.setenv("BAQ_JOBS", "")
    assert os.getpid() not in run_all(os.getpid, [()] * 2, jobs=2)


def test_progress_goes_to_the_file_that_is_named(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("BAQ_PROGRESS", str(tmp_path / "progress"))
    run_all(power, [(1, 1)], jobs=1, label="squares")
    assert "squares" in (tmp_path / "progress").read_text()
    assert capfd.readouterr() == ("", "")


def test_threads_are_as_before():
    torch.set_num_threads(2)
    try:
        run_all(power, [(1, 1)], jobs=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_an_error_in_one_run_is_the_callers():
    with pytest.raises(ZeroDivisionError):
        run_all(power, [(0, -1), (1, 1)], jobs=2)


@pytest.mark.parametrize("most", ["0", "two", "-1", "1.5"])
def test_jobs_of_the_environment_are_named(monkeypatch, most):
    monkeypatch.setenv("BAQ_JOBS", most)
    with pytest.raises(ValueError, match=f"BAQ_JOBS is '?{most}'?: allowed is 1 or more"):
        run_all(power, [(1, 1)])


def test_jobs_below_one_are_named():
    with pytest.raises(ValueError, match="jobs is 0: allowed is 1 or more"):
        run_all(power, [(1, 1)], jobs=0)
    assert run_all(power, [], jobs=os.cpu_count()) == []
