# `make run` and `make test` do all their set-up: they need Python 3.10 to 3.13 with pip, and make.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
ARGS ?=
BASE ?=

.DEFAULT_GOAL := help
.PHONY: help install run test fuzz crash resume-all lint bench same-numbers docs-configuration wheel clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(READY) ## the virtual environment with everything in it

# The frameworks' metadata cannot be satisfied (docs/upstream.md), so they go in without their dependencies,
# which requirements.txt names instead.
$(READY): requirements.txt requirements-frameworks.txt setup.py pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-frameworks.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

run: $(READY) ## prepare, embed, train, evaluate and show the default data; options in ARGS="--name=value …"
	$(BIN)/python run_lecdsr.py $(ARGS)

test: $(READY) ## the test suite; options in ARGS="…"
	$(BIN)/python -m pytest $(ARGS)

fuzz: $(READY) ## 100,000 damaged files through every reader; options in ARGS="--seed 1"
	$(BIN)/python -m tests.fuzz $(ARGS)

lint: $(READY) ## format, linter, type checker
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

crash: $(READY) ## kill every job 24 times, fill its disk, restart and compare; options in ARGS="--seed=1 …"
	$(BIN)/python -m tests.crash $(ARGS)

bench: $(READY) ## the benchmarks, as JSON
	$(BIN)/python benchmarks/training_step.py --steps 5
	$(BIN)/python benchmarks/training_step.py --model LeCDSR --steps 20
	$(BIN)/python benchmarks/neighbours.py --model LeCDSR --steps 40
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/evaluation.py --model LeCDSR
	$(BIN)/python benchmarks/quality.py --epochs 1
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/embeddings.py
	$(BIN)/python benchmarks/profile_throughput.py --requests 100
	$(BIN)/python benchmarks/amazon.py --lines 1000000
	$(BIN)/python benchmarks/family_wise_error.py --studies 300

same-numbers: $(READY) ## compare metrics with another commit: BASE=<commit>; options in ARGS="…"
	$(BIN)/python benchmarks/same_numbers.py --base "$(BASE)" $(ARGS)

resume-all: $(READY) ## resume every model of RecBole and RecBole-CDR and compare: RECBOLE_CDR_CHECKOUT=<folder>; options in ARGS="…"
	$(BIN)/python -m tests.resume_all $(ARGS)

docs-configuration: $(READY) ## properties/overall.yaml and the tables of docs/configuration.md
	$(BIN)/python docs/generate_configuration.py

wheel: $(READY) ## dist/recbole_lecdsr-*.whl
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove environment, build products and runs; prepared data stay
	rm -rf $(VENV) build dist *.egg-info runs log log_tensorboard
