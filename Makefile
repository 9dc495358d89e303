# Everything a day of work needs. `make` alone explains.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.g6-ready
DAY_DIR ?= data/demo-day
DEMO_DIR ?= data/demo
SEED ?= 7
UI_PORT ?= 3000
# One more than cores: a third of the tests' time is waiting for processes.
WORKERS ?= $(shell expr $$(nproc) + 1)

# Hundreds of processes are started here and each would compile every library anew: 4.5 s instead of 2.3 s for Dagster's
# definitions. Some machines switch the cache off for everybody.
unexport PYTHONDONTWRITEBYTECODE

.NOTPARALLEL:
.PHONY: help venv demo up ui test test-slow test-clock proof check style lint unit format day doctor lock clean

help: ## show this page
	@echo "G6: first  make demo  (a whole modelled trading day as separate processes; no account, no data)"
	@echo "    then   make test  (what must hold at each change, in minutes)"
	@echo
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Options: PYTHON=python3.12 (any Python from 3.11 on), VENV=dir, DAY_DIR=dir, DEMO_DIR=dir, SEED=number, UI_PORT=number, WORKERS=number"

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# uv does in seconds what takes pip a minute, with the same hashes. It does not read pip's configuration: it is handed the
# index, and pip does it where that is not enough (own certificates, packages on a second index).
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python

venv: $(STAMP) ## make .venv: hash-locked packages, g6 itself, compiled kernels

$(STAMP): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "G6 needs Python 3.11 or newer and '$(PYTHON)' is not; name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@sed -n '/^uv==/,/[^\\]$$/p' requirements-dev.txt >$(VENV)/uv.txt
	$(PIP) --no-deps --no-compile --require-hashes -r $(VENV)/uv.txt
	index=$$($(BIN)/python -m pip config list | sed -n "s/.*\.index-url='\(.*\)'$$/\1/p" | tail -n 1); \
	  UV_DEFAULT_INDEX=$$index $(UV) --require-hashes -r requirements-dev.txt || \
	  $(PIP) --no-compile --require-hashes -r requirements-dev.txt
	$(UV) --no-deps --no-build-isolation -e .
	$(BIN)/python -m g6_core.warm
	@touch $@

demo: $(STAMP) ## a modelled day on the wire, in Dagster and in the sidecar; open data/demo/day_report.html
	$(BIN)/g6 demo --data-dir $(DEMO_DIR)

up: $(STAMP) ## the whole stack until Ctrl+C: exchange, web UI, collector and sidecar on the demo's day, 20 times as fast
	@$(BIN)/g6 up --data-dir data/up --ui-port $(UI_PORT)

ui: $(STAMP) ## the Dagster web UI on what the demo left, on 127.0.0.1:3000 (no login: never open it to others); ALL_DAYS=1: all partitions
	@test -d $(DEMO_DIR)/dagster || { echo "nothing to look at yet: run make demo first" >&2; exit 1; }
	@$(BIN)/python -c 'import sys; from g6_core.cli.errors import exit_code_of; from g6_core.cli.parts import require_port; \
	  sys.exit(exit_code_of(lambda: require_port("$(UI_PORT)", "web UI", "UI_PORT")))'
	@shown=$(abspath $(DEMO_DIR))/dagster/ui.env; \
	if [ -z "$(ALL_DAYS)" ] && [ -f $$shown ]; then set -a; . $$shown; set +a; fi; \
	G6_POSTGRES_URL= G6_LEDGER_URL= DAGSTER_HOME=$(abspath $(DEMO_DIR))/dagster G6_DATA_DIR=$(abspath $(DEMO_DIR)) $(BIN)/dagster dev -w workspace.yaml -h 127.0.0.1 -p $(UI_PORT)

# Which tests go to which process, and in what order, is in tests/conftest.py.
PYTEST := $(BIN)/python -m pytest -q
SPREAD := -n $(WORKERS) --dist loadgroup --durations=15

# mypy works alone for half a minute: beside the tests it costs no time. What it finds is said at the end.
define checked
	@echo "tests, and mypy beside them"
	@$(BIN)/mypy >$(VENV)/mypy.log 2>&1 & types=$$!; \
	$(PYTEST) $(SPREAD) -m "$(1)"; tests=$$?; \
	wait $$types || { cat $(VENV)/mypy.log >&2; exit 1; }; exit $$tests
endef

test: style ## lint, types, import contracts and the fast tests: minutes, and no server is needed
	$(call checked,not slow and not proof)

test-slow: $(STAMP) ## the other tests: real servers, kills, recorded days, large random sets
	$(PYTEST) $(SPREAD) -m slow

check: style ## test and test-slow in one run, as .ci/run does
	$(call checked,not proof)

proof: $(STAMP) ## soaks, campaigns of kills, long fuzzing: an hour or two; figures in docs/soaks.md
	$(PYTEST) -m proof || (($$? == 5))
	for soak in day faults kill services real; do $(BIN)/python -m tests.soak.session $$soak || exit 1; done

# Everything that asks for today, and what stands on the calendar.
DATED := tests/domain tests/adapters/test_market_rules.py tests/cli tests/pipelines tests/stream/test_arming.py
CLOCKS ?= 2027-02-15 2028-02-29
test-clock: $(STAMP) ## the tests that ask for today under clocks beyond the known calendar; needs Debian's faketime
	for day in $(CLOCKS); do faketime -f "@$$day 06:00:00" \
	  $(PYTEST) $(SPREAD) -m "not slow and not proof" $(DATED) || exit 1; done

style: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

lint: style ## ruff, import contracts, mypy
	$(BIN)/mypy

unit: $(STAMP) ## the fast tests alone
	$(PYTEST) $(SPREAD) -m "not slow and not proof"

format: $(STAMP) ## let ruff write the layout and the simple fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

day: $(STAMP) ## a modelled trading day into data/demo-day; open its day_report.html
	$(BIN)/g6 day --source modelled --seed $(SEED) --data-dir $(DAY_DIR)

doctor: $(STAMP) ## is this machine ready? each problem comes with its fix
	$(BIN)/g6 doctor

# One resolution for every Python from 3.11 on; the base lock is a subset of the dev lock, version by version.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header --no-annotate pyproject.toml
lock: ## resolve requirements*.txt anew (with UPGRADE=--upgrade: to the newest versions)
	@test -x $(BIN)/uv || $(MAKE) venv
	$(BIN)/$(LOCK) $(UPGRADE) --extra dev -o requirements-dev.txt
	$(BIN)/$(LOCK) -c requirements-dev.txt -o requirements.txt

clean: ## remove .venv, caches and the demo day (never other data)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info build data/demo-day data/demo
	find g6_core g6_pipelines g6_stream benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +
