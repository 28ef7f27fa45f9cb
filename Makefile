# Everything a newcomer needs: each target builds the virtual environment from the lock by itself.
.DEFAULT_GOAL := help
.PHONY: help demo test check lint types format bench docs lock clean
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-from-lock
ROOMS := market features infra registry serving learning tasks flows cli

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
	  || { echo "Lockstep needs Python 3.11 to 3.13; run make PYTHON=python3.11" >&2; exit 1; }
	@echo "Installing the locked libraries into $(VENV) (a few minutes, once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## The whole life of one model on a synthetic market, offline (about 3 minutes)
	$(BIN)/lockstep demo

test: $(STAMP) ## The test suite
	$(BIN)/python -m pytest

check: lint types test ## What CI runs: format, lint, layers, types, tests

lint: $(STAMP) ## Formatting, lint and the layers between rooms
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(STAMP) ## Strict static types
	$(BIN)/mypy $(ROOMS)

format: $(STAMP) ## Format and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## Benchmarks: ratios against peers and floors, one JSON line a case
	for script in benchmarks/bench_*.py; do PYTHONPATH=. $(BIN)/python $$script || exit 1; done

docs: $(STAMP) ## Regenerate the generated pages in docs/
	$(BIN)/python -m cli.docs

lock: ## Resolve pyproject.toml into requirements.lock again (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-annotate --no-header --extra dev pyproject.toml --output-file requirements.lock

clean: ## Remove the environment and caches, never a home
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
