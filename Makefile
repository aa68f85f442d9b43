# Every target sets up what it needs in .venv; on a machine with Python 3.11 or newer and make, nothing else is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo demo-search lint test test-all docs bench record record-latency gpu clean

help:
	@echo "make demo      export, verify, time and compare ViT-ResNAS-small; a trained network in int8, served; a TensorRT engine"
	@echo "make demo-search  train a small supernet, search it by this machine's latency, export the winner (3 minutes)"
	@echo "make test      lint, types and tests (8 minutes on two cores)"
	@echo "make test-all  the same with the slow tests"
	@echo "make docs      write the tables of README and docs from benchmarks/results"
	@echo "make bench     the benchmarks: emission against tracing, latency against the traced graph, memory"
	@echo "make record    measure what README and docs say of speed (an hour on an idle machine of two cores)"
	@echo "make record-latency  the latency model's and the gate's figures (an hour, on an idle machine)"
	@echo "make gpu       measure the GPU that is here in 8 minutes with what is installed (nothing is installed)"
	@echo "make clean     remove .venv and everything that was made"

setup: $(READY)

# The Triton server's Python backend was built for NumPy 1, so it has an environment of its own. perf_analyzer, which a
# test compares our load test with, came with tritonclient up to 2.51.
$(READY): pyproject.toml constraints.txt constraints-serving.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[cpu,openvino,nncf,train,search,peers,plot,rtx,sbom,sign,docs,dev]'
	$(PYTHON) -m venv $(VENV)/serving
	$(VENV)/serving/bin/pip install --quiet --disable-pip-version-check --constraint constraints-serving.txt --editable '.[serve]'
	$(VENV)/serving/bin/pip install --quiet --disable-pip-version-check --no-deps --target $(VENV)/serving/perf_analyzer tritonclient==2.51.0
	@touch $@

demo: $(READY)
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
	$(VENV)/serving/bin/resnas triton load demo/models --model clothes --seconds 3

# Real images, real training, this machine's own latency.
SEARCHED := demo-search
demo-search: $(READY)
	rm -rf $(SEARCHED)
	$(BIN)/resnas train supernet --space demo --data demo --out $(SEARCHED)/supernet
	$(BIN)/resnas latency profile --space demo --runner ort-cpu --batch 16 --threads 1 --networks 48 \
		--store $(SEARCHED)/latency.sqlite
	$(BIN)/resnas search --supernet $(SEARCHED)/supernet/checkpoint.safetensors --data demo --max-latency 65% \
		--runner ort-cpu --batch 16 --threads 1 --store $(SEARCHED)/latency.sqlite --iterations 4 --first 60 --children 30 --parents 15 \
		--out $(SEARCHED)/found
	$(BIN)/resnas export --checkpoint $(SEARCHED)/found/checkpoint.safetensors --out $(SEARCHED)/artifact
	$(BIN)/resnas evaluate $(SEARCHED)/found/checkpoint.safetensors --data demo

# So many processes run tests beside each other, a file at a time. Each takes up to 2 GB of memory.
PROCESSES ?= 2
PYTEST := $(BIN)/python -m pytest -q -n $(PROCESSES) --dist loadfile

test: lint
	$(PYTEST) -m "not slow and not gpu"

test-all: lint
	$(PYTEST) -m "not gpu"

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# A test holds the pages to it.
docs: $(READY)
	$(BIN)/python benchmarks/pages.py
	$(BIN)/python benchmarks/schemas.py

# RECORD=--record writes the results to benchmarks/results/
bench: $(READY)
	$(BIN)/python -m pytest benchmarks --benchmark-only -s $(RECORD)

# What README and docs say of speed, in an hour or more on an idle machine; then `make docs` writes it.
record: $(READY)
	for name in tradeoff ort_form fp32_forms low_precision spellings openvino_nncf throughput throughput_grid command_time; do \
		$(BIN)/python benchmarks/$$name.py || exit; \
	done
	for name in serving_costs serving_largest_batch; do PYTHONPATH=tests $(BIN)/python benchmarks/$$name.py || exit; done
	$(BIN)/python -m pytest benchmarks --benchmark-only -s --record

# The figures of docs/latency.md and of the gate in docs/measuring.md, in about an hour.
STORE := build/latency.sqlite
RESNAS := $(BIN)/resnas
record-latency: $(READY)
	mkdir -p build
	@for setting in "ort-cpu fp32 1" "ort-cpu fp32 16" "openvino bf16 1"; do \
		set -- $$setting; options="--space small --runner $$1 --precision $$2 --batch $$3 --store $(STORE)"; \
		$(RESNAS) latency profile $$options && $(RESNAS) latency check $$options --subnets 50 --force \
			--out benchmarks/results/latency-model-$$1-$$2-batch$$3.json || exit; \
	done
	$(BIN)/python benchmarks/latency_methods.py $(STORE)
	$(BIN)/python benchmarks/gate_trials.py

# The environment is the one of PYTHON, as it is: an installation here would put PyTorch for CPUs over one for the GPU.
GPU_REPORT := gpu-report
MINUTES ?= 8
gpu:
	PYTHONPATH=. $(PYTHON) -m resnas_deploy gpu-report --out $(GPU_REPORT) --minutes $(MINUTES) --tests .

clean:
	rm -rf $(VENV) demo demo-search build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
