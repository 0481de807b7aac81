# Everything a person runs, by name. `make` alone lists it.
#
# Needs make, Python 3.11 to 3.13 and pip's package index, nothing else. All names here are relative, because make
# cannot have a blank in a target's name and a clone may well lie in a folder that has one.

PY := .venv/bin/python

# Handed on to the command: make demo ARGS=--help, make test ARGS='-k harness', make bench ARGS='harness --help'
ARGS ?=
# Where it is set, as in many containers, each of the hundreds of processes that the tests, the demonstration and the
# UI start compiles all of Dagster anew: 2 seconds of a processor instead of 0.8.
unexport PYTHONDONTWRITEBYTECODE
# One more than a small machine has cores, because the tests of the daemon mostly wait. Not more: they start a real
# PostgreSQL and a real object server beside themselves.
TEST_WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help setup demo dev filemaker test endurance coverage check lint types layers docs mutants format bench pins clean distclean

help: ## list these targets
	@echo 'make demo and make test are all it takes; each sets up its own .venv first.'
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "Options: ARGS='...' is handed to demo, dev, filemaker, test, mutants, bench; PYTHON=/path/to/python3.12 chooses the Python."

setup: ## make .venv and install the pinned packages (the others do it by themselves)
	@sh scripts/setup.sh

demo: setup ## run the migration on the sample clinic and say what happened
	@.venv/bin/fm-migration demo $(ARGS)

dev: setup ## open the Dagster UI on the sample clinic
	@.venv/bin/fm-migration dev $(ARGS)

filemaker: setup ## run a simulated FileMaker Server with a small clinic
	@$(PY) -m fm_migration_tests.filemaker_server $(ARGS)

# How the tests are dealt out to the processes: fm_migration_tests/conftest.py.
PYTEST := $(PY) -m pytest -n $(TEST_WORKERS) --dist loadscope --no-loadscope-reorder --durations=10

# exec, because make hands a SIGTERM on to the shell, which would end without a word to the tests.
test: setup ## run the tests, about five minutes on two cores
	@exec $(PYTEST) -m "not long" $(ARGS)

endurance: setup ## run the long ones: the whole clinic, daemons, twenty thousand steps of a clinic's life
	@exec $(PYTEST) -m long $(ARGS)

# A sample, of which each seed makes another one; bench/mutants.py.
mutants: setup ## put small faults into a copy of the code and count which ones the tests find (an hour)
	@exec $(PY) -m bench.mutants $(ARGS)

# Apart from `test`, because tracing makes it a sixth longer. The folder for its data is a fresh one, so that two runs at
# the same moment do not add up each other's.
coverage: setup ## run all tests and report how much of the code they reach
	@data=$$(mktemp -d) && trap 'rm -rf "$$data"' EXIT && \
	COVERAGE_FILE="$$data/coverage" $(PYTEST) --cov --cov-report=term $(ARGS)

check: lint types layers docs ## everything but the tests: style, types, layers, documentation

lint: setup ## ruff: style and formatting
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: setup ## mypy, strict
	$(PY) -m mypy

layers: setup ## import-linter: who may import whom
	.venv/bin/lint-imports

docs: setup ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

format: setup ## let ruff format and repair what it can
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: setup ## list the benchmarks; make bench ARGS=NAME runs one
	@$(PY) -m bench $(ARGS)

pins: setup ## write constraints.txt anew with the newest versions that fit
	@$(PY) scripts/pins.py

clean: ## remove caches and built files
	rm -rf .coverage .coverage.* coverage.xml site build dist fm_migration.egg-info screenshots
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find fm_migration fm_migration_tests bench -type d -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## the same, and .venv and the sample clinic too
	@sh scripts/distclean.sh
