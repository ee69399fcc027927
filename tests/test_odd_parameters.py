"""Every chapter runs with one seed, with any one bit width, and with values that answer no claim."""

import shutil
from pathlib import Path

import pytest

from workflow.parameters import check, declared
from workflow.project import Project
from workflow.runs import run

ROOT = Path(__file__).parents[1]
BOOK = Project(ROOT)
#: One seed, one bit width, at most one value of everything else of which there are several.
ODD = {
    **dict.fromkeys(("seeds", "seeds_digits", "seeds_cifar", "choice_seeds", "planes"), 1),
    **dict.fromkeys(("calibration_planes", "choice_planes"), 1),
    "bits": [5],
    "levels": [5, 2],
    "grids": [33],
    "shares": [0.5],
    "datasets": ["digits"],
    "gap_weights": [2.0],
    "exact_weights": [0.5],
    "families": ["resnet"],
    "eps_study": [0.5],
    "tau_f_study": [0.5],
    "tau_j_study": [0.5],
}


@pytest.fixture
def checkout(tmp_path):
    """What it takes to execute a chapter, away from the working tree."""
    for folder in ("baq", "book/claims", "book/protocols", "notebooks", "checkpoints"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "_toc.yml", tmp_path)
    return Project(tmp_path)


@pytest.mark.parametrize("chapter", BOOK.notebooks, ids=lambda chapter: chapter.name)
def test_the_quick_profile_gives_what_a_chapter_declares(chapter):
    assert check(chapter, BOOK.given("quick", chapter)) is not None


@pytest.mark.slow
@pytest.mark.parametrize("name", [chapter.name for chapter in BOOK.chapters])
def test_a_chapter_runs_with_one_of_everything(checkout, name):
    chapter = checkout.chapter(name)
    given = dict(BOOK.parameters("quick")[name])
    given |= {key: value for key, value in ODD.items() if key in declared(chapter)}
    if missing := checkout.missing_data(chapter.requires(given)):
        pytest.skip("; ".join(missing.values()))
    assert run(checkout, chapter, given).is_file()
