# Each target makes the virtual environment it needs and may be repeated.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: demo test test-slow lint bench train-tiny clean

demo: $(VENV)/base  ## a dataset and a page from the example photographs
	$(BIN)/insightedit demo --out demo
	$(BIN)/insightedit inspect demo

test: $(VENV)/dev  ## the fast tests
	$(BIN)/python -m pytest -n auto

test-slow: $(VENV)/dev  ## the slow ones: resume after kill -9, build at scale
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/dev  ## measure again what benchmarks/RESULTS.md reports
	$(BIN)/python -m benchmarks

train-tiny: $(VENV)/dev  ## the small model from nothing, in runs/small; SMOKE=1: a few updates of everything
	$(BIN)/insightedit train-small runs/small$(if $(SMOKE),-smoke --smoke)

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/base: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e .
	touch $@

$(VENV)/dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[dev]'
	touch $(VENV)/base $@
