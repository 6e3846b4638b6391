# Everything starts here. `make run` and `make test` set up what they need.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The oldest Databricks Runtime that is supported, as far as it is public: its Spark and Delta with our libraries.
OLDEST := .venv-oldest
COMMAND_TESTS := retail_assets_tests/test_cli.py
export DAGSTER_HOME ?= $(CURDIR)/.dagster_home

.DEFAULT_GOAL := help
.PHONY: help setup python run rehearse ui test test-long test-oldest lint bench wheel clean lock

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */\1\t/' | expand -t 12

python: # say so before anything else happens
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "Python 3.11 is missing: '$(PYTHON)' was not found. Install it, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }

$(READY): requirements/bootstrap.lock requirements/requirements.lock requirements/databricks-judge.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes --no-build-isolation -r requirements/requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	$(BIN)/uv pip install --quiet --python $(BIN)/python --target $(VENV)/databricks-judge --no-deps --require-hashes -r requirements/databricks-judge.lock
	touch $@

setup: python $(READY) ## install everything into .venv

run: setup ## the main job, on what is landed, or on data it makes itself
	$(BIN)/retail run --generate-if-empty

rehearse: setup ## the whole graph on a rehearsal of Databricks, on this machine
	$(BIN)/retail rehearse

ui: setup ## the Dagster UI on http://localhost:3000
	$(BIN)/retail ui

test: setup lint ## lint, types, tests
	@# What needs no engine runs beside what shares a session, first the embedded engine's, then Spark's where Java is; its
	@# output comes afterwards. The command's tests come last here, so that both sides end at about the same time.
	@beside=$$(mktemp); failed=0; \
	$(BIN)/python -m pytest -m "not long and not spark and not jvm" --ignore=$(COMMAND_TESTS) >$$beside 2>&1 & without=$$!; \
	$(BIN)/python -m pytest -m "not long and spark and not jvm" || failed=$$?; \
	if $(BIN)/python -m retail_assets.lakehouse.engines.java; \
	then RETAIL_ENGINE=spark $(BIN)/python -m pytest -m "not long and jvm" || failed=$$?; \
	else echo "No Java on this machine: the tests of Spark on a JVM were left out."; $(BIN)/python -m pytest --collect-only -q -m "not long and jvm" | tail -1; fi; \
	$(BIN)/python -m pytest -m "not long and not spark and not jvm" $(COMMAND_TESTS) || failed=$$?; \
	wait $$without || failed=$$?; \
	cat $$beside; rm -f $$beside; \
	exit $$failed

test-long: setup test-oldest ## what takes longer: random kills, the full real data, scale
	$(BIN)/python -m pytest -m long
	RETAIL_ENGINE=spark $(BIN)/python -m pytest -m "long and jvm"
	@# What tables are held to, and refuse, on the other engine.
	RETAIL_ENGINE=spark $(BIN)/python -m pytest -m "not long and spark and not jvm" retail_assets_tests/analytics \
	  retail_assets_tests/lakehouse retail_assets_tests/online_retail

$(OLDEST)/.ready: requirements/bootstrap.lock requirements/oldest-runtime.lock requirements/oldest-runtime.jars.lock | $(READY)
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.lock
	$(BIN)/uv pip install --quiet --python $(OLDEST)/bin/python --require-hashes --no-build-isolation -r requirements/oldest-runtime.lock
	$(OLDEST)/bin/python -m retail_assets.lakehouse.engines.jars requirements/oldest-runtime.jars.lock 2>$(OLDEST)/setup.log || { cat $(OLDEST)/setup.log >&2; exit 1; }
	touch $@

test-oldest: setup $(OLDEST)/.ready ## the tables' tests on the Spark of the oldest Databricks Runtime supported
	RETAIL_ENGINE=spark $(OLDEST)/bin/python -m pytest -m "not long" retail_assets_tests/analytics retail_assets_tests/lakehouse \
	  retail_assets_tests/online_retail/test_transforms_*.py retail_assets_tests/online_retail/test_checks.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup ## measure the main job against its baselines
	$(BIN)/python -m benchmarks

wheel: setup ## dist/*.whl, to be installed by pip
	$(BIN)/python -m hatchling build --target wheel

lock: $(READY) ## renew the locks of exact versions and hashes
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-header requirements/bootstrap.in -o requirements/bootstrap.lock
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-header pyproject.toml --group dev -o requirements/requirements.lock
	$(BIN)/uv pip compile --quiet --upgrade --no-deps --python-version 3.11 --generate-hashes --no-header requirements/databricks-judge.in -o requirements/databricks-judge.lock
	cp requirements/requirements.lock requirements/oldest-runtime.lock # whose versions are kept where they can be
	$(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header pyproject.toml --group dev --override requirements/oldest-runtime.in -o requirements/oldest-runtime.lock

picture: setup ## draw the README's picture anew, of data made for it (needs Chromium)
	$(BIN)/python docs/make_overview.py

clean: ## remove the data it made: landing zone, lakehouse, Dagster's history
	rm -rf data .dagster_home spark-warehouse
