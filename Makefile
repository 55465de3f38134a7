# Each target sets up what it needs first; the second time that takes under a second.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: setup demo test chaos nodes lint bench clean

setup:
	@$(PYTHON) .ci/setup.py

# Without what only a test needs.
demo:
	@$(PYTHON) .ci/setup.py --product-only
	@$(BIN)/wafleet demo

test: setup
	@.ci/test

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# Under fire: `make chaos SEED=7`, or several: `make chaos SEEDS="1 2 3"`.
SEEDS ?= 1
chaos: setup
	@$(BIN)/python -m tests.chaos $(foreach seed,$(or $(SEED),$(SEEDS)),--seed $(seed))

# Several nodes: one to three minutes, and network interfaces of its own where it may make them.
# WAFLEET_TEST_NODES=processes does without.
nodes: setup
	@$(BIN)/python -m pytest tests/nodes

# Some ten minutes; PARTS="faults nodes" measures only these (`python -m benchmarks --help`).
bench: setup
	@$(BIN)/python -m benchmarks $(PARTS)

clean:
	rm -rf .venv .wafleet .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find actors/browser/bundle -type f -delete
