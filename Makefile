# Everything happens in .venv; each target makes what it needs, so that a second call is quick.
# ARGS go to pytest: make test ARGS='-k softmax'

SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
TYPED := .cache/typed/gateformer
SOURCES := setup.py pyproject.toml
PYTHON ?= $(shell command -v python3.11 || echo python3)
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.DELETE_ON_ERROR:
.PHONY: help setup demo demo-fpga test test-slow lint hgq2-goldens clean system
help: ## Show the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(STAMPS)/demo system ## Install what generating, simulating and synthesizing needs
	@$(BIN)/gateformer doctor

demo: $(STAMPS)/demo system ## Take the b-tagging network from its file to a report
	$(BIN)/gateformer run fpga_projects/btag/design.toml --out runs/btag
	@echo "Report: $(CURDIR)/runs/btag/report.html"

demo-fpga: $(STAMPS)/nextpnr ## Place and route the digits network on an ECP5, to a bitstream
	$(BIN)/gateformer build fpga_projects/digits/design.toml --tool nextpnr --out runs/digits
	@echo "Bitstream, log and reports: $(CURDIR)/runs/digits/*-build"

test: $(STAMPS)/test system ## Run the quick tests
	$(PYTEST) -m "not slow" $(ARGS)

test-slow: $(STAMPS)/test system ## Run the slow tests
	$(PYTEST) -m slow $(ARGS)

lint: $(STAMPS)/lint ## Check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	@rm -rf $(TYPED) && mkdir -p $(TYPED)
	@ln -s $(CURDIR)/sw/* $(CURDIR)/hw $(CURDIR)/quant $(CURDIR)/sim $(TYPED)/
	$(BIN)/mypy

# HGQ2 overwrites QKeras where both are installed: what needs it has an environment of its own.
HGQ2 := .venv-hgq2
hgq2-goldens: $(HGQ2)/.ready ## Train HGQ2's models again, and write what HGQ2 predicts
	$(HGQ2)/bin/python tests/golden/hgq2/make.py $(ARGS)

$(HGQ2)/.ready:
	$(PYTHON) -m venv $(HGQ2)
	$(HGQ2)/bin/pip install --quiet keras==3.15.1 hgq2==0.2.0 torch==2.13.0 scikit-learn==1.9.1
	@touch $@

clean: ## Remove all that these targets made, but not runs/
	rm -rf $(VENV) $(HGQ2) .cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) > /dev/null || { echo "$(PYTHON) not found: install Python 3.11," \
	  "or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)

$(STAMPS)/demo: $(SOURCES) | $(BIN)/python
	@echo "Installing gateformer into $(VENV), with the simulators and yosys"
	$(BIN)/pip install --quiet --editable '.[demo]'
	@mkdir -p $(@D) && touch $@

$(STAMPS)/nextpnr: $(SOURCES) | $(BIN)/python
	@echo "Installing gateformer into $(VENV), with yosys and nextpnr"
	$(BIN)/pip install --quiet --editable '.[cmvm,nextpnr]'
	@mkdir -p $(@D) && touch $@

$(STAMPS)/lint: $(SOURCES) | $(BIN)/python
	@echo "Installing gateformer into $(VENV), with the linters"
	$(BIN)/pip install --quiet --editable '.[demo,lint]'
	@mkdir -p $(@D) && touch $@ $(STAMPS)/demo

$(STAMPS)/test: $(SOURCES) | $(BIN)/python
	@echo "Installing gateformer into $(VENV), with the tests' tools, tensorflow, torch and brevitas, 4 GB"
	$(BIN)/pip install --quiet --editable '.[demo,hls,build,qkeras,brevitas,baselines,test]'
	@mkdir -p $(@D) && touch $@ $(STAMPS)/demo

# Icarus, the compilers and ccache come from the system. Never its Verilator: Debian's is too old.
system:
	@missing=; for tool in iverilog ccache g++; do \
	  command -v $$tool > /dev/null || missing="$$missing $$tool"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  echo "Installing$$missing"; \
	  apt-get install -y -qq $$missing > /dev/null 2>&1 || { \
	    apt-get update -qq > /dev/null 2>&1; \
	    apt-get install -y -qq $$missing > /dev/null 2>&1; } || \
	  echo "Could not install$$missing; carrying on without"; \
	else \
	  echo "Not installed:$$missing. Ask for: apt install$$missing. Carrying on without"; \
	fi
