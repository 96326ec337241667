# Every target sets up what it needs; `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# A file's tests stay together, as they may share daemons; files are taken in the order of tests/conftest.py.
WORKERS ?= 2
SPREAD = --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
# Every test process and every daemon would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup test test-long kernels collected lint format attack chaos soak soak-sabotage fuzz adversary demo bench wheel lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nskd needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements/dev.lock
	-@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib  # on all cores; some packages have files that are no Python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(READY)  ## make the virtual environment from the lock file

test: $(READY)  ## lint, then the tests (under ten minutes); WORKERS=4 on a machine with more than two cores
	@$(MAKE) --no-print-directory -j 2 --output-sync=target lint kernels collected
	$(BIN)/python -m pytest $(SPREAD)

test-long: $(READY)  ## every test, the long ones too, and properties at length
	@$(MAKE) --no-print-directory kernels
	$(BIN)/python -m pytest $(SPREAD) --long --timeout 3600

kernels: $(READY)
	@echo compiling, once and not in every daemon that a test starts
	@$(BIN)/python -m compileall -q protocol nskd tests
	@$(BIN)/python -c 'from protocol.lattice.rehearsal import rehearse; rehearse()'

# Both workers would have to prepare every test file for pytest; the core that lint leaves is idle.
collected: $(READY)
	@$(BIN)/python -m pytest --collect-only -qq >/dev/null 2>&1 || true  # what is wrong the tests tell

lint: $(READY)  ## ruff, mypy (--strict; of tests what a renamed name breaks), import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(READY)  ## let ruff lay out the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

attack: $(READY)  ## attacks on releases of thousands of random workshops; ATTACK=2000 says how many
	NSKD_ATTACK=$(or $(ATTACK),2000) $(BIN)/python -m pytest --timeout 3600 tests/attack

chaos: $(READY)  ## faults of the network, then daemons killed at random as well; CHAOS_REQUESTS=300 CHAOS_CENTRES=5 CHAOS_SEED=1 CHAOS_MINUTES=120
	$(BIN)/python -m pytest tests/chaos/cases.py
	$(BIN)/python -m tests.chaos --requests $(or $(CHAOS_REQUESTS),300) $(if $(CHAOS_SEED),--seed $(CHAOS_SEED)) \
	  $(if $(CHAOS_CENTRES),--centres $(CHAOS_CENTRES)) $(if $(CHAOS_MINUTES),--minutes $(CHAOS_MINUTES))

soak: $(READY)  ## whole workshops under a virtual clock and many faults; SOAK=200 hours, SOAK_SECONDS=600 of real time
	$(BIN)/python -m tests.simulation --hours $(or $(SOAK),200) $(if $(SOAK_SECONDS),--seconds $(SOAK_SECONDS))

soak-sabotage: $(READY)  ## the same with deliberate defects, each of which must be found; SABOTAGE="torn-tail" for some
	$(BIN)/python -m tests.simulation.sabotage $(SABOTAGE)

fuzz: $(READY)  ## coverage-guided fuzzing of all that is read; FUZZ_MINUTES=60 in all, FUZZ="wire sql" for some
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.lock
	$(BIN)/python -m tests.fuzz hunt --minutes $(or $(FUZZ_MINUTES),60) $(FUZZ)

adversary: $(READY)  ## every lie in every message of every protocol; hours
	NSKD_ADVERSARY=1 $(BIN)/python -m pytest --timeout 14400 tests/adversary

demo: $(READY)  ## three hospitals on this machine, one joint table, nothing short-circuited
	$(BIN)/nskd sandbox --centres 3 --request configs/request.toml

bench: $(READY)  ## figures of this machine; BENCH="triples bits" PARTIES="2 3" for parts of it
	$(BIN)/python -m tests.bench $(if $(BENCH),--bench $(BENCH)) $(if $(PARTIES),--parties $(PARTIES))

wheel: $(READY)  ## a wheel of the program in dist/, for systemd/install.sh --wheel
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

lock: $(READY)  ## renew the lock files from pyproject.toml
	$(BIN)/python -m pip install --quiet pip-tools
	for set in run databases dev; do \
	  extra=$$(test $$set = run || echo --extra=$$set); \
	  $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links \
	    --no-emit-options --no-header --strip-extras $$extra -o requirements/$$set.lock pyproject.toml requirements/build.in; \
	done
	$(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-options --no-header \
	  -o requirements/fuzz.lock requirements/fuzz.in

clean:  ## remove everything that is made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
