# The two commands of the README are `make tour` and `make test`.
# Each makes .venv if it is missing, installs what it needs, and runs.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
BUILT := $(wildcard src/pynamespaces/_kernel/*.[ch] src/pynamespaces/_kernel/*.txt) setup.py pyproject.toml

.PHONY: tour test together storm labs growth lint typing bench docs links wheels clean

tour: $(VENV)/installed
	@$(BIN)/pynamespaces tour

test: $(VENV)/installed-test
	$(BIN)/python -m pytest $(TESTS)

# The pytest plugin with the plugins that people have: an environment of its own, as they would all load elsewhere.
together:
	@$(MAKE) --no-print-directory VENV=$(VENV)-together $(VENV)-together/installed-together
	PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 $(VENV)-together/bin/python -m pytest tests/together.py

# Two hundred censuses in a storm of short-lived processes, where `make test` takes some.
storm: $(VENV)/installed-test
	PYNAMESPACES_SCANS=200 $(BIN)/python -m pytest tests/test_discovery.py -k storm

# A thousand labs, one after the other: nothing of them stays.
labs: $(VENV)/installed-test
	PYNAMESPACES_LABS=1000 $(BIN)/python -m pytest tests/test_net.py -k many_labs

lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typing: $(VENV)/installed-lint $(VENV)/installed-test
	$(BIN)/mypy
	$(BIN)/mypy tests/typing
	cd $(VENV) && bin/python -m mypy.stubtest pynamespaces._kernel._ffi
	$(BIN)/python .ci/pyright

.PHONY: plugin-matrix
# The plugin's tests on each pytest that it is promised for.
PYTESTS ?= 8.4 9
plugin-matrix: $(PYTESTS:%=$(VENV)/pytest-%/installed)
	@for version in $(PYTESTS); do \
		echo "== pytest $$version"; $(VENV)/pytest-$$version/bin/python -m pytest -q tests/plugin || exit 1; \
	done

$(VENV)/pytest-%/installed: $(VENV)/installed-test
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/pip install --quiet --disable-pip-version-check --upgrade pip
	@$(@D)/bin/pip install --quiet --disable-pip-version-check --editable . --group test "pytest==$*.*"
	@touch $@

bench: $(VENV)/installed
	$(BIN)/python benchmarks/bench.py $(BENCH)

growth: $(VENV)/installed-test
	PYNAMESPACES_LAUNCHES=10000 $(BIN)/python -m pytest -q tests/test_pitfalls_inside.py -k many_launches

# What the suite does a little of, at length; see docs/explanation/reliability.md.
.PHONY: faults kills state
faults: $(VENV)/installed-test
	cd tests && ../$(BIN)/python faults.py --write

kills: $(VENV)/installed-test
	cd tests && ../$(BIN)/python kills.py 500

state: $(VENV)/installed-test
	STATE_MACHINE_EXAMPLES=2000 $(BIN)/python -m pytest -q tests/test_state_machine.py

docs: $(VENV)/installed-docs
	$(BIN)/sphinx-build -n -T -W --keep-going -q -b html docs docs/_build/html

links: $(VENV)/installed-docs
	$(BIN)/sphinx-build -n -W -q -b linkcheck docs docs/_build/links

# The suite, once for each newer system call, without it: half an hour.  One only: python tests/old_kernel.py CALL.
.PHONY: old-kernels
old-kernels: $(VENV)/installed-test
	$(BIN)/python tests/old_kernel.py --table $(TESTS)

wheels: $(VENV)/installed-package
	@$(BIN)/python .ci/wheels

clean:
	rm -rf $(VENV) $(VENV)-together build dist src/*.egg-info docs/_build benchmarks/build
	find src tests -name __pycache__ -prune -exec rm -rf {} +
	rm -f src/pynamespaces/_kernel/_ffi.*.so src/pynamespaces/_kernel/_ffi.c

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "pynamespaces needs Python 3.11 or newer: make PYTHON=/path/to/python3"; exit 1; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip

$(VENV)/installed: $(BIN)/python $(BUILT)
	@echo "installing pynamespaces into $(VENV)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-%: $(VENV)/installed pyproject.toml
	@$(BIN)/pip install --quiet --disable-pip-version-check --group $*
	@touch $@
