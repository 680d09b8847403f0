# Everything a person does with a clone. All paths are relative: the folder may have any name.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
PY := .venv/bin/python
SOURCES := $(wildcard core plugins simulators web workers tests bench chaos tools)

.PHONY: help run test bench chaos lint types format lock clean install install-dev

help: ## Show this list
	@echo "Envoi: mass messaging for loyalty programmes."
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null \
	  || sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1  \2/p' Makefile

run: install ## Set everything up and start the whole product
	@exec $(PY) -m envoi up

test: install-dev ## Set everything up and run every check and test
	@$(MAKE) lint types
	@printf '\n== Tests\n'
	@# Hundreds of processes are started: what one has compiled, the others need not compile again.
	@PYTHONDONTWRITEBYTECODE= $(PY) -m pytest -n auto --dist loadfile --no-loadscope-reorder -q

bench: install-dev ## Measure: a table and var/bench.json (ONLY=send runs one group)
	@$(PY) -m bench $(if $(ONLY),--only "$(ONLY)")

chaos: install-dev ## Break things while mailings are sent: a table and var/chaos.json (ONLY=kills)
	@$(PY) -m chaos $(if $(ONLY),--only "$(ONLY)") $(if $(SCALE),--scale "$(SCALE)") $(if $(TURN),--turn "$(TURN)")

lint: install-dev ## Check style, formatting, imports and templates
	@printf '\n== Style (ruff check)\n'
	@$(PY) -m ruff check $(SOURCES)
	@printf '\n== Formatting (ruff format)\n'
	@$(PY) -m ruff format --check $(SOURCES)
	@printf '\n== Who may import whom (import-linter)\n'
	@.venv/bin/lint-imports --no-logo
	@printf '\n== Templates (djlint)\n'
	@$(PY) -m djlint --lint --quiet core plugins web

types: install-dev ## Check types
	@printf '\n== Types (mypy --strict)\n'
	@$(PY) -m mypy $(SOURCES)

format: install-dev ## Format the code and repair what can be repaired
	@$(PY) -m ruff check --fix $(SOURCES)
	@$(PY) -m ruff format $(SOURCES)

lock: install-dev ## Renew both lock files after a change in pyproject.toml
	@tools/lock.sh

clean: ## Remove the environment and caches; data in var/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist

install:
	@python="$$(tools/find-python.sh)" && "$$python" tools/install.py run

install-dev:
	@python="$$(tools/find-python.sh)" && "$$python" tools/install.py dev
