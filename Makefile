# Every target is listed by `make help`. CI runs `make test` and nothing else, so nothing that must hold is left out of it.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := exporter analytics alerts
SOURCES := $(PACKAGES) tests benchmarks
# One BLAS thread: the fits here are small, and many threads make them ten times slower.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*?## ' $(MAKEFILE_LIST) | awk 'BEGIN {FS = ":.*?## "} {printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: demo
demo: $(VENV)/.run ## Bring up 30 days of traffic and every server, on http://127.0.0.1:8000 (DEMO_ARGS: options, as --port 8080)
	@scripts/demo.sh $(DEMO_ARGS)

.PHONY: test
test: $(VENV)/.test lint types unit rules drift integration e2e coverage ## Run everything that must hold

.PHONY: lint
lint: $(VENV)/.test ## Check style and format (ruff)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

.PHONY: types
types: $(VENV)/.test ## Check types, strictly (mypy)
	$(BIN)/mypy

.PHONY: unit
unit: $(VENV)/.test ## Run the unit tests, with coverage
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest tests/unit -q

.PHONY: integration
integration: $(VENV)/.test ## Run the tests against a real Prometheus, Alertmanager and VictoriaMetrics
	$(BIN)/coverage run -m pytest tests/integration -q

.PHONY: e2e
e2e: $(VENV)/.test ## Run the browser tests
	$(BIN)/coverage run -m pytest tests/e2e -q

.PHONY: coverage
coverage: $(VENV)/.test ## Demand 90 % branch coverage of each package (after the tests)
	$(BIN)/coverage combine -q
	@for package in $(PACKAGES); do $(BIN)/coverage report --include="$$package/*" --fail-under=90 || exit 1; done

.PHONY: rules
rules: $(VENV)/.test ## Check and unit-test the Prometheus rules (promtool)
	promtool check config prometheus/prometheus.yml
	promtool check rules prometheus/rules/*.yml
	printf '%s\n' prometheus/tests/*.yml | xargs -n 1 -P 2 promtool test rules

.PHONY: drift
drift: $(VENV)/.test ## Fail if a generated file differs from what its generator writes
	$(BIN)/asahi-obs rules check
	$(BIN)/asahi-obs dashboards check

.PHONY: generate
generate: $(VENV)/.run ## Write the generated rules and dashboards anew
	$(BIN)/asahi-obs rules build
	$(BIN)/asahi-obs dashboards build

.PHONY: bench
bench: $(VENV)/.bench ## Measure what the docs claim (BENCH_ARGS: trace files to measure on)
	@scripts/bench.sh $(BENCH_ARGS)

.PHONY: format
format: $(VENV)/.test ## Rewrite the sources in the house format
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

.PHONY: clean
clean: ## Remove what the other targets made
	rm -rf $(VENV) .demo .bench build dist .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

# One environment; each stamp says which extras and system programs it holds.
$(VENV)/.run: pyproject.toml setup.cfg constraints.txt scripts/setup.sh
	@PYTHON=$(PYTHON) scripts/setup.sh run
$(VENV)/.test: pyproject.toml setup.cfg constraints.txt scripts/setup.sh
	@PYTHON=$(PYTHON) scripts/setup.sh test
$(VENV)/.bench: pyproject.toml setup.cfg constraints.txt scripts/setup.sh
	@PYTHON=$(PYTHON) scripts/setup.sh bench
