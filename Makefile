# The two commands are `make demo` and `make test`; daemon/README.md tells how to work on seqd.
# Everything happens inside a virtual environment: .venv, or .venv-python3.13 where PYTHON names
# another interpreter than python3. Nothing needs root, Docker, a GPU or a running Redis.

PYTHON ?= python3
VENV   := .venv$(if $(filter-out python3,$(PYTHON)),-$(notdir $(PYTHON)))
BIN    := $(VENV)/bin
GPU_VENV := .venv-gpu
TORCH_VENV := .venv-torch
ENGINES_VENV := .venv-engines
DATA   ?= ../shared/data
BENCH  ?=
SEED   ?= 1
SEEDS  ?= $(SEED)
HOSTILE_CASES ?= 500
MINUTES ?= 30
PLACES ?= 40
MUTATE ?=
BUILDER ?= docker
BASE_IMAGE ?=
REVIEWS = $(DATA)/imdb/train.jsonl.gz

# The Pythons that seqd supports; `make test-long` runs the smoke tests on each that is installed.
PYTHONS := python3.11 python3.12 python3.13

# Tests by tier, as expressions of pytest's markers; tests/README.md says what each of them is.
QUICK    := not slow and (not second_server or smoke)
ALL      := not long and (not second_server or smoke)
PYTEST   := $(BIN)/python -P -m pytest --durations 10
PARALLEL := -n auto --dist loadfile --no-loadscope-reorder

# The tests and the demo start hundreds of interpreters. Without the cache of compiled modules each
# of them compiles the sources again: it is a third of the suite's processor time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-long test-gpu test-torch test-engines smoke smoke-all check chaos drills hostile model mutate soak chaos-light chaos-mixed chaos-reviews bench bench-classify bench-jobs bench-train bench-generate bench-interactive bench-gateway bench-console bench-scripts bench-startup bench-workers bench-fleet bench-sizes starters schemas settings reference picture wheel images clean

help:
	@echo "make demo      install what a worker needs and run the main job, end to end"
	@echo "make test      install the test tools too and run the suite, in about 5 minutes; on another"
	@echo "               interpreter: make test PYTHON=python3.13"
	@echo "make test-all  that, and what takes longer: what CI runs"
	@echo "make test-long what no CI carries: SEEDS=\"1 2 3 4 5\" of chaos, a soak, 10,000"
	@echo "               hostile cases, half an hour beside the ledger's model, every template and"
	@echo "               right, torch, all Pythons"
	@echo "make test-gpu  what needs an NVIDIA GPU; in an environment of its own, $(GPU_VENV)"
	@echo "make test-torch  what needs torch; in an environment of its own, $(TORCH_VENV)"
	@echo "make test-engines  what runs in Ray, Dask and Spark; in an environment of its own, $(ENGINES_VENV)"
	@echo "make smoke     a minute's worth of tests: does seqd work on this Python?"
	@echo "make setup     install only"
	@echo "make check     format, lint, types, import rules, Dockerfile and shell scripts"
	@echo "make chaos     pull plugs amid 1,000,000 items, eleven kinds of work side by side, and DATA's reviews;"
	@echo "               about 8 minutes a seed (now: SEEDS=\"$(SEEDS)\")"
	@echo "make chaos-light chaos-mixed chaos-reviews     one of the three"
	@echo "make hostile   throw 10,000 and more hostile inputs at all that reads any; about 2 minutes"
	@echo "make model     take walks over the ledger beside its model for MINUTES=$(MINUTES), from SEED=$(SEED) on"
	@echo "make drills    cut hosts off, take the store away and the like; about 15 minutes a seed"
	@echo "make soak      half an hour of mixed work (now: MINUTES=$(MINUTES)): does anything grow? A table"
	@echo "make mutate    break PLACES=$(PLACES) places of each area of the code, drawn by SEED, in a copy,"
	@echo "               and see whether a test notices; hours, and goes on where it was"
	@echo "make bench     seqd beside Keras, ONNX Runtime, plain Celery and the tutorial's scripts, on"
	@echo "               DATA (now: $(DATA)) or made-up texts; BENCH=--json and the like"
	@echo "               go to all of them; about 20 minutes"
	@echo "make bench-classify bench-jobs bench-train bench-generate bench-interactive"
	@echo "               one of them; tests/bench/README.md has what they say"
	@echo "make bench-gateway     a request over HTTP, beside its two costs and a route that calls Celery"
	@echo "make bench-console     pages of the console with a million jobs and 1,000 workers"
	@echo "make bench-scripts     how long each script of the ledger holds up Redis at worst"
	@echo "make bench-startup     what an import, a command and a worker cost before they do anything"
	@echo "make bench-workers     what a worker costs Redis: connections, commands, bytes"
	@echo "make bench-fleet       what 1,000 workers with real connections and no model cost Redis"
	@echo "make bench-sizes       250,000 reviews through Redis, by reference and, with seqd[ray], on Ray"
	@echo "make starters  train the models that ship with the plugins again, from DATA"
	@echo "make schemas   write the JSON Schemas of the wire format again"
	@echo "make settings  write the table of settings in docker/settings.md again, from the class"
	@echo "make reference write plugins/reference.md again, and the snapshot of the plugin API's version"
	@echo "make picture   draw the terminals of README.md and docker/top.md and the pages of"
	@echo "               docker/console.md again, from real runs; needs Debian's package chromium"
	@echo "make monitoring  write the alert rules for the Prometheus Operator again, from docker/monitoring"
	@echo "make wheel     write the wheel of seqd into dist/"
	@echo "make images    build the image, target cpu, by BUILDER=docker, podman or buildah, from"
	@echo "               BASE_IMAGE=NAME@sha256:DIGEST where one is given; see docker/images.md"
	@echo "make clean     remove .venv and all caches"

setup: $(VENV)/dev.stamp

demo: $(VENV)/run.stamp
	$(BIN)/seqd demo

test: $(VENV)/dev.stamp
	$(PYTEST) $(PARALLEL) --hypothesis-profile quick -m "$(QUICK)"

test-all: $(VENV)/dev.stamp $(VENV)/bench.stamp
	HOSTILE_CASES=100 $(PYTEST) $(PARALLEL) -m "$(ALL)" --timeout 600

test-long: SEEDS = 1 2 3 4 5
test-long: $(VENV)/dev.stamp $(VENV)/bench.stamp
	$(PYTEST) $(PARALLEL) -m "not ($(ALL))" --timeout 600
	$(MAKE) --no-print-directory chaos hostile model soak test-torch test-engines smoke-all \
	  SEEDS="$(SEEDS)"

# TensorFlow for GPUs and that for CPUs are one package, so each has an environment.
test-gpu: $(GPU_VENV)/dev.stamp
	$(GPU_VENV)/bin/python -P -m pytest --durations 10 -m gpu tests/gpu

# torch comes with libraries for GPUs, gigabytes of them: it has an environment of its own, too.
test-torch: $(TORCH_VENV)/dev.stamp
	$(TORCH_VENV)/bin/python -P -m pytest --durations 10 --timeout 600 -k torch \
	  tests/integration/test_new_plugins.py
	KERAS_BACKEND=torch $(TORCH_VENV)/bin/python -P -m pytest --timeout 600 plugins/examples/seqd_gru

test-engines: $(ENGINES_VENV)/dev.stamp
	$(ENGINES_VENV)/bin/python -P -m pytest --durations 10 --timeout 600 tests/integration/test_engines.py

smoke: $(VENV)/dev.stamp
	$(PYTEST) $(PARALLEL) --hypothesis-profile quick -m "smoke and (not slow or network)"

# Each in an environment of its own, where the machine has it; says which it has not, and fails for
# it with SEQD_CI=1.
smoke-all:
	@for python in $(PYTHONS); do \
	  if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "$$python is not installed here with its venv, so nothing was tried on it"; \
	    [ "$$SEQD_CI" != 1 ] || exit 1; \
	  elif [ "$$($$python -c 'import sys; print(sys.version_info[:2])')" = \
	         "$$($(BIN)/python -c 'import sys; print(sys.version_info[:2])')" ]; then \
	    echo "$$python is what the suite ran on"; \
	  else \
	    $(MAKE) --no-print-directory smoke PYTHON=$$python || exit 1; \
	  fi; \
	done

check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check schemas daemon plugins tests
	$(BIN)/ruff check schemas daemon plugins tests
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint docker/Dockerfile
	$(BIN)/shellcheck .ci/run docker/*.sh

chaos: chaos-light chaos-mixed
	@if [ -f "$(REVIEWS)" ]; then $(MAKE) --no-print-directory chaos-reviews SEEDS="$(SEEDS)"; else \
	  echo "There is no $(REVIEWS), so the run on real reviews was left out; name its folder: make" \
	       "chaos DATA=..."; fi

ENDLESS = PYTHONPATH=tests $(BIN)/python -P -m endless

# Each seed is a process of its own, so that the memory of each client is its own.
chaos-light: $(VENV)/dev.stamp
	@status=0; for seed in $(SEEDS); do \
	  $(ENDLESS) --on pace --faults all --every-s 1 --seed $$seed || status=1; \
	done; exit $$status

chaos-reviews: $(VENV)/dev.stamp
	@status=0; for seed in $(SEEDS); do \
	  $(ENDLESS) --on reviews --reviews $(REVIEWS) --faults all --pause-s 1 --every-s 1 \
	    --seed $$seed || status=1; \
	done; exit $$status

chaos-mixed: $(VENV)/dev.stamp
	@status=0; for seed in $(SEEDS); do \
	  $(ENDLESS) --faults all --pause-s 2 --every-s 1 --seed $$seed || status=1; \
	done; exit $$status

soak: $(VENV)/dev.stamp
	$(ENDLESS) --minutes $(MINUTES)

drills: $(VENV)/dev.stamp
	PYTHONPATH=tests $(BIN)/python -P -m drills --seeds $(SEEDS)

hostile: $(VENV)/dev.stamp
	HOSTILE_NEW=1 HOSTILE_CASES=$(HOSTILE_CASES) $(BIN)/python -P -m pytest tests/hostile --timeout 1200

model: $(VENV)/dev.stamp
	PYTHONPATH=tests $(BIN)/python -P -m model --minutes $(MINUTES) --seed $(SEED)

# By hand, on a machine that does nothing else; MUTATE has more options, see MUTATE=--help.
mutate: $(VENV)/dev.stamp
	PYTHONPATH=tests $(BIN)/python -P -m mutation --places $(PLACES) --seed $(SEED) $(MUTATE)

# Each prints medians, ratios and spread; `make bench-NAME BENCH=--help` has what can be set.
bench: bench-classify bench-jobs bench-train bench-generate bench-interactive

bench-classify bench-jobs bench-train bench-generate bench-interactive bench-gateway bench-console bench-scripts bench-startup bench-workers bench-fleet bench-sizes: $(VENV)/bench.stamp
	PYTHONPATH=tests $(BIN)/python -P -m bench $(@:bench-%=%) $(if $(wildcard $(DATA)/.),--data $(DATA),) $(BENCH)

starters: $(VENV)/run.stamp
	$(BIN)/python -P -m seqd.starters markov --preset fast --data $(DATA)/nietzsche.txt
	$(BIN)/python -P -m seqd.starters markov_words --preset sentences --data $(DATA)/nietzsche.txt
	$(BIN)/python -P -m seqd.starters char_lstm --preset best --data $(DATA)/nietzsche.txt
	$(BIN)/python -P -m seqd.starters imdb_lstm --preset best --data $(DATA)/imdb/train.jsonl.gz \
	  --held-out $(DATA)/imdb/test-5k.jsonl.gz

schemas: $(VENV)/run.stamp
	$(BIN)/seqd schema --out schemas/json

settings: $(VENV)/run.stamp
	$(BIN)/python tests/contract/write_settings_table.py

reference: $(VENV)/run.stamp
	PYTHONPATH=tests $(BIN)/python -P -m contract.write_plugin_reference

picture: $(VENV)/dev.stamp
	$(BIN)/python tests/picture.py daemon/terminal.svg
	$(BIN)/python tests/top_picture.py docker/top.svg
	$(BIN)/python tests/console_picture.py docker/console

.PHONY: monitoring
monitoring: $(VENV)/dev.stamp
	PYTHONPATH=tests $(BIN)/python -P -m monitoring

wheel: $(BIN)/python
	$(BIN)/python -P -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@ls dist/*.whl

images:
	$(BUILDER) build --file docker/Dockerfile --target cpu --tag seqd:cpu \
	  --build-arg REVISION=$(shell git rev-parse HEAD) \
	  $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE),) .

clean:
	rm -rf .venv .venv-* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || { \
	  echo "seqd needs Python 3.11, 3.12 or 3.13; '$(PYTHON)' is $$($(PYTHON) -V 2>&1)." \
	       "Name another one: make PYTHON=python3.13 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(GPU_VENV)/dev.stamp: pyproject.toml
	$(PYTHON) -m venv $(GPU_VENV)
	$(GPU_VENV)/bin/python -P -m pip install --quiet --disable-pip-version-check --editable '.[gpu,embedded,dev]'
	@touch $@

$(TORCH_VENV)/dev.stamp: pyproject.toml
	$(PYTHON) -m venv $(TORCH_VENV)
	$(TORCH_VENV)/bin/python -P -m pip install --quiet --disable-pip-version-check --editable '.[serve,embedded,dev]' 'keras>=3.12,<4' 'torch>=2.4,<3'
	@touch $@

$(ENGINES_VENV)/dev.stamp: pyproject.toml
	$(PYTHON) -m venv $(ENGINES_VENV)
	$(ENGINES_VENV)/bin/python -P -m pip install --quiet --disable-pip-version-check --editable '.[serve,embedded,ray,dev]' 'dask[dataframe]>=2025.1' 'pyspark>=4,<5'
	@touch $@

# With the gateway, whose page the demo names; without TensorFlow, which it does not need and which is two gigabytes.
$(VENV)/run.stamp: $(BIN)/python pyproject.toml
	$(BIN)/python -P -m pip install --quiet --disable-pip-version-check --editable '.[serve,embedded,gateway,parquet]'
	@touch $@

$(VENV)/bench.stamp: $(VENV)/run.stamp
	$(BIN)/python -P -m pip install --quiet --disable-pip-version-check --editable '.[cpu,embedded,bench,deploy]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp
	$(BIN)/python -P -m pip install --quiet --disable-pip-version-check --editable '.[cpu,embedded,dev]'
	@touch $@
