# make run      the whole farm on this machine; reads the samples, then serves  (FILES="a.pdf b.jpg", ONCE=1)
# make check    format, lint, types, and which room may import which
# make test     check, then every test                                          (TESTS="tests/unit -k client")
# make test-faults   the fault suite alone, its headline run at full length    (SEED=7)
# make defences each of the fault suite's defences taken out once: its test must fail; writes tests/faults/DEFENCES.md  (ROWS="7 9", JOBS=3)
# make bench    the figures of the README                                       (EVAL=folder of labelled pages)
# make format   format and mend what can be mended
# make lock     resolve the lock file anew
#
# Needs Python 3.11 or newer; all else comes from the lock file into .venv. PYTHON= and VENV= choose others.

SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
UV_VERSION := 0.13.8
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

BIN := $(VENV)/bin
# Into $(VENV), whatever is active in the shell; nothing is resolved anew, no other Python is fetched, uv itself is not removed.
SYNC = UV_PROJECT_ENVIRONMENT=$(VENV) UV_PYTHON_DOWNLOADS=never $(BIN)/uv sync --frozen --inexact --quiet --python $(BIN)/python --extra farm

.PHONY: help run test test-faults defences check bench format reference lock

help:
	@sed -n 's/^# \?//p' Makefile | head -10

$(BIN)/uv:
	@if [ -z "$(PYTHON)" ]; then
		echo "ocrfarm needs Python 3.11 or newer, and none is on the PATH: on Debian 12 and newer, 'sudo apt-get install python3 python3-venv'." >&2; exit 1
	fi
	if ! $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null; then
		echo "This Python makes no environments: on Debian and Ubuntu, 'sudo apt-get install python3-venv'." >&2; exit 1
	fi
	echo "Making $(VENV) from the lock file; the first time this takes a minute or two." >&2
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/.synced-run: pyproject.toml uv.lock | $(BIN)/uv
	@$(SYNC) --no-dev
	touch $@

$(VENV)/.synced-dev: pyproject.toml uv.lock | $(BIN)/uv
	@$(SYNC)
	touch $@ $(VENV)/.synced-run

run: $(VENV)/.synced-run
	@exec $(BIN)/ocrfarm up $(if $(ONCE),--once) $(FILES)

check: $(VENV)/.synced-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/python -m pytest $(TESTS)

test-faults: $(VENV)/.synced-dev
	$(BIN)/python -m pytest tests/faults $(if $(SEED),--storm-seed $(SEED)) --storm-jobs 3000 --storm-kills 60 --storm-pause 4.5 --rolling-jobs 5000
	$(BIN)/python -m tests.faults.recovery

defences: $(VENV)/.synced-dev
	$(BIN)/python -m tests.faults.defences $(ROWS) $(if $(JOBS),--jobs $(JOBS))

bench: $(VENV)/.synced-dev
	$(BIN)/python -m tests.bench $(if $(EVAL),--eval $(EVAL))

format: $(VENV)/.synced-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

reference: $(VENV)/.synced-dev
	$(BIN)/python docs/reference/make.py

lock: $(VENV)/.synced-dev
	$(BIN)/uv lock
