# Every target sets up what it needs in .venv; on a machine with Python 3.11 or newer and make, nothing else is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo lint test test-all bench clean

help:
	@echo "make demo      export, verify, predict and time ViT-ResNAS-small, end to end"
	@echo "make test      lint, types and tests (a few minutes)"
	@echo "make test-all  the same with the slow tests"
	@echo "make bench     the benchmarks: emission against tracing, latency against the traced graph, memory"
	@echo "make clean     remove .venv and everything that was made"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[cpu,openvino,train,peers,dev]'
	@touch $@

demo: $(READY)
	rm -rf demo
	$(BIN)/resnas archs
	$(BIN)/resnas export --arch small --out demo/small
	$(BIN)/resnas inspect demo/small
	$(BIN)/resnas verify demo/small --runner openvino
	$(BIN)/resnas predict demo/small tests/data/*.jpg
	$(BIN)/resnas bench demo/small --runner ort-cpu --runner openvino --batch 1,8 --runs 20

test: lint
	$(BIN)/python -m pytest -q -m "not slow and not gpu"

test-all: lint
	$(BIN)/python -m pytest -q -m "not gpu"

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# RECORD=--record writes the results to bench/results/
bench: $(READY)
	$(BIN)/python -m pytest tests/bench --benchmark-only -s $(RECORD)

clean:
	rm -rf $(VENV) demo build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
