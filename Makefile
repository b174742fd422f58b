# Every target makes the virtual environment it needs; a fresh clone needs Python >= 3.11 and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# A stamp is newer than what it was installed from; what is installed lies in the environment.
BASE := $(VENV)/.base
CORE := $(VENV)/.core
FULL := $(VENV)/.full
DOCS := $(VENV)/.docs

.DEFAULT_GOAL := help
.PHONY: help demo page docs test test-slow lint format bench clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) \
		| while IFS='|' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

demo: $(CORE) ## Compile published architectures and leave the results in demo-output/
	$(BIN)/python -m runners.forms.demo -o demo-output

page: ## Build the pages' program from page/ (Node.js 20 or newer, npm)
	cd page && npm ci --no-audit --no-fund && npm run check && npm run build

docs: $(DOCS) ## Build the documentation into build/site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

test: $(FULL) ## Run the tests, except the slow ones
	$(BIN)/python -m pytest -q

test-slow: $(FULL) ## Run the slow tests, and the laws with all of their examples
	$(BIN)/python -m pytest -q -m "slow or hypothesis"

lint: $(FULL) ## Check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(FULL) ## Format the code and sort its imports
	$(BIN)/ruff check --select I --fix .
	$(BIN)/ruff format .

bench: $(FULL) ## Run the benchmarks
	$(BIN)/python -m benchmarks

clean: ## Remove the virtual environment and everything made
	rm -rf $(VENV) page/node_modules build dist demo-output .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BASE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "nasir needs Python 3.11 or newer; try: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(CORE): $(BASE) pyproject.toml constraints.txt
	$(INSTALL) -e '.[all]'
	@touch $@

$(FULL): $(BASE) pyproject.toml constraints.txt
	$(INSTALL) -e '.[dev]'
	@touch $(CORE) $@

$(DOCS): $(CORE)
	$(INSTALL) -e '.[docs]'
	@touch $@
