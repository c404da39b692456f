# Set-up, demo, tests and benchmarks. `make demo` and `make test` do all the set-up they need.
# Needs: Linux, Python 3.11 or 3.12 with venv, make. No root.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_MODEL := scratch/cache/models/SmolLM2-135M-Instruct
READY := $(VENV)/.installed $(DEMO_MODEL)/config.json
SNAKEMAKE := $(BIN)/snakemake
PYTEST := $(BIN)/python -m pytest
CORES ?= 2
# The SLURM tests mostly wait, so two clusters run beside each other. The tests have nodes that die
# and time limits of a minute, and the machine may be busy: so a failed test is tried once more, and
# the first failure stays in the log.
SLURM_TESTS = $(PYTEST) tests/slurm -n 2 --dist loadfile \
	|| $(PYTEST) tests/slurm --last-failed --last-failed-no-failures none

.PHONY: help setup demo test test-slurm lint format bench config-table reasons rulegraph \
	cache-model clean-demo

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/:/'

setup: $(VENV)/.installed ## make .venv from requirements.txt

# torch is installed first, with its own dependencies: a CPU build of torch pulls in nothing more,
# another build pulls in its CUDA packages. Everything else is in the list, so nothing is resolved.
$(VENV)/.installed: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
		|| (echo "Python 3.11 or 3.12 is needed: make setup PYTHON=python3.11" && exit 1)
	$(BIN)/pip install --quiet "$$(grep -E '^torch==' requirements.txt)"
	$(BIN)/pip install --quiet --no-deps -r requirements.txt
	touch $@

$(DEMO_MODEL)/config.json: $(VENV)/.installed workflow/scripts/export_demo_model.py
	$(BIN)/python workflow/scripts/export_demo_model.py $(DEMO_MODEL)
	touch $@

demo: $(READY) ## the whole workflow on the demo data, with a real model on the CPU
	$(SNAKEMAKE) --profile profiles/local --configfile config/demo/config.yaml --cores $(CORES)
	@echo && cat scratch/demo/data/stats/summary.txt

test: $(READY) ## lint, then every test that this machine can run
	$(MAKE) lint
	$(PYTEST) tests/unit -n $(CORES) --dist loadfile
	$(PYTEST) tests --ignore=tests/unit --ignore=tests/slurm
	$(SLURM_TESTS)

test-slurm: $(READY) ## only the tests on a real SLURM cluster, started and stopped here
	tests/slurm/install.sh
	$(SLURM_TESTS)

lint: $(VENV)/.installed ## ruff, mypy, snakefmt, snakemake --lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(PYTEST) -q tests/workflow/test_lint.py

format: $(VENV)/.installed ## put source files into the form that lint asks for
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow/rules

bench: $(READY) ## every benchmark, one after the other
	set -e; for run in benchmarks/*/run.py; do echo "== $$run"; $(BIN)/python $$run; done

config-table: $(VENV)/.installed ## write the table of keys in config/README.md
	PYTHONPATH=workflow/scripts $(BIN)/python -m cbdata.config_table

reasons: $(VENV)/.installed ## write docs/reasons.md
	PYTHONPATH=workflow/scripts $(BIN)/python -m cbdata.reasons_page

rulegraph: $(VENV)/.installed ## draw docs/images/rulegraph.svg; needs graphviz
	$(SNAKEMAKE) --nolock --configfile config/demo/config.yaml --rulegraph dot \
		-- all validate export report \
		| tred | dot -Tsvg -Grankdir=LR -Nstyle=rounded,filled -Nfillcolor=white \
		> docs/images/rulegraph.svg

cache-model: $(VENV)/.installed ## fetch MODEL into the cache, on a login node with network
	@test -n "$(MODEL)" || (echo "usage: make cache-model MODEL=org/name [REVISION=...]" && exit 1)
	$(BIN)/python workflow/scripts/cache_model.py $(MODEL) $(if $(REVISION),--revision $(REVISION))

clean-demo: ## remove the demo's output
	rm -rf scratch/demo
