# Every target sets up what it needs in .venv; on a machine with Python 3.11 or newer and make, nothing else is needed.
# make test PYTHON=python3.13 has an environment of its own, .venv-python3.13.
PYTHON ?= python3
VENV := .venv$(patsubst %,-%,$(filter-out python3,$(notdir $(PYTHON))))
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup locks demo demo-search test test-all lint docs site dist bench record record-latency evidence gpu evidence-gpu clean

# What stands behind ## is the target's line there: minutes on two cores, gigabytes of disk beside the environment, what.
help: ## - | - | this list
	@awk -F' *## *| *[|] *' 'BEGIN { printf "%-20s %8s %6s  %s\n", "make ..", "minutes", "GB", "" } \
		/^[a-z-]+:.* ## / { split($$1, name, ":"); printf "%-20s %8s %6s  %s\n", name[1], $$2, $$3, $$4 }' $(firstword $(MAKEFILE_LIST))

setup: $(READY) ## 2 | 4.4 | .venv, by uv where it is at hand, else by pip

# uv reads no settings of pip's: the script hands them on. Everything is held to the hashes of locks/*.txt.
$(READY): pyproject.toml $(wildcard locks/*.txt) locks/install.py
	$(PYTHON) locks/install.py $(VENV)
	@touch $@

# What is locked stays where it fits pyproject.toml; UPGRADE=--upgrade takes the newest of everything.
locks: ## 1 | - | write locks/*.txt anew (with uv)
	$(PYTHON) locks/renew.py $(UPGRADE)

demo: $(READY) ## 3 | 1.0 | export, verify, time, compare, serve; a TensorRT engine
	rm -rf demo
	$(BIN)/resnas archs
	$(BIN)/resnas export --arch small --out demo/small
	$(BIN)/resnas inspect demo/small
	$(BIN)/resnas verify demo/small --runner openvino
	$(BIN)/resnas export --checkpoint examples/demo/checkpoint.safetensors --out demo/clothes
	$(BIN)/resnas predict demo/clothes examples/demo/pictures/*.png
	$(BIN)/resnas export --checkpoint examples/demo/checkpoint.safetensors --precision int8 --out demo/clothes-int8
	$(BIN)/resnas export --arch small --target tensorrt-rtx --out demo/small-engine
	$(BIN)/resnas inspect demo/small-engine/engines/*.engine
	$(BIN)/resnas bench demo/small --runner ort-cpu --runner openvino --batch 1,8 --runs 12 --openings 3 --plot demo/latency.html
	$(BIN)/resnas compare demo/small demo/small --runner ort-cpu --runner openvino --runs 24
	$(BIN)/resnas triton export demo/clothes --repository demo/models --ensemble
	$(BIN)/resnas triton check demo/models
	[ ! -x $(VENV)/serving/bin/resnas ] || $(VENV)/serving/bin/resnas triton load demo/models --model clothes --seconds 3

# Real images, real training, this machine's own latency. The space was shaped for ONNX Runtime on a CPU (docs/spaces.md).
SEARCHED := demo-search
SHAPED := examples/demo/shaped.toml
demo-search: $(READY) ## 3 | 0.1 | train a supernet, search it by latency, export the winner
	rm -rf $(SEARCHED)
	$(BIN)/resnas train supernet --space $(SHAPED) --data demo --out $(SEARCHED)/supernet
	$(BIN)/resnas latency profile --space $(SHAPED) --runner ort-cpu --batch 16 --threads 1 --networks 48 \
		--store $(SEARCHED)/latency.sqlite
	$(BIN)/resnas search --supernet $(SEARCHED)/supernet/checkpoint.safetensors --data demo --max-latency 65% \
		--runner ort-cpu --batch 16 --threads 1 --store $(SEARCHED)/latency.sqlite --iterations 4 --first 60 --children 30 --parents 15 \
		--out $(SEARCHED)/found
	$(BIN)/resnas export --checkpoint $(SEARCHED)/found/checkpoint.safetensors --out $(SEARCHED)/artifact
	$(BIN)/resnas evaluate $(SEARCHED)/found/checkpoint.safetensors --data demo

# So many processes run tests beside each other, a file at a time. Each takes up to 2 GB of memory.
PROCESSES ?= 2
PYTEST := $(BIN)/python -m pytest -q -n $(PROCESSES) --dist loadfile

test: lint ## 10 | - | lint, types and tests
	$(PYTEST) -m "not slow and not gpu"

test-all: lint ## - | - | the same with the slow tests, not timed
	$(PYTEST) -m "not gpu"

lint: $(READY) ## 1 | - | format, lint, types, workflows: what CI and pre-commit run
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/zizmor --offline --quiet .github resnas-gate

# A test holds the pages to it.
docs: $(READY) ## 1 | - | write the tables of README and docs from results
	$(BIN)/python benchmarks/pages.py
	$(BIN)/python benchmarks/schemas.py

# Strictly: a link or a page that is not there ends it. The variable silences an announcement of the theme's makers.
site: $(READY) ## 1 | - | build/site/: the documentation as a site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# What is published: an sdist and a wheel, as twine checks them.
dist: $(READY) ## 1 | - | dist/: the sdist and the wheel
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/twine check --strict dist/*

# RECORD=--record writes the results to benchmarks/results/
bench: $(READY) ## 8 | - | emission and latency against tracing, memory
	$(BIN)/python -m pytest benchmarks --benchmark-only -s $(RECORD)

# What README and docs say of speed, in an hour or more on an idle machine; then `make docs` writes it.
record: $(READY) ## 60 | - | measure what README and docs say of speed (idle machine)
	for name in tradeoff ort_form fp32_forms low_precision spellings openvino_nncf throughput throughput_grid command_time predict_throughput setup_time; do \
		$(BIN)/python benchmarks/$$name.py || exit; \
	done
	for name in serving_costs serving_largest_batch; do PYTHONPATH=tests $(BIN)/python benchmarks/$$name.py || exit; done
	$(BIN)/python -m pytest benchmarks --benchmark-only -s --record

# The figures of docs/latency.md and of the gate in docs/measuring.md, in about an hour.
STORE := build/latency.sqlite
RESNAS := $(BIN)/resnas
record-latency: $(READY) ## 60 | - | the figures of latency model and gate (idle machine)
	mkdir -p build
	@for setting in "ort-cpu fp32 1" "ort-cpu fp32 16" "openvino bf16 1"; do \
		set -- $$setting; options="--space small --runner $$1 --precision $$2 --batch $$3 --store $(STORE)"; \
		$(RESNAS) latency profile $$options && $(RESNAS) latency check $$options --subnets 50 --force \
			--out benchmarks/results/latency-model-$$1-$$2-batch$$3.json || exit; \
	done
	$(BIN)/python benchmarks/latency_methods.py $(STORE)
	$(BIN)/python benchmarks/gate_trials.py

# The paper's claims (docs/evidence.md): what is not done yet, until the time is up; the next call goes on.
BUDGET ?= 150m
evidence: $(READY) ## 150 | 0.5 | the experiments on the paper's claims, BUDGET=150m of them
	cd benchmarks && $(CURDIR)/$(BIN)/python -m evidence run --budget $(BUDGET)
	$(BIN)/python benchmarks/pages.py

# The environment is the one of PYTHON, as it is: an installation here would put PyTorch for CPUs over one for the GPU.
GPU_REPORT := gpu-report
MINUTES ?= 8
gpu: ## 8 | - | measure the GPU that is here; installs nothing
	PYTHONPATH=. $(PYTHON) -m resnas_deploy gpu-report --out $(GPU_REPORT) --minutes $(MINUTES) --tests .

evidence-gpu: ## 8 | - | the experiment on sampling, on the GPU; installs nothing
	cd benchmarks && PYTHONPATH=$(CURDIR) $(PYTHON) -m evidence run sampling alone --device cuda --at-once 12 \
		--budget $(MINUTES)m --state ../build/evidence/gpu.sqlite --results ../build/evidence/gpu

clean: ## - | - | remove .venv and everything that was made
	rm -rf .venv .venv-* demo demo-search build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
