# One command set. `make help` lists it.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
# More pytest options: make test ARGS='-k placement'
ARGS ?=

.PHONY: help setup docker demo test check fix generate locks bench soak clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install everything missing; gives .venv/bin/homeport (quick when nothing changed)
	@tools/setup.sh

docker: setup ## start a Docker Engine when none answers (root)
	@tools/start_docker.sh

demo: docker ## an ECS service on real containers: shown, broken, healed, scaled
	@$(BIN)/homeport demo

test: docker check ## all checks and all tests; nothing is skipped
	@$(BIN)/python -m pytest $(ARGS)

check: setup ## lint, types, import contracts, house rules
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python tools/tidy.py

fix: setup ## mend what the linter can mend by itself
	@$(BIN)/ruff check --fix

generate: setup ## write src/homeport/api from the pinned botocore's models
	@$(BIN)/python tools/generate_api.py
	@$(BIN)/python tools/list_operations.py

locks: setup ## write requirements/*.txt anew from requirements/*.in
	@requirements/lock.sh

bench: docker ## measure, side by side with plain Docker and with moto
	@tools/setup.sh bench
	@$(BIN)/homeport bench $(ARGS)

soak: setup ## simulate thousands of fresh seeds, and a kill at each commit (SEEDS=5000 JOBS=2 STRIDE=1)
	@$(BIN)/homeport simulate --seeds $(or $(SEEDS),5000) --jobs $(or $(JOBS),2) --failures
	@for name in $$($(BIN)/homeport simulate --scenario list | cut -d' ' -f1); do \
	  $(BIN)/homeport simulate --scenario $$name --each-commit --stride $(or $(STRIDE),1) \
	    --jobs $(or $(JOBS),2) --failures; done

clean: ## remove what the tools made (not your data)
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
