# Everything that a checkout can do. Needs python3 (3.11 or newer) with venv, make, and a package index for pip.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
DEMO := demo

# The core is everything but the command and the test kit; lines and branches count.
CORE_COVERAGE := 95
NOT_CORE := dts_fsm/cli/*,dts_fsm/testing/*

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test check lint format diagrams docs bench clean

help:  ## say what there is
	@sed -n 's/^\([a-z]*\):.*  ## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --group dev --editable .
	touch $@

demo: $(STAMP)  ## move real files to the folder demo/archive, and show what arrived
	rm -rf $(DEMO)
	$(BIN)/dts-fsm transfer tests/data/genomes $(DEMO)/archive --data-dir $(DEMO)/state
	@echo
	@cd $(DEMO)/archive && find dts-* -type f | sort
	@echo
	@cat $(DEMO)/archive/dts-*/manifest.json

test: $(STAMP)  ## run all tests, and fail below 95 % coverage of the core, branches included
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --omit="$(NOT_CORE)" --fail-under=$(CORE_COVERAGE)

check: lint docs test  ## everything that must hold before a change is merged

lint: $(STAMP)  ## lint, formatting, types, and whether the diagrams are current
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/python -m dts_fsm.statechart.diagrams --check statecharts/diagrams

format: $(STAMP)  ## repair what ruff can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

diagrams: $(STAMP)  ## draw the statecharts again
	$(BIN)/python -m dts_fsm.statechart.diagrams statecharts/diagrams

docs: $(STAMP)  ## build the documentation in docs/_build/html; warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -q -E -b html docs docs/_build/html

bench: $(STAMP)  ## measure; see benchmarks/
	$(BIN)/python -m benchmarks

clean:  ## remove everything that make has made, the virtual environment included
	rm -rf $(VENV) $(DEMO) docs/_build build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
