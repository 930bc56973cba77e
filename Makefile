# `make` alone says what there is. Every target sets .venv up first if it has to; PYTHON=python3.12 chooses another
# Python. The scripts are in tools/; what a step runs is one line here, so it can be run by hand as well.

PYTHON ?= python3
ARGS ?=
export PYTHON

# Names, never paths with variables in front: the checkout may lie in a folder with a space in its name.
BIN := .venv/bin
NOTEBOOKS := $(wildcard notebooks/*.ipynb)

.DEFAULT_GOAL := help
# A failing step has to be the last thing on the screen, and steps share one kernel's objects.
.NOTPARALLEL:
.PHONY: help lab test lint types layers unit lessons notebooks hub docs bench clean distclean setup-lab setup-test

help: ## this text
	@echo 'shmlab: a laboratory for shared memory. make TARGET [PYTHON=...] [ARGS=...]'
	@echo
	@sed -n 's/^\([a-z]*\): [^#]*## \(.*\)/  \1	\2/p' Makefile | expand -t 14

lab: setup-lab ## set everything up and open the first lesson in a browser
	@$(BIN)/shmlab lab $(ARGS)

test: setup-test lint types layers unit lessons ## set everything up and pass every test

lint: setup-test ## the linter, the formatter's check, the spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/typos

types: setup-test ## the type checker
	$(BIN)/mypy

layers: setup-test ## imports point one way
	$(BIN)/lint-imports

unit: setup-test ## the tests of the package, in a real browser too
	@sh tools/prerequisites.sh notes test
	$(BIN)/python -m pytest $(ARGS)

# Once there is a lesson, a run that collects nothing fails: pytest's exit status 5.
lessons: setup-test ## run every lesson and compare what it promises (nbval)
ifeq ($(NOTEBOOKS),)
	@echo 'note: no lesson in notebooks/ yet'
else
	SHMLAB_PROGRESS= $(BIN)/python -m pytest --nbval-lax --nbval-cell-timeout=60 --nbval-sanitize-with tests/sanitize.cfg notebooks
endif

notebooks: setup-test ## run every lesson from a clean kernel and store its output
	SHMLAB_PROGRESS= $(BIN)/python tools/execute_notebooks.py $(ARGS)

hub: ## eight users of a JupyterHub at once (as root, with npm)
	@sh tools/setup.sh hub
	npm install --silent --no-save --prefix build/hub configurable-http-proxy
	$(BIN)/python -m pytest -m hub tests/hub $(ARGS)

docs: setup-test ## write the public API as web pages, to build/api
	$(BIN)/python tools/api_docs.py $(ARGS)

bench: setup-test ## measure against the peers, a table (ARGS=--json)
	$(BIN)/python -m benchmarks $(ARGS)

clean: ## remove what dead sessions left in /dev/shm, and caches
	@-if [ -x $(BIN)/shmlab ]; then $(BIN)/shmlab clean; fi
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	@find . -name .venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -prune -exec rm -rf {} +

distclean: clean ## the same, and .venv
	@rm -rf .venv

setup-lab:
	@sh tools/setup.sh lab

setup-test:
	@sh tools/setup.sh test
