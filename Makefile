# Every verb does its own set-up: one virtual environment in .venv, builds in build/.
.DEFAULT_GOAL := help
.PHONY: help demo test check deep bench clean

PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

C_FILES := $(shell find include src python/ext tests/c examples bench -name '*.[ch]')
CORE := $(shell find include src python/ext -name '*.[ch]') CMakeLists.txt pyproject.toml
PACKAGE := $(shell find python/fast_lsh_ann -name '*.py*' -not -name '*.pyc')

help:
	@echo "make demo    the main job on real data"
	@echo "make test    C and Python tests"
	@echo "make check   format, lint, types, layers, symbols, warnings as errors"
	@echo "make deep    sanitizers, kills, random cases, coverage (long)"
	@echo "make bench   side by side with Faiss and others; BENCH=--help for options"
	@echo "make clean   remove .venv, build and the demo's tables"

# ---- set-up ----------------------------------------------------------------------------

.venv/tools: tools/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"Python 3.11 or later is needed: make PYTHON=/path/to/python3.11")'
	@echo "Setting up .venv: build tools and run-time packages"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -r tools/requirements.txt
	@touch $@

.venv/tests: tools/requirements-test.txt .venv/tools
	@echo "Setting up .venv: packages for tests and checks"
	$(BIN)/pip install -q -r tools/requirements-test.txt
	@touch $@

.venv/bench: tools/requirements-bench.txt .venv/tools
	@echo "Setting up .venv: what the benchmarks compare with"
	$(BIN)/pip install -q -r tools/requirements-bench.txt
	@touch $@

.venv/package: .venv/tools $(CORE) $(PACKAGE) README.md
	@echo "Building the package"
	$(BIN)/pip install -q --no-deps --no-build-isolation --force-reinstall \
		-C cmake.define.FLA_WERROR=ON .
	@touch $@

# A build of the C library and its tests; $(1) names the folder, $(2) the options.
cmake = $(BIN)/cmake -S . -B build/$(1) -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja \
	-DFLA_TESTS=ON -DFLA_WERROR=ON $(2) > build/$(1).log || (cat build/$(1).log; exit 1); \
	$(BIN)/cmake --build build/$(1) -- --quiet

build:
	@mkdir -p build

# ---- verbs -----------------------------------------------------------------------------

demo: .venv/package
	$(BIN)/fast-lsh-ann demo --data examples/data --output build/demo

test: .venv/package .venv/tests | build
	$(call cmake,c)
	$(BIN)/ctest --test-dir build/c --output-on-failure --no-tests=error -j 2
	$(BIN)/python -m pytest

check: .venv/package .venv/tests | build
	$(BIN)/clang-format --dry-run --Werror $(C_FILES)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python tools/check_layers.py
	$(call cmake,c)
	$(BIN)/python tools/check_symbols.py build/c

deep: .venv/package .venv/tests | build
	$(BIN)/python tools/deep.py

bench: .venv/package .venv/bench
	$(BIN)/python bench/run.py $(BENCH)

clean:
	rm -rf .venv build
