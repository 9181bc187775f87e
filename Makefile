# Needs make and Python 3.11 or later; everything else comes from the package index into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
LOWEST := $(VENV)-lowest
UV := $(BIN)/uv
LOCK := pip compile --quiet --universal --python-version 3.11 --group dev --group build \
	--all-extras --generate-hashes --no-emit-index-url --custom-compile-command "make lock"
# What `make demo` shows after applying; any address of specs/ will do.
DEMO_RESULTS ?= analysis.reviews content.posts evaluation.sums
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Tests start hundreds of processes, and one that must compile all it imports takes twice as long to
# start. Some images forbid to keep what was compiled; empty means that it is kept.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help install demo test check lint format types layers pytest fuzz endure soak kill-score conformance-foreign test-lowest bench bench-simulator bench-tools bench-comparing bench-growing docs lock clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r name text; do printf '  make %-16s %s\n' "$$name" "$$text"; done

install: $(INSTALLED) ## Make .venv with what the lock pins, and this package editable

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or later is needed: make PYTHON=/path/to/python3.12 …' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): requirements.lock pyproject.toml | $(BIN)/python
	@# The installer first, as the lock pins it: it takes 9 s for all, where pip takes 32 s. Where a
	@# proxy has a certificate of its own, pip may know it when uv does not.
	sed -n '/^uv==/,/# via/p' requirements.lock > $(VENV)/uv.lock
	$(BIN)/python -m pip install -qq --require-hashes --requirement $(VENV)/uv.lock
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements.lock \
		|| $(BIN)/python -m pip install -qq --require-hashes --requirement requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(INSTALLED) ## Apply specs/ from nothing against the embedded server: offline, free
	rm -rf state/simulation
	$(BIN)/batchspec apply --simulate --auto-approve
	$(BIN)/batchspec status --simulate
	@for address in $(DEMO_RESULTS); do \
		echo; echo "batchspec results $$address --simulate"; \
		$(BIN)/batchspec results "$$address" --simulate || exit 1; \
	done

test: check pytest ## Run every gate: lint, format, layers, types, tests

check: lint layers types ## Run the gates that need no run: lint, format, layers, types

lint: $(INSTALLED) ## Look for mistakes and for code that is not formatted
	$(BIN)/ruff check --no-fix .
	$(BIN)/ruff format --check .

format: $(INSTALLED) ## Mend what can be mended, and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(INSTALLED) ## Check types with mypy and pyright; warnings count
	$(BIN)/mypy
	$(BIN)/pyright --warnings

layers: $(INSTALLED) ## Check who may import whom
	$(BIN)/lint-imports --no-logo

pytest: $(INSTALLED) ## Run the tests, on all cores
	$(BIN)/python -m pytest -n logical --dist worksteal

fuzz: $(INSTALLED) ## Try to break the reconciler for long, see docs/reliability.md; SEED=7 MINUTES=60
	BATCHSPEC_FUZZ_SEED=$(or $(SEED),$(shell date +%s)) BATCHSPEC_FUZZ_MINUTES=$(or $(MINUTES),15) \
		$(BIN)/python -m pytest -p no:cacheprovider $(or $(FUZZ),tests/fuzz tests/sweep)

endure: $(INSTALLED) ## Let a watcher live for weeks under a clock that jumps, see docs/reliability.md; DAYS=30 SEED=7
	PYTHONHASHSEED=0 PYTHONPATH=tests $(BIN)/python -m endurance.enduring --days $(or $(DAYS),30) \
		--seed $(or $(SEED),$(shell date +%s))

soak: $(INSTALLED) ## Trouble a watcher of real processes for minutes, see docs/reliability.md; MINUTES=10 SEED=7
	PYTHONPATH=tests $(BIN)/python -m soak.soaking --minutes $(or $(MINUTES),10) \
		--seed $(or $(SEED),$(shell date +%s))

kill-score: $(INSTALLED) ## Kill a process at every boundary of a run, and print what was paid
	$(BIN)/python tests/sweep/scoring.py

test-lowest: $(INSTALLED) ## Apply and test with the oldest libraries pyproject.toml allows
	$(PYTHON) -m venv --clear $(LOWEST)
	$(UV) pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable .
	$(UV) pip install --quiet --python $(LOWEST)/bin/python pytest hypothesis jsonschema psutil pyyaml
	$(LOWEST)/bin/python -m pytest --quiet -p no:cacheprovider --ignore=tests/docs --ignore=tests/acceptance
	rm -rf state/lowest && BATCHSPEC_STATE=state/lowest \
		$(LOWEST)/bin/batchspec apply --simulate --auto-approve

conformance-foreign: $(INSTALLED) ## Install two servers of other people and hold client and suite against them
	BATCHSPEC_FOREIGN=1 $(BIN)/python -m pytest tests/conformance/test_foreign.py

bench: $(INSTALLED) ## Measure against the floor, see docs/performance.md; BENCH="--rows 1000000"
	$(BIN)/python tests/benchmarks/scale.py $(BENCH)

bench-simulator: $(INSTALLED) ## Measure how fast the embedded server answers a million lines
	$(BIN)/python tests/benchmarks/serving.py $(BENCH)

bench-tools: $(INSTALLED) ## Measure 10,000 tool calls that wait 50 ms each, at several concurrencies
	$(BIN)/python tests/benchmarks/tools.py $(BENCH)

bench-comparing: $(INSTALLED) ## Measure compare and results of 100,000 items with a judge
	$(BIN)/python tests/benchmarks/comparing.py $(BENCH)

bench-growing: $(INSTALLED) ## Measure planning again a job of 100,000 rows that grows; BENCH="--kind files"
	$(BIN)/python tests/benchmarks/growing.py $(BENCH)

docs: $(INSTALLED) ## Write the generated parts of README.md and docs/ anew
	$(BIN)/python tests/docs/generate.py

lock: $(INSTALLED) ## Pin anew what CI and make install; UPGRADE=1 takes the newest versions
	$(UV) $(LOCK) $(if $(UPGRADE),--upgrade) pyproject.toml --output-file requirements.lock

clean: ## Remove what the targets made: environments, caches, builds, simulated state
	rm -rf $(VENV) $(LOWEST) .foreign build dist state/simulation state/lowest
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
