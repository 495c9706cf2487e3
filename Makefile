.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
# Most tests wait for processes: more of them at once than there are cores. The files stay in the
# order of tests/support/selection.py: the longest first, for last they would have nothing beside them.
JOBS ?= 3

help: ## list the daily commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Wildloop needs Python >= 3.11, found %d.%d; set PYTHON=..." % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[examples]' -c constraints.txt
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	touch $@

install: $(VENV)/.installed ## install into .venv

demo: $(VENV)/.installed ## a whole research session on real data, no key, no GPU
	$(BIN)/wildloop demo

PYTEST = $(BIN)/python -m pytest tests -n $(JOBS) --dist loadfile --no-loadscope-reorder

test: $(VENV)/.installed-dev ## the tests, JOBS files at a time
	$(PYTEST) -m "not long"

long: $(VENV)/.installed-dev ## the tests that take long: more kills, longer nights, every CLI in every way
	$(PYTEST) -m long

quick: $(VENV)/.installed-dev
	$(PYTEST) -q -m "not (server or e2e or slurm or browser or agent_cli or long)" --ignore=tests/e2e \
		--ignore=tests/shim/test_schemathesis.py

check: lint quick ## lint, types, and the tests that need no server

lint: $(VENV)/.installed-dev types-links ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

types-links: ## (for mypy) the folders under their importable name
	mkdir -p build/types/wildloop
	for room in flows blocks shim skills examples; do ln -sfn ../../../$$room build/types/wildloop/$$room; done
	for file in __init__ __main__; do ln -sfn ../../../wildloop/$$file.py build/types/wildloop/$$file.py; done

fix: $(VENV)/.installed-dev ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev ## benchmarks beside plain Prefect (by hand, idle machine)
	$(BIN)/python -m bench.engine
	$(BIN)/python -m bench.database
	$(BIN)/python -m bench.api
	$(BIN)/python -m bench.scale

docs: $(VENV)/.installed-dev ## write the generated parts of the docs anew, and the site to build/site
	$(BIN)/python -m wildloop.shim.reference
	$(BIN)/mkdocs build --quiet

clean: ## remove what make made
	rm -rf $(VENV) .demo build dist *.egg-info

.PHONY: help install demo test long quick check lint types-links fix bench docs clean
