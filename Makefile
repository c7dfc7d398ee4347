PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
JOBS ?= 2
JOBS_WHOLE ?= 2
# Those that reach every branch of domain, pipeline and store: the others are not slowed down by watching.
COVERING := tests/contracts $(addprefix tests/unit/,domain pipeline store)
# Those of a whole installation: more than two at once, and on two processors posts arrive closer than they left.
WHOLE := tests/chaos tests/acceptance tests/browser
SIDE_BY_SIDE = $(BIN)/pytest -q --dist worksteal -n

.DEFAULT_GOAL := help
.PHONY: help demo test test-browser lint audit check bench chaos fuzz soak simulate pictures lock

help: ## This list
	@echo "The first target that needs it makes $(VENV) with $(PYTHON) (3.11 or newer; another: make PYTHON=python3.13 …)."
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## Everything on this machine, with a sandbox Slack: no account, no server (CI=true: once, then the balance)
	@$(BIN)/ik-slack demo $(if $(filter true,$(CI)),--once)

test: $(READY) ## All tests but the long chaos runs
	@$(SIDE_BY_SIDE) $(JOBS) $(COVERING) --cov --cov-report=
	@$(SIDE_BY_SIDE) $(JOBS) $(addprefix --ignore=,$(COVERING) $(WHOLE))
	@$(SIDE_BY_SIDE) $(JOBS_WHOLE) $(filter-out tests/chaos,$(WHOLE))

test-browser: $(READY) ## The console in a real browser alone; needs Chromium
	@$(BIN)/pytest -q tests/browser

lint: $(READY) ## Style, types and floors: ruff, mypy, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

audit: $(READY) ## Known vulnerabilities of what constraints.txt pins: a finding fails, having no network does not
	@$(BIN)/python .ci/audit.py

check: lint audit test ## What CI runs: lint, audit, test, and every branch of domain, pipeline and store covered
	@$(BIN)/coverage report --fail-under=100

bench: $(READY) ## What is measured, with its yardsticks beside it
	@$(BIN)/python -m benchmarks

chaos: $(READY) ## Break everything at random for ten minutes (MINUTES=…, SEED=…), then one thing at a time; about twenty minutes
	@$(BIN)/pytest -q tests/chaos

fuzz: $(READY) ## Ten minutes (FUZZ_S=…) of requests that nobody would think of, to the API of a running installation
	@FUZZ_S=$${FUZZ_S:-600} $(BIN)/pytest -q -rP tests/acceptance/test_api_fuzz.py

soak: $(READY) ## Half an hour (MINUTES=…) of steady load: memory stays flat, and no key grows that is not meant to
	@$(BIN)/python tests/soak $(if $(MINUTES),--minutes $(MINUTES))

pictures: $(READY) ## Draw the README's pictures of messages anew; needs Chromium
	@$(BIN)/python docs/pictures.py

simulate: $(READY) ## Ten thousand seeds of the simulation (SEEDS=…, START=…; REAL=1: on a real server too; TRACE=1 prints every step of START)
	@$(BIN)/python tests/simulation

lock: $(READY) ## Choose the newest versions that fit, into constraints.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv
	@$(BIN)/uv pip compile -q --upgrade --all-extras --universal --python-version 3.11 \
		--no-header --no-annotate --output-file constraints.txt pyproject.toml
	@echo "constraints.txt is new; make check before it is committed."

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Python 3.11 or newer is needed, and '$(PYTHON)' is not. Name one: make PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "'$(PYTHON)' cannot make virtual environments. On Debian: apt install python3-venv" >&2; exit 1; }
	@echo "Preparing $(VENV): a minute the first time."
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
