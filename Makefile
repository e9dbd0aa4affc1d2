# Everything that a checkout can do. Needs python3 (3.11 or newer) with venv, make, and a package index for pip.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
DEMO := demo
SERVICE ?=

# The core is everything but the command and the test kit; lines and branches count.
CORE_COVERAGE := 95
NOT_CORE := dts_fsm/cli/*,dts_fsm/testing/*

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo servers live test check packages exchange drawing lint format diagrams docs bench kills faults powercuts simulate fuzz mutants clean

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

servers: packages $(STAMP)  ## install the real servers that the tests ask, and start each of them once
	$(BIN)/python -m pytest -q tests/servers

test: servers  ## run all tests, and fail below 95 % coverage of the core, branches included
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -n auto --dist worksteal
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --omit="$(NOT_CORE)" --fail-under=$(CORE_COVERAGE)

live: $(STAMP)  ## ask the real services, with credentials from the environment: see tests/live/README.md
	$(BIN)/python -m pytest -m live $(if $(SERVICE),tests/live/test_live_$(SERVICE).py,tests/live)

check: packages exchange drawing lint docs test simulate  ## everything that must hold before a change is merged

packages:  ## install the Debian packages that some tests use, or say which
	.ci/debian-packages

exchange:  ## install XState for the tests, where there is Node
	tests/exchange/node/install

drawing:  ## install Mermaid for the tests, where there is Node
	tests/drawing/node/install

lint: $(STAMP)  ## lint, formatting, types, and whether charts, diagrams and the names as types are in order
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/dts-fsm lint --strict
	$(BIN)/python -m dts_fsm.statechart.drawing --check statecharts/diagrams
	$(BIN)/python -m dts_fsm.statechart.typed --check dts_fsm/statechart/literals.py

format: $(STAMP)  ## repair what ruff can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

diagrams: $(STAMP)  ## draw the statecharts again
	$(BIN)/python -m dts_fsm.statechart.drawing statecharts/diagrams

docs: $(STAMP)  ## build the documentation in docs/_build/html; warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -q -E -b html docs docs/_build/html

bench: $(STAMP)  ## measure; see benchmarks/
	mkdir -p benchmarks/results
	$(BIN)/python -m benchmarks --json benchmarks/results/figures.json

# What follows takes longer than a check should; smaller runs of the same are part of the tests.

SEEDS ?= 1000

kills: $(STAMP)  ## kill real processes at every point, and 300 times at random
	DTS_CRASH_STRIDE=1 DTS_KILLS=300 $(BIN)/python -m pytest tests/crash

faults: $(STAMP)  ## meet every writing call of the store with every fault
	DTS_FAULT_STRIDE=1 $(BIN)/python -m pytest tests/faults

powercuts: $(STAMP)  ## cut the power of a file system 40 times (as root)
	DTS_POWER_CUTS=40 $(BIN)/python -m pytest tests/faults/test_power_cuts.py

simulate: $(STAMP)  ## simulate SEEDS=1000 installations, of 50 transfers each
	$(BIN)/python -m dts_fsm.testing.simulation --seeds $(SEEDS)

fuzz: $(STAMP)  ## fuzz the loaders, 50 times as long as the tests do
	DTS_FUZZ_EXAMPLES=50 $(BIN)/python -m pytest tests/properties -k fuzz

mutants: $(STAMP)  ## change the core in thousands of ways: tests should notice each; MUTANTS='dts_fsm.engine*' for a part
	$(BIN)/python -m pip install --quiet --group mutation
	nice -n 15 $(BIN)/mutmut run $(MUTANTS)
	$(BIN)/mutmut results

clean:  ## remove everything that make has made, the virtual environment included
	rm -rf $(VENV) $(DEMO) mutants docs/_build build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
