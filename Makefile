PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The packages of a deployment with their hashes: the versions of constraints.txt, without the development tools.
HASHED = $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--extra bridge --extra embedded --extra flower -c constraints.txt -o requirements-hashed.txt pyproject.toml
JOBS ?= 2
JOBS_WHOLE ?= 2
# Unit tests of commands wait for a part of their time, for processes and for servers that do not answer.
JOBS_UNIT ?= 3
# The tests that cover every branch of domain, pipeline and store; only these run with coverage, which is slow.
COVERING := tests/contracts $(addprefix tests/unit/,domain pipeline store)
# The tests of a whole installation. More than two of them on two processors disturb the timing of the posts.
WHOLE := tests/chaos tests/acceptance tests/browser
SIDE_BY_SIDE = $(BIN)/pytest -q --dist worksteal -n

.DEFAULT_GOAL := help
.PHONY: help docs demo test thorough test-browser test-quick quick lint audit check bench image chaos sentinel fuzz soak simulate \
	pictures lock dist site pythons

help: ## Show this list
	@echo "The first target creates $(VENV) with $(PYTHON) (3.11 or newer; another one: make PYTHON=python3.13 …)."
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## Run everything on this machine with a sandbox Slack, without an account (CI=true: publish once and exit)
	@$(BIN)/ik-slack demo $(if $(filter true,$(CI)),--once)

test: $(READY) ## Run all tests in their short form
	@$(SIDE_BY_SIDE) $(JOBS) $(COVERING) --cov --cov-report=
	@$(SIDE_BY_SIDE) $(JOBS_UNIT) $(addprefix --ignore=,$(COVERING) $(WHOLE))
	@$(SIDE_BY_SIDE) $(JOBS_WHOLE) $(filter-out tests/chaos,$(WHOLE))

thorough: $(READY) ## Run all tests in their long form: all examples and seeds, every whole installation; an hour
	@THOROUGH=1 $(MAKE) --no-print-directory test

test-browser: $(READY) ## Run the tests of the console in a browser; needs Chromium
	@$(BIN)/pytest -q tests/browser

quick: $(READY) ## Run the linters, the type checker and the fast unit tests, in about a minute
	@$(MAKE) --no-print-directory -j2 lint test-quick

test-quick: $(READY)
	@QUICK=1 $(SIDE_BY_SIDE) $(JOBS_UNIT) -p no:schemathesis -m "not slow" tests/unit tests/test_house.py tests/test_docs.py

lint: $(READY) ## Check style, types and imports: ruff, mypy, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

audit: $(READY) ## Look for known vulnerabilities of the packages in constraints.txt; passes without a network
	@$(BIN)/python .ci/audit.py

check: lint audit test ## Run what CI runs: lint, audit, test, and 100 % branch coverage of domain, pipeline and store
	@$(BIN)/coverage report --fail-under=100

image: ## Build the image on a Debian made here and check it: user, read-only root, SIGTERM; needs root and Buildah
	@.ci/image

bench: $(READY) ## Run the benchmarks
	@$(BIN)/python -m benchmarks

chaos: $(READY) ## Inject random faults for ten minutes (MINUTES=…, SEED=…), then one kind at a time: twenty minutes
	@$(BIN)/pytest -q tests/chaos --ignore=tests/chaos/test_sentinel.py

sentinel: $(READY) ## Kill the master of a Redis with sentinels every 20 s under load, for ten minutes (MINUTES=…)
	@MINUTES=$${MINUTES:-10} $(BIN)/pytest -q tests/chaos/test_sentinel.py

fuzz: $(READY) ## Send random requests to the API of a running installation for ten minutes (FUZZ_S=…)
	@FUZZ_S=$${FUZZ_S:-600} $(BIN)/pytest -q -rP tests/acceptance/test_api_fuzz.py

soak: $(READY) ## Run a steady load for half an hour (MINUTES=…) and check that memory and Redis keys do not grow
	@$(BIN)/python tests/soak $(if $(MINUTES),--minutes $(MINUTES))

docs: $(READY) ## Write the commands, the settings and the schemas of the documents from the program
	@$(BIN)/python docs/generate.py

pictures: $(READY) ## Take the pictures of messages in the documents; needs Chromium
	@PYTHONPATH=tests $(BIN)/python docs/pictures.py

simulate: $(READY) ## Run 10,000 seeds of the simulation (SEEDS=…, START=…, REAL=1: a real Redis too, TRACE=1: every step)
	@$(BIN)/python tests/simulation

lock: $(READY) ## Write the newest allowed versions of all packages to constraints.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv
	@$(BIN)/uv pip compile -q --upgrade --all-extras --universal --python-version 3.11 \
		--no-header --no-annotate --output-file constraints.txt pyproject.toml
	@$(HASHED)
	@echo "constraints.txt and requirements-hashed.txt were written; run make check before you commit it."

dist: $(READY) ## Build and check the source distribution and the wheel in dist/
	@rm -rf dist
	@$(BIN)/python -m build -n --outdir dist .
	@$(BIN)/twine check --strict dist/*
	@$(BIN)/check-wheel-contents dist/*.whl

site: $(READY) ## Build the documents as a site in site/; a warning fails it
	@$(BIN)/zensical build --strict --clean -f mkdocs.yml

pythons: $(READY) ## Run the unit and contract tests on every Python from 3.11 to 3.14 that is installed
	@$(BIN)/python .ci/pythons.py

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Python 3.11 or newer is needed, and '$(PYTHON)' is not. Name another: make PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "'$(PYTHON)' cannot create virtual environments. On Debian: apt install python3-venv" >&2; exit 1; }
	@echo "Preparing $(VENV): a minute the first time."
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
