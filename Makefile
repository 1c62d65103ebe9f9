# Everything happens in a virtual environment of the project's own, made on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: help demo test test-all browser fuzz lint bench golden clean

help: ## Show what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(VENV)/core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/dev: $(VENV)/core
	$(PIP) install -c constraints.txt torch
	$(PIP) install -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(VENV)/core ## Predict the emotion of a bundled clip, with a timeline
	$(BIN)/ullim predict --timeline src/ullim/data/demo.flac

test: $(VENV)/dev ## Run the fast tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow"

test-all: $(VENV)/dev ## Run every test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

browser: $(VENV)/dev ## Test the page in the Chromium of this machine
	$(PIP) install -c constraints.txt -e ".[browser]"
	$(BIN)/python -m pytest -m browser

fuzz: $(VENV)/dev ## Damage recordings for ten minutes, and decode them
	$(PIP) install atheris
	$(BIN)/python tests/fuzz_decoding.py

lint: $(VENV)/dev ## Check style, types and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

bench: $(VENV)/dev ## Print both sides of every claim about speed
	$(PIP) install -c constraints.txt -e ".[benchmark]"
	$(BIN)/python benchmarks/features.py
	$(BIN)/python benchmarks/feature_times.py
	$(BIN)/python benchmarks/prosody.py
	$(BIN)/python benchmarks/predict.py
	$(BIN)/python benchmarks/report.py
	$(BIN)/python benchmarks/corpora.py
	$(BIN)/python benchmarks/serving.py

golden: $(VENV)/dev ## Measure some figures again: ULLIM_CORPORA=FOLDER make golden
	OMP_NUM_THREADS=1 $(BIN)/python scripts/golden.py

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build dist
