# Every target sets up what it needs, is safe to repeat, and is fast the second time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NAME ?= *

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test test-slow test-real lint bench

help: ## Show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(STAMP) ## Make the virtual environment and install the pinned versions

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Thumbrank needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

demo: setup ## Run the whole pipeline on a simulated YouTube (a few minutes, no key, no download)
	@$(BIN)/thumbrank demo

dev: setup ## Open the Dagster UI on the demo's state (on your own: .venv/bin/thumbrank dev)
	@$(BIN)/thumbrank dev --demo

test: setup ## Run the tests (under 10 minutes on 2 cores)
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not slow and not real'

test-slow: setup ## Run the slower tests: the full demo, five worlds without effect, kills
	@$(BIN)/python -m pytest -m 'slow and not real'

test-real: setup ## Run what needs real recorded answers and pictures in ../shared
	@$(BIN)/python -m pytest -m real

lint: setup ## Check style, types and layers
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && $(BIN)/pyright

bench: setup ## Run the benchmarks and print their figures (one: make bench NAME=collect)
	@for script in benchmarks/bench_$(NAME).py; do $(BIN)/python $$script || exit 1; done
