# Every target sets up what it needs, is safe to repeat, and is fast the second time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NAME ?= *

# Where it is set (in containers, mostly), every process of the tests would compile the project anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test test-slow test-real coverage lint types-strict types-basic docs bench

help: ## Show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(STAMP) ## Make the virtual environment and install the pinned versions

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Thumbrank needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'Installing the pinned versions into $(VENV) (about a gigabyte, a few minutes the first time)'
	@$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true  # pip does it on one core; what it could not, it passes over too
	@touch $(STAMP)

demo: setup ## Run the whole pipeline on a simulated YouTube (a few minutes, no key, no download)
	@$(BIN)/thumbrank demo

dev: setup ## Open the Dagster and MLflow UIs on the demo's state (on your own: .venv/bin/thumbrank dev)
	@$(BIN)/thumbrank dev --demo

test: setup ## Run the tests (11 to 16 minutes on 2 cores)
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not slow and not real'

test-slow: setup ## Run the slower tests: the full demo, five worlds without effect, kills
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'slow and not real' --timeout 900

test-real: setup ## Run what needs real recorded answers and pictures in ../shared
	@$(BIN)/python -m pytest -m real

coverage: setup ## Run the tests and say which lines of thumbrank_core they do not reach (at least 90 % are)
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not slow and not real' --cov --cov-report=term

lint: setup docs ## Check style, types, layers, and that the docs build without a broken link
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports
	@$(MAKE) --no-print-directory --jobs 2 types-strict types-basic

types-strict:
	@$(BIN)/pyright

types-basic:
	@$(BIN)/pyright -p pyright-basic.json

docs: setup ## Build the pages as a site into site/ (every link and anchor is checked)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: setup ## Run the benchmarks and print their figures (one: make bench NAME=collect)
	@for script in benchmarks/bench_$(NAME).py; do $(BIN)/python $$script || exit 1; done
