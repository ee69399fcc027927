# `make book` and `make test` are all a newcomer types: each sets up .venv first where needed.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/installed
LOCK := requirements.lock
PEERS := _build/peers
CHECKS := _build/checks

.DEFAULT_GOAL := help
.PHONY: help book quick pdf test test-slow test-slurm lint verify pages-check race lock clean

help:
	@echo "make book   execute every chapter that has changed, and render the book"
	@echo "make test   run the tests, but for the slow ones"
	@echo "make test-slow  run the slow tests"
	@echo "make lint   check style, formatting and types"
	@echo "make test-slurm  a sweep on a real Slurm of this machine alone, some minutes"
	@echo "make verify execute every chapter anew, and compare its tables with those in book/"
	@echo "make pages-check open every page of the book in Chromium: whole, readable, accessible, no network"
	@echo "make quick  the book with small parameters, in a minute, below _build/quick"
	@echo "make pdf    the whole book as one PDF, which the site then offers; needs Chromium"
	@echo "make race   the costly parts against what a user would pick instead, some twenty minutes"
	@echo "make lock   resolve $(LOCK) anew from pyproject.toml"
	@echo "make clean  remove everything that is built, but keep $(VENV) and book/"
	@echo "Each takes PYTHON=... for another Python than python3 (3.11 to 3.13)."

book: $(INSTALLED)
	@$(RUN) -m workflow book

quick: $(INSTALLED)
	@$(RUN) -m workflow book --profile quick

pdf: book
	@$(RUN) -m workflow pdf

test: $(INSTALLED)
	@$(RUN) -m pytest -n 2 --dist worksteal -m "not slow"

test-slow: $(INSTALLED)
	@$(RUN) -m pytest -n 2 --dist worksteal -m slow

lint: $(INSTALLED)
	@$(RUN) -m ruff check --quiet .
	@$(RUN) -m ruff format --quiet --check .
	@$(RUN) -m mypy

test-slurm: $(INSTALLED)
	@BAQ_TEST_SLURM=1 $(RUN) -m pytest tests/test_slurm.py

verify: $(INSTALLED)
	@$(RUN) -m workflow verify

race: $(INSTALLED) $(PEERS)/installed
	@PYTHONPATH=$(PEERS) $(RUN) -m benchmarks

# Each peer by itself: one that cannot be installed is named in the results, and the others race.
$(PEERS)/installed: benchmarks/requirements.txt | $(INSTALLED)
	@rm -rf $(PEERS)
	@grep -v '^#' $< | while read peer; do $(RUN) -m pip install --quiet \
	--disable-pip-version-check --no-deps --target $(PEERS) "$$peer" || true; done
	@mkdir -p $(PEERS) && touch $@

# Its tools are no part of the lock: the book is made without them.
pages-check: $(CHECKS)/installed
	@$(CHECKS)/bin/python -m checks.pages $(PAGES)

$(CHECKS)/installed: checks/requirements.txt
	@rm -rf $(CHECKS)
	@$(PYTHON) -m venv $(CHECKS)
	@$(CHECKS)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# An environment without its stamp was left half installed: it is made anew.
$(INSTALLED): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || \
	{ echo "error: $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo missing), allowed are Python 3.11," \
	"3.12 and 3.13: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	{ echo "error: $(PYTHON) has no venv module (on Debian: apt install python3-venv)" >&2; exit 1; }
	@if [ -e $@ ]; then rm $@; else rm -rf $(VENV); fi
	@echo "installing into $(VENV): some 6 GB, a few minutes"
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --requirement $(LOCK)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

lock: $(INSTALLED)
	@$(RUN) -m pip install --quiet --disable-pip-version-check uv
	@$(RUN) -m uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras \
	--no-header --no-emit-index-url --no-emit-find-links --output-file $(LOCK) pyproject.toml

clean:
	rm -rf _build .snakemake runs .pytest_cache .hypothesis .ruff_cache .mypy_cache
