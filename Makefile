# A fresh machine needs Python 3.11, 3.12 or 3.13 and make; every target sets up what it needs by itself.
# Stamp files inside .venv remember what is done: it is done again when its sources change.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps

PROCESSES ?= 3

# 0: neither install nor test what needs torch
NEURAL ?= 1
export NEURAL

CREATED := $(STAMPS)/created
INSTALLED := $(STAMPS)/installed
WARMED := $(STAMPS)/warmed
DEVELOP := $(STAMPS)/develop
TORCH := $(if $(filter 0,$(NEURAL)),,$(STAMPS)/torch)

MESH := src/sadtalker_service/engines/mesh
COMPILED_SOURCES := $(sort $(shell grep -rl --include='*.py' numba src) $(wildcard $(MESH)/kernels/*.py) $(MESH)/channels.py)

help: ## show this list
	@echo "make TARGET, where TARGET is one of:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16
	@echo "Settings, as in 'make serve PORT=8101':"
	@echo "  PORT=8101       port of the service; so for every setting in docs/configuration.md"
	@echo "  PYTHON=...      the Python to use: 3.11, 3.12 or 3.13"
	@echo "  VENV=...        where to install, if not in .venv"
	@echo "  NEURAL=0        with test: neither install torch nor run the tests that need it"
	@echo "  TESTS=...       with test: files, or what else pytest takes"
	@echo "  PROCESSES=1     with test: where there is little memory"

install: $(INSTALLED) $(WARMED) ## set up .venv with the command sadtalker, ready and warm

# Ctrl-C reaches the service too. A script that signals make alone sends it SIGTERM: make hands on no SIGINT.
serve: install ## set up .venv and run the service: stores, API and workers, on port 8000, until Ctrl-C
	@$(BIN)/sadtalker serve

# One process more than cores on the smallest machine that is supported: some tests only wait. tests/conftest.py says
# how they share the work. The one with the neural engine takes 4 GB.
test: $(DEVELOP) $(TORCH) $(WARMED) ## set up, then check style, types, import directions and run the tests (TESTS=... for some)
	@$(MAKE) --no-print-directory --keep-going lint; lint=$$?; \
	[ $$lint -eq 0 ] || echo "make: the checks above failed; the tests run all the same." >&2; \
	$(BIN)/pytest --numprocesses=$(PROCESSES) --dist=loadscope --no-loadscope-reorder --durations=10 \
		$(TESTS); tests=$$?; \
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
	@sh tools/make_venv.sh "$(VENV)" "$(PYTHON)"
	@mkdir -p $(STAMPS) && touch $@

$(INSTALLED): $(CREATED) pyproject.toml constraints.txt
	@$(BIN)/python tools/install_packages.py service
	@touch $@

$(DEVELOP): $(INSTALLED)
	@$(BIN)/python tools/install_packages.py develop
	@touch $@

$(STAMPS)/torch: $(INSTALLED)
	@$(BIN)/python tools/install_packages.py neural
	@touch $@

# Compiles the kernels now, so that no request ever waits for the compiler: all of them, because numba does not
# notice that a file which a kernel calls or takes a constant from has changed.
$(WARMED): $(INSTALLED) $(COMPILED_SOURCES)
	@find src -name '*.nbi' -delete
	@$(BIN)/sadtalker warmup
	@touch $@

.PHONY: help install serve test lint lint-style lint-format lint-types lint-imports format bench docs examples constraints clean
