# Every target makes its own private environment in .venv first and is safe to repeat.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
SOURCES := engine solvers tests bench

.PHONY: help demo dev test lint types layers stubs check wheel bench bench-fleet bench-venues bench-routing bench-batch bench-portfolio vectors parity bench-selection bench-audit fuzz constraints clean

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Walras needs Python 3.11 or later; say which: make PYTHON=python3.12 …"; exit 1; }
	@echo 'making the environment in .venv, once; it takes a minute at most …' >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
		{ echo "Python's venv module is missing; on Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@echo 'compiling kernels, once; it takes a minute or two …' >&2
	@$(BIN)/python -c 'from walras.auction.search import warm; warm()'
	@$(BIN)/python -c 'from walras_solvers.equilibrium import Equilibrium; Equilibrium()'
	@$(BIN)/python -c 'from walras_solvers.router import Router; Router()'
	@touch $@

demo: .venv/ready ## Signed intents become audited settlements, in a minute, on this machine
	@$(BIN)/walras demo

dev: .venv/ready ## An engine, two solvers and generated traffic until Ctrl-C
	@$(BIN)/walras dev

test: .venv/ready ## All tests
	@$(BIN)/pytest -n 2 --dist worksteal -q

lint: .venv/ready ## Style, formatting, unused or undeclared dependencies
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/deptry engine solvers

types: .venv/ready ## mypy --strict
	@$(BIN)/mypy

layers: .venv/ready ## Who may import whom
	@$(BIN)/lint-imports

stubs: .venv/ready ## The committed stubs are what proto/ generates
	@out=$$(mktemp -d) && proto/generate.sh $$out && diff -r $$out/walras/api engine/walras/api \
		--exclude=__pycache__ && rm -r $$out

check: lint types layers stubs ## Everything but the tests

wheel: .venv/ready ## Build the wheel into dist/
	@$(BIN)/uv build --quiet --wheel --out-dir dist

bench: .venv/ready ## Measure everything; figures in bench/README.md
	@$(BIN)/python -m bench

bench-fleet: .venv/ready ## Measure balancing, dispatch, capacity and scaling
	@$(BIN)/python -m bench fleet

bench-selection: .venv/ready ## Measure winner selection and its certificates against CP-SAT and SCIP
	@$(BIN)/python -m bench selection

bench-audit: .venv/ready ## Measure the audit of 100 large auctions; or AUCTIONS=1000
	@$(BIN)/python -m bench audit

bench-venues: .venv/ready ## Measure one exact quote of each kind of venue
	@$(BIN)/python -m bench venues

bench-portfolio: .venv/ready ## Run all built-in solvers on published batches, where they are at hand
	@$(BIN)/python -m bench portfolio

bench-routing: .venv/ready ## Measure one order through up to 100,000 pools against other routers
	@$(BIN)/python -m bench routing $(if $(QUICK),--quick)

bench-batch: .venv/ready ## Measure whole batches of up to 1,000,000 intents
	@$(BIN)/python -m bench batch $(if $(QUICK),--quick)

vectors: .venv/ready ## Write the protocol's test vectors anew
	@$(BIN)/python docs/vectors/make.py

fuzz: .venv/ready ## Fuzz whatever reads bytes from outside, each target for SECONDS=60
	@PYTHONPATH=tests:. $(BIN)/python -m fuzz --seconds $(or $(SECONDS),60)

parity: .venv/ready ## Compare 100,000 swaps of each kind of pool with the contracts' bytecode; fuzz solvers
	@WALRAS_PARITY_CASES=$${WALRAS_PARITY_CASES:-100000} $(BIN)/pytest -n 2 -q tests/contract/test_parity.py
	@WALRAS_FUZZED_MARKETS=$${WALRAS_FUZZED_MARKETS:-10000} $(BIN)/pytest -n 2 -q tests/contract/test_fuzzed_markets.py

constraints: ## Pin the newest releases that fit into constraints.txt
	@$(BIN)/uv pip compile --quiet --extra dev --no-annotate --no-header --no-emit-index-url \
		--universal --upgrade pyproject.toml --output-file constraints.txt

clean: ## Remove the environment and everything built
	@rm -rf .venv dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
