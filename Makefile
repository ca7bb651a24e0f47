# `uv run` makes the environment on first use. RUN="uv run --no-sync" leaves it as it is.
RUN ?= uv run
STUDENTS ?= 100000
SECONDS ?= 300
SEED ?=
QUICK ?=
FILE ?=

.DEFAULT_GOAL := help
.PHONY: tools help up down status logs demo migrate contracts lint format test chaos test-full bench k8s-validate k8s-rules k8s-secrets

help: ## Show this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: ## Start everything on this machine and leave it running; prints addresses and sample logins
	$(RUN) placewire up

down: ## Stop exactly what `make up` started; data stays
	$(RUN) placewire down

status: ## Show what `make up` has running
	$(RUN) placewire status

logs: ## Follow what the running processes write, until Ctrl-C
	$(RUN) placewire logs --follow

demo: ## Show the whole product once, on servers of its own (STUDENTS=100000, or FILE=students.csv)
	$(RUN) placewire demo --students $(STUDENTS) $(if $(FILE),--file "$(FILE)")

migrate: ## Bring the database of MIGRATION_DATABASE_URL (or of `make up`) to the newest revision
	$(RUN) placewire migrate

contracts: ## Write the documents that others read: JSON Schemas, AsyncAPI, OpenAPI
	$(RUN) placewire contracts

tools: ## Install what some tests need and pip has not: nginx, promtool, Chromium (Debian or Ubuntu, as root)
	apt-get update --quiet=2
	DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends nginx-light prometheus chromium fonts-noto-core

# Definitions of custom resources, to hold ours to: a folder of CustomResourceDefinitions.
CRDS ?= ../shared/crds

k8s-validate: ## Build every overlay of deploy/k8s and check it, without a cluster (CRDS=folder; STRICT=1)
	CRDS="$(CRDS)" $(RUN) python -m tests.manifests

k8s-rules: ## Make the PrometheusRule of deploy/prometheus/rules
	$(RUN) python -m tests.manifests.rules

OVERLAY ?= local

k8s-secrets: ## Make the secrets of an overlay of deploy/k8s, once (OVERLAY=local)
	OVERLAY="$(OVERLAY)" python3 deploy/k8s/overlays/make_secrets.py

lint: ## Style, types, architecture, dependencies
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) deptry .

format: ## Lay the code out as `make lint` wants it
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

# Three at a time, since most of a test is waiting: each with a Postgres of its own, and one Kafka, started for the first
# test that asks for it. The last line of a run says how many long forms are left to `make test-full`.
PYTEST ?= pytest -n 3 --dist loadgroup

# Byte code is kept, whatever the image sets: without it each of the processes compiles every library (20 s of CPU).
test: ## Every test, at small sizes
	PYTHONDONTWRITEBYTECODE= $(RUN) $(PYTEST)

chaos: ## Hurt the whole system under load, then count (SECONDS=300, SEED= repeats a run)
	$(RUN) python -m tests.chaos --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

test-full: ## Every test, at the sizes that the issues name
	PLACEWIRE_TEST_SIZE=full $(RUN) pytest --timeout 900

bench: ## Measure every promise of speed against its limit or peer (QUICK=1: smaller, in under 3 minutes)
	$(RUN) python -m bench $(if $(QUICK),--size quick)
