# `uv run` creates or updates the environment. RUN="uv run --no-sync" does not change it.
RUN ?= uv run
STUDENTS ?= 100000
SECONDS ?= 300
SEED ?=
QUICK ?=
FILE ?=

.DEFAULT_GOAL := help
.PHONY: tools help up down status logs demo migrate contracts lint format test chaos test-full screenshots bench k8s-validate k8s-rules k8s-secrets

help: ## Show this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: ## Start everything on this machine and leave it running; prints addresses and sample logins
	$(RUN) placewire up

down: ## Stop exactly what `make up` started; data stays
	$(RUN) placewire down

status: ## Show what `make up` has running
	$(RUN) placewire status

logs: ## Follow the logs of the running processes, until Ctrl-C
	$(RUN) placewire logs --follow

demo: ## Show the whole product once, on separate servers (STUDENTS=100000, or FILE=students.csv)
	$(RUN) placewire demo --students $(STUDENTS) $(if $(FILE),--file "$(FILE)")

migrate: ## Bring the database of MIGRATION_DATABASE_URL (or of `make up`) to the newest revision
	$(RUN) placewire migrate

contracts: ## Write the published documents: JSON Schemas, AsyncAPI, OpenAPI
	$(RUN) placewire contracts

tools: ## Install programs for some tests: nginx, promtool, Chromium (Debian or Ubuntu, as root)
	apt-get update --quiet=2
	DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends nginx-light prometheus chromium fonts-noto-core

# A folder of CustomResourceDefinitions. `k8s-validate` checks custom resources against them.
CRDS ?= ../shared/crds

k8s-validate: ## Build every overlay of deploy/k8s and check it, without a cluster (CRDS=folder; STRICT=1)
	CRDS="$(CRDS)" $(RUN) python -m tests.manifests

k8s-rules: ## Write the PrometheusRule with the rules of deploy/prometheus/rules
	$(RUN) python -m tests.manifests.rules

OVERLAY ?= local

k8s-secrets: ## Create the secrets of an overlay of deploy/k8s, once (OVERLAY=local)
	OVERLAY="$(OVERLAY)" python3 deploy/k8s/overlays/make_secrets.py

lint: ## Check style, types, import rules and dependencies
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) deptry .

format: ## Format the code as `make lint` requires it
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

# Three tests at a time, because tests mostly wait. Each process has its own Postgres. All share one Kafka, which starts
# for the first test that needs it. The last line of a run counts the long forms that only `make test-full` runs.
PYTEST ?= pytest -n 3 --dist loadgroup

# PYTHONDONTWRITEBYTECODE is unset, because otherwise each process would compile every library (20 s of CPU).
test: ## Run all tests at small sizes
	PYTHONDONTWRITEBYTECODE= $(RUN) $(PYTEST)

chaos: ## Inject faults into the whole system under load, then check its data (SECONDS=300, SEED= repeats a run)
	$(RUN) python -m tests.chaos --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

test-full: ## Run all tests at full sizes
	PLACEWIRE_TEST_SIZE=full $(RUN) pytest --timeout 900

screenshots: ## Take the README's screenshots of the console again (needs Chromium)
	SCREENSHOTS=1 PLACEWIRE_TEST_SIZE=full $(RUN) pytest -n 0 tests/browser/test_screenshots.py

bench: ## Compare the speed of each part with its limit or another system (QUICK=1: smaller, in under 3 minutes)
	$(RUN) python -m bench $(if $(QUICK),--size quick)
