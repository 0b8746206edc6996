# A fresh machine needs Python 3.11 or newer and make; every target sets up what it needs by itself.
# Stamp files inside .venv remember what is done: it is done again when its sources change.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps

# The pins hold for the packages and, by the second variable (pip >= 25.3), for what builds this one.
PIP := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 \
	$(BIN)/python -m pip install --quiet

PROCESSES ?= 2

TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

CREATED := $(STAMPS)/created
INSTALLED := $(STAMPS)/installed
WARMED := $(STAMPS)/warmed
DEVELOP := $(STAMPS)/develop

MESH := src/sadtalker_service/engines/mesh
COMPILED_SOURCES := $(sort $(shell grep -rl --include='*.py' numba src) $(wildcard $(MESH)/kernels/*.py) $(MESH)/channels.py)

help: ## show this list
	@echo "make TARGET, where TARGET is one of:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

install: $(INSTALLED) $(WARMED) ## set up .venv with the command sadtalker, ready and warm

serve: install ## set up .venv and run the service: stores, API and workers, on port 8000, until Ctrl-C
	@$(BIN)/sadtalker serve

# Two processes, each with whole files: tests of a file share what is dear to start. In the files' own order: by
# number of tests, a file with one long test would be the last. A process with the neural engine takes 4 GB: `make
# test PROCESSES=1` where there is little memory.
test: $(DEVELOP) $(WARMED) ## set up, then check style, types, import directions and run the tests (TESTS=... for some)
	@$(MAKE) --no-print-directory --keep-going lint; lint=$$?; \
	[ $$lint -eq 0 ] || echo "make: the checks above failed; the tests run all the same." >&2; \
	$(BIN)/pytest --numprocesses=$(PROCESSES) --dist=loadfile --no-loadscope-reorder $(TESTS); tests=$$?; \
	if [ $$lint -ne 0 ]; then exit $$lint; fi; exit $$tests

lint: lint-style lint-format lint-types lint-imports ## check style, types and import directions

lint-style: $(DEVELOP)
	$(BIN)/ruff check .

lint-format: $(DEVELOP)
	$(BIN)/ruff format --check .

lint-types: $(DEVELOP)
	$(BIN)/mypy

lint-imports: $(DEVELOP)
	$(BIN)/lint-imports

format: $(DEVELOP) ## put all code into the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install ## measure the speed of the mesh engine on this machine
	$(BIN)/sadtalker bench mesh

docs: $(DEVELOP) ## write the pages that are made from code: docs/configuration.md
	$(BIN)/python tools/write_configuration.py

examples: $(INSTALLED) ## get the example portrait and recording again (needs unzip and flite)
	PYTHON=$(BIN)/python sh tools/make_examples.sh

constraints: $(CREATED) ## resolve all packages anew and write their exact versions to constraints.txt
	$(BIN)/python tools/write_constraints.py

clean: ## remove everything that make has made, .venv too
	rm -rf $(VENV) dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests tools benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

$(CREATED):
	@python="$(PYTHON)"; [ -n "$$python" ] || python=$$(sh tools/find_python.sh) || exit 1; \
	echo "Making $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(INSTALLED): $(CREATED) pyproject.toml constraints.txt
	@echo "Installing the packages (about 700 MB)"
	@$(PIP) --editable .
	@touch $@

# torch first, for itself: its makers' builds for the CPU are a fifth of what PyPI's bring along for GPUs. Where
# they cannot be reached, another index has it.
$(DEVELOP): $(INSTALLED)
	@echo "Installing the tools for development, and torch for the tests of the neural engine (about 800 MB)"
	@$(PIP) --retries=1 --no-deps --extra-index-url=$(TORCH_INDEX) torch
	@$(PIP) --editable '.[dev,sadtalker]'
	@touch $@

# Compiles the kernels now, so that no request ever waits for the compiler: all of them, because numba does not
# notice that a file which a kernel calls or takes a constant from has changed.
$(WARMED): $(INSTALLED) $(COMPILED_SOURCES)
	@find src -name '*.nbi' -delete
	@$(BIN)/sadtalker warmup
	@touch $@

.PHONY: help install serve test lint lint-style lint-format lint-types lint-imports format bench docs examples constraints clean
