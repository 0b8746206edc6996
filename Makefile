# Needs only make and Python 3.11, 3.12 or 3.13. Each target sets up what it needs.
# Stamp files in .venv record finished steps. A step runs again when its sources change.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps

PROCESSES ?= 3

# 0: do not install torch, and skip the tests that need it
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
	@echo "make TARGET, with one of these targets:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16
	@echo "Variables, as in 'make serve PORT=8101':"
	@echo "  PORT=8101       port of the service; every setting in docs/configuration.md works this way"
	@echo "  PYTHON=...      the Python to use: 3.11, 3.12 or 3.13"
	@echo "  VENV=...        the folder to install into; default: .venv"
	@echo "  NEURAL=0        for test: do not install torch, and skip the tests that need it"
	@echo "  TESTS=...       for test: files or other arguments of pytest"
	@echo "  PROCESSES=1     for test: on machines with little memory"

install: $(INSTALLED) $(WARMED) ## set up .venv with the command sadtalker, and compile its kernels

# Ctrl-C reaches the service too. A script that signals only make must send SIGTERM: make does not forward SIGINT.
serve: install ## set up .venv and run the service (stores, API, workers) on port 8000 until Ctrl-C
	@$(BIN)/sadtalker serve

# One process more than cores on the smallest supported machine, because many tests only wait. tests/conftest.py
# says how they share the work. A process with the neural engine takes 4 GB.
test: $(DEVELOP) $(TORCH) $(WARMED) ## set up, check style, types and imports, and run the tests (TESTS=... selects some)
	@$(MAKE) --no-print-directory --keep-going lint; lint=$$?; \
	[ $$lint -eq 0 ] || echo "make: the checks above failed; running the tests anyway." >&2; \
	$(BIN)/python -m compileall -q src tests/support; \
	$(BIN)/pytest --numprocesses=$(PROCESSES) --dist=loadscope --no-loadscope-reorder --durations=10 \
		$(TESTS); tests=$$?; \
	if [ $$lint -ne 0 ]; then exit $$lint; fi; exit $$tests

lint: lint-style lint-format lint-types lint-imports ## check style, types and the direction of imports

lint-style: $(DEVELOP)
	$(BIN)/ruff check .

lint-format: $(DEVELOP)
	$(BIN)/ruff format --check .

lint-types: $(DEVELOP)
	$(BIN)/mypy

lint-imports: $(DEVELOP)
	$(BIN)/lint-imports

format: $(DEVELOP) ## format all code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install ## measure the speed of the mesh engine on this machine
	$(BIN)/sadtalker bench mesh

docs: $(DEVELOP) ## write the generated pages: docs/configuration.md
	$(BIN)/python tools/write_configuration.py

examples: $(INSTALLED) ## make the example source image and audio again (needs unzip and flite)
	PYTHON=$(BIN)/python sh tools/make_examples.sh

constraints: $(CREATED) ## resolve all packages again and write their exact versions to constraints.txt
	$(BIN)/python tools/write_constraints.py

clean: ## remove everything that make has created, including .venv
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

# Compile all kernels now, so that no request waits for the compiler. All of them, because numba does not notice
# changes in a file that a kernel calls or takes a constant from. The modules too: where PYTHONDONTWRITEBYTECODE is
# set, each process would compile them again.
$(WARMED): $(INSTALLED) $(COMPILED_SOURCES)
	@find src -name '*.nbi' -delete
	@$(BIN)/python -m compileall -q src
	@$(BIN)/sadtalker warmup
	@touch $@

.PHONY: help install serve test lint lint-style lint-format lint-types lint-imports format bench docs examples constraints clean
