# Everything a developer does, from a fresh clone: `make test`, `make demo`. `make` alone lists the targets.

.DEFAULT_GOAL := help
.PHONY: help setup check test demo soak chaos bench lock contract clean programs broker

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# The workers that `make bench` compares with live apart: their packages are none of ours.
MEASURED := .venv-bench
MEASURED_READY := $(MEASURED)/.ready

# The first Python that is new enough and can make an environment (Debian splits the latter off).
PYTHON = $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

# What the Node.js test needs, once there is such a test.
NODE_MODULES := $(patsubst %/package-lock.json,%/node_modules/.ready,$(wildcard tests/node/package-lock.json))

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

setup: $(READY) ## make .venv with everything that development needs

$(READY): requirements-dev.lock pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11 or newer with its venv module is missing; install it" \
		"(Debian, Ubuntu: apt-get install python3 python3-venv; macOS: brew install python)." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

broker: setup
	@$(BIN)/python -m worker.local.install rabbitmq

programs: setup
	@$(BIN)/python -m worker.local.install rabbitmq node postgresql

$(NODE_MODULES): tests/node/package-lock.json | programs
	npm ci --prefix tests/node --no-audit --no-fund
	@mkdir -p $(@D) && touch $@

check: setup ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Tests mostly wait for something, so three processes run them, each with a private RabbitMQ and PostgreSQL. A RabbitMQ
# that was given has one owner at a time.
PARALLEL := $(if $(AMQP_URL),,--numprocesses 3 --dist loadfile --no-loadscope-reorder --max-worker-restart 0)

test: programs $(NODE_MODULES) ## run the tests; AMQP_URL and DATABASE_URL are used where given
	$(BIN)/python -m pytest -m "not soak" $(PARALLEL)

soak: programs ## run the proofs at their full size; each prints its figures
	$(BIN)/python -m pytest -m soak -s

# RABBITMQ=4 runs it on RabbitMQ 4, BREAK=resend|early-ack with a protection switched off: then it must exit with 1.
chaos: programs ## break everything around the workers and count; ARGS="--orders 1000 --reads 1000 --seed 7 --minutes 5"
	@$(BIN)/python -m tests.chaos $(ARGS) $(if $(RABBITMQ),--rabbitmq $(RABBITMQ)) $(if $(BREAK),--break $(BREAK))

$(MEASURED_READY): requirements-bench.lock
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11 or newer with its venv module is missing; install it" >&2; exit 1; }
	$(PYTHON) -m venv $(MEASURED)
	$(MEASURED)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	@touch $@

# ARGS="--rounds 5 --messages 4000", --only sips-worker, --quick; about ten minutes as it is.
bench: programs $(MEASURED_READY) ## measure this worker, dramatiq, Celery and FastStream at the same job
	@$(BIN)/python -m tests.benchmarks --python $(MEASURED)/bin/python $(ARGS)

demo: broker ## see commands turn into outcomes, with a private broker and the sandbox
	$(BIN)/sips-worker demo

lock: setup ## re-make the lock files after a change of the dependencies in pyproject.toml
	@command -v uv >/dev/null || $(BIN)/uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet uv
	PATH="$(CURDIR)/$(BIN):$$PATH" uv pip compile pyproject.toml $(LOCK_OPTIONS) -o requirements.lock
	PATH="$(CURDIR)/$(BIN):$$PATH" uv pip compile pyproject.toml $(LOCK_OPTIONS) --group dev -c requirements.lock -o requirements-dev.lock
	PATH="$(CURDIR)/$(BIN):$$PATH" uv pip compile pyproject.toml --group bench $(LOCK_OPTIONS) -c requirements-dev.lock -o requirements-bench.lock
	PATH="$(CURDIR)/$(BIN):$$PATH" uv pip compile --group build $(LOCK_OPTIONS) -c requirements-dev.lock -o requirements-build.lock

contract: setup ## write the schemas and the topology in worker/contract again
	$(BIN)/python -m worker.cli.contract

# Valid on every platform, without the address of the index they were made from.
LOCK_OPTIONS := --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url

clean: ## remove what the other targets made
	rm -rf $(VENV) $(MEASURED) .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/node/node_modules
	find worker handlers tests -name __pycache__ -type d -prune -exec rm -rf {} +
