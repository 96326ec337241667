# Every target sets up what it needs; `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup test lint format attack fuzz adversary demo bench lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nskd needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(READY)  ## make the virtual environment from the lock file

test: $(READY)  ## lint, then every test (under ten minutes)
	$(MAKE) --no-print-directory lint
	@echo compiling the kernels, once and not in every daemon that a test starts
	@$(BIN)/python -c 'from protocol.lattice.rehearsal import rehearse; rehearse()'
	$(BIN)/python -m pytest

lint: $(READY)  ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(READY)  ## let ruff lay out the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

attack: $(READY)  ## attacks on releases of thousands of random workshops; ATTACK=2000 says how many
	NSKD_ATTACK=$(or $(ATTACK),2000) $(BIN)/python -m pytest --timeout 3600 tests/attack

fuzz: $(READY)  ## coverage-guided fuzzing of all that is read; FUZZ_MINUTES=60 in all, FUZZ="wire sql" for some
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.lock
	$(BIN)/python -m tests.fuzz hunt --minutes $(or $(FUZZ_MINUTES),60) $(FUZZ)

adversary: $(READY)  ## every lie in every message of every protocol; hours
	NSKD_ADVERSARY=1 $(BIN)/python -m pytest --timeout 14400 tests/adversary

demo: $(READY)  ## three hospitals on this machine, one joint table, nothing short-circuited
	$(BIN)/nskd sandbox --centres 3 --request configs/request.toml

bench: $(READY)  ## figures of this machine; BENCH="triples bits" PARTIES="2 3" for parts of it
	$(BIN)/python -m tests.bench $(if $(BENCH),--bench $(BENCH)) $(if $(PARTIES),--parties $(PARTIES))

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
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
