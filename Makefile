# The targets of sparkscore; `make help` lists them. Works with GNU make 3.81 and later.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-long test-faults test-hostile test-platforms test-platforms-short test-spark-4.0 test-spark-4.1 test-spark-4.3 test-sparks test-python-3.12 test-python-3.13 test-simulation storm torture bench bench-quick test-torch check wheel docs format env java gomp preflight lock clean

PYTHON ?= python3
LOGS := .make
BIN := .venv/bin
ARCHIVE := $(LOGS)/spark.jsa
# --no-deps: the lock is complete. --no-build-isolation: what builds pyspark (it comes as source) is in the lock, too.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --retries 3 --no-deps --no-build-isolation
BUILD_TOOLS := packaging|pip|setuptools|wheel
# Tests that do not share the Spark session of the others run beside them, so that both cores are busy. In CI, the tests
# of MEASURED also show how much of the code they run, which doubles their time; pyproject.toml has the floor.
MEASURED := tests/unit tests/azure tests/bench tests/storm $(addprefix tests/contract/test_,engines.py run_stores.py scorers.py stores.py)
COVERAGE = $(if $(CI),--cov --cov-report=)
APART := tests/jobs tests/faults/test_drivers.py
# The versions of PySpark beside that of the lock; the last one has no Delta yet.
OTHER_SPARKS := 4.0.1 4.1.1 4.3.0
WITH_EACH_SPARK := spark contract models hostile/test_other_sparks.py hostile/test_sql_queries.py
# PySpark before 4.2 leaves the sockets of collect() and toArrow() to the garbage collector. Python warns about them
# during whichever test runs then.
OLDER_SPARKS := -W ignore::pytest.PytestUnraisableExceptionWarning -W ignore::ResourceWarning
# Longer limits for tests of a minute that CI runs beside others.
PATIENT := -o timeout=1200
STORM_ARGS = $(if $(SEED),--seed $(SEED)) $(if $(REPORT),--report $(REPORT))
TORCH_NEEDS := 'mlflow-skinny==2.22.0' 'numpy<2' 'packaging' 'pandas<3' 'pyarrow<20'

find_java = $(if $(JAVA_HOME),$(JAVA_HOME)/bin/java,java)
# The major version of the Java that Spark would start; nothing where there is none.
java_version = $$("$(find_java)" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1 || true)
JAVA_PACKAGE := openjdk-17-jre-headless
# How this person becomes root: not at all, with sudo, or (plain Debian) with su.
AS_ROOT = $(if $(filter 0,$(shell id -u)),,$(if $(shell command -v sudo),sudo sh -c,su -c))
as_root = $(if $(AS_ROOT),$(AS_ROOT) '$(1)',$(1))

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9.-]+:.*## / { printf "make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: preflight java env  ## score two real data sets on this machine and show the result
	@$(BIN)/sparkscore demo

test: preflight java gomp env $(ARCHIVE)  ## run the tests; those that take longer have targets of their own
	@set -m; { ended=0; $(BIN)/python -m pytest -p no:cacheprovider -m 'not faults and not long' $(COVERAGE) $(MEASURED) || ended=1; \
	  $(BIN)/python -m pytest -p no:cacheprovider -m 'not faults and not long' $(APART) && exit $$ended; } >$(LOGS)/apart.log 2>&1 & apart=$$!; set +m; \
	trap 'kill -- -$$apart 2>/dev/null || true' EXIT; \
	failed=; $(BIN)/python -m pytest -m 'not faults and not long' $(addprefix --ignore=,$(MEASURED) $(APART) tests/simulation tests/hostile tests/platforms) || failed=yes; \
	echo "$(MEASURED) $(APART), meanwhile (log: $(LOGS)/apart.log):"; wait $$apart || failed=yes; \
	sed -n '/^==* \(FAILURES\|ERRORS\) /,$$p' $(LOGS)/apart.log; \
	grep -E '^(=.* in [0-9.]+s|.*Required test coverage)' $(LOGS)/apart.log || tail -n 5 $(LOGS)/apart.log; test -z "$$failed"

test-long: preflight java gomp env $(ARCHIVE)  ## read and write tables of more kinds, 5 minutes
	@$(BIN)/python -m pytest $(PATIENT) -m long tests/contract

test-faults: preflight java gomp env $(ARCHIVE)  ## kill, hang and break everything, by the catalogue of docs/reliability.md
	@$(BIN)/python -m pytest tests/faults
	@$(BIN)/python -m pytest -m faults tests/jobs tests/spark

test-hostile: preflight java gomp env $(ARCHIVE)  ## score under hostile settings, with odd scripts, files and users
	@$(BIN)/python -m pytest tests/hostile

test-platforms: preflight java gomp env $(ARCHIVE) .venv-sql/.requirements  ## score on clusters whose workers have nothing, and wherever else Spark runs
	@$(BIN)/python -m pytest $(PATIENT) tests/platforms

test-platforms-short: preflight java gomp env $(ARCHIVE)  ## the part of that which CI runs
	@$(BIN)/python -m pytest $(PATIENT) tests/platforms -m short || test $$? = 5

test-spark-4.0: .venv-spark-4.0/.requirements  ## run the tests that start Spark with Spark 4.0 instead of 4.2
test-spark-4.1: .venv-spark-4.1/.requirements  ## the same with Spark 4.1
test-spark-4.0 test-spark-4.1: test-spark-%: preflight java gomp env
	@.venv-spark-$*/bin/python -m pytest $(OLDER_SPARKS) $(addprefix tests/,$(WITH_EACH_SPARK))

test-spark-4.3: preflight java env .venv-spark-4.3/.requirements  ## the tests for a Spark that has no Delta yet, with Spark 4.3
	@.venv-spark-4.3/bin/python -m pytest tests/hostile/test_other_sparks.py

test-sparks: preflight java gomp env $(foreach spark,4.0 4.1 4.3,.venv-spark-$(spark)/.requirements)  ## what differs between versions of Spark, with each
	@for spark in 4.0 4.1; do echo "Spark $$spark:"; \
	  .venv-spark-$$spark/bin/python -m pytest $(PATIENT) -m each_spark $(OLDER_SPARKS) $(addprefix tests/,$(WITH_EACH_SPARK)); done
	@echo "Spark 4.3:"; .venv-spark-4.3/bin/python -m pytest $(PATIENT) -m each_spark tests/hostile/test_other_sparks.py

test-python-3.12: .venv-python-3.12/.requirements  ## run the tests without Java with Python 3.12 of pyenv or the PATH
test-python-3.13: .venv-python-3.13/.requirements  ## the same with Python 3.13
test-python-3.12 test-python-3.13: test-python-%: preflight gomp env
	@.venv-python-$*/bin/python -m pytest tests/unit

test-simulation: env  ## crash runs at each of their steps, over a store that fails and lies; needs no Java
	@$(BIN)/python -m pytest $(PATIENT) tests/simulation

storm: preflight java gomp env  ## kill drivers, executors, workers 70 times by a seed, 8 to 10 minutes (SEED=1 REPORT=file)
	@$(BIN)/python -m tests.storm $(STORM_ARGS)

torture: preflight java gomp env  ## the same with 1,300 kills, one to two hours
	@$(BIN)/python -m tests.storm --long $(STORM_ARGS)

bench: preflight java gomp env .venv-bench/.requirements .venv-spark-4.1/.requirements  ## measure sparkscore beside what else scores tables, two to three hours (BENCH_ARGS=...)
	@$(BIN)/python -m tests.bench $(BENCH_ARGS)

bench-quick: preflight java gomp env .venv-bench/.requirements .venv-spark-4.1/.requirements  ## the same with 1,000 rows: shows that all sides run and agree
	@$(BIN)/python -m tests.bench --quick $(BENCH_ARGS)

test-torch: preflight java env .venv-torch/.requirements  ## score a PyTorch model, in an interpreter of its own (Debian)
	@SPARKSCORE_TORCH_PYTHON=$(CURDIR)/.venv-torch/bin/python $(BIN)/python -m pytest tests/models/test_torch.py

check: env  ## lint, types and layers; needs no Java
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo

wheel: env  ## build the package into dist/
	@rm -rf build dist; $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index \
	  --wheel-dir dist . && ls dist/*.whl

docs: preflight .venv-docs/.requirements  ## build the pages of docs/ into site/; a warning is an error
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict
	@echo "The pages are in site/; open site/index.html."

format: env  ## format the code and apply safe fixes
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

env: preflight .venv/.project  ## create .venv/ from requirements.txt (again only when that changes)

lock: env  ## write the requirements files from pyproject.toml (ARGS=--upgrade for newer versions)
	@$(BIN)/uv pip compile pyproject.toml --extra local --extra mlflow --extra onnx --extra demo --group dev --python-version 3.11 --quiet \
	  --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
	  --output-file requirements.txt $(ARGS)
	@printf '%s\n' $(TORCH_NEEDS) | $(BIN)/uv pip compile - --python-version 3.11 --quiet \
	  --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command 'make lock' \
	  --output-file requirements-torch.txt $(ARGS)
	@$(BIN)/uv pip compile --group docs --python-version 3.11 --quiet \
	  --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
	  --output-file requirements-docs.txt $(ARGS)
	@$(BIN)/uv pip compile --group sql --python-version 3.11 --quiet \
	  --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
	  --output-file requirements-sql.txt $(ARGS)
	@$(BIN)/uv pip compile --group bench --constraint requirements.txt --python-version 3.11 --quiet \
	  --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
	  $$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' requirements.txt) --output-file requirements-bench.txt $(ARGS)
	@for version in $(OTHER_SPARKS); do echo "pyspark==$$version" | $(BIN)/uv pip compile - --no-config --no-deps --python-version 3.11 \
	  --quiet --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
	  --output-file requirements-spark-$${version%.*}.txt; done

clean:  ## remove what make and the tests made (not .venv/, not sparkscore-runs/)
	@rm -rf $(LOGS) build dist site .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache *.egg-info
	@find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

# What a person must know before anything long starts.
preflight:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "sparkscore needs Python 3.11 or later, and '$(PYTHON)' is not that."; \
	  echo "Next: install it, or name it: make $(or $(MAKECMDGOALS),env) PYTHON=/path/to/python3.11"; exit 1; } >&2
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: its module ensurepip or venv is missing."; \
	  echo "Next (Debian, Ubuntu): $(call as_root,apt-get install -y python3-venv)"; exit 1; } >&2

java:  ## install Java 17 if there is none and it may, else say how
	@version=$(java_version); \
	if [[ "$${version:-0}" -ge 17 ]]; then exit 0; fi; \
	echo "Spark needs Java 17 or later, and '$(find_java)' is $${version:+version }$${version:-not there}."; \
	if [[ "$$(id -u)" != 0 || -n "$(JAVA_HOME)" ]] || ! command -v apt-get >/dev/null; then \
	  $(if $(JAVA_HOME),echo "Next: let JAVA_HOME name a Java 17$(,) or unset it.", \
	  if command -v apt-get >/dev/null; then echo "Next: $(call as_root,apt-get update && apt-get install -y $(JAVA_PACKAGE))"; \
	  else echo "Next: install Java 17 (macOS: brew install openjdk@17) and let JAVA_HOME name it."; fi); exit 1; \
	fi >&2; \
	mkdir -p $(LOGS); echo "Installing $(JAVA_PACKAGE) with apt-get (log: $(LOGS)/java.log) ..."; \
	{ apt-get update && apt-get install -y --no-install-recommends $(JAVA_PACKAGE); } \
	  </dev/null >$(LOGS)/java.log 2>&1 || { tail -n 3 $(LOGS)/java.log; \
	  echo "Java could not be installed (log: $(LOGS)/java.log)."; \
	  echo "Next: check the network and run 'make java' again, or install any Java 17 or later yourself."; exit 1; } >&2

.venv/.project: .venv/.requirements pyproject.toml
	@mkdir -p $(LOGS); $(PIP_INSTALL) --editable . >$(LOGS)/env.log 2>&1 || { tail -n 5 $(LOGS)/env.log; \
	  echo "sparkscore itself could not be installed into .venv/ (log: $(LOGS)/env.log)."; \
	  echo "Next: rm -rf .venv and run 'make env' again."; exit 1; } >&2
	@touch $@

gomp:  ## install the library that LightGBM needs if it is not there and it may, else say how
	@if [[ "$$(uname)" != Linux ]] || $(PYTHON) -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null; then exit 0; fi; \
	if [[ "$$(id -u)" != 0 ]] || ! command -v apt-get >/dev/null; then \
	  echo "The tests of LightGBM models need the library libgomp.so.1, which is not there."; \
	  echo "Next (Debian, Ubuntu): $(call as_root,apt-get update && apt-get install -y libgomp1)"; exit 1; \
	fi >&2; \
	mkdir -p $(LOGS); echo "Installing libgomp1 with apt-get (log: $(LOGS)/gomp.log) ..."; \
	{ apt-get update && apt-get install -y --no-install-recommends libgomp1; } \
	  </dev/null >$(LOGS)/gomp.log 2>&1 || { tail -n 3 $(LOGS)/gomp.log; \
	  echo "libgomp1 could not be installed (log: $(LOGS)/gomp.log)."; exit 1; } >&2

$(ARCHIVE): .venv/.requirements
	@mkdir -p $(LOGS); $(BIN)/python -m tests.support.archive $@ >$(LOGS)/archive.log 2>&1 || \
	  echo "Spark's classes could not be archived (log: $(LOGS)/archive.log); the tests take a little longer."

.venv-spark-%/.requirements: requirements-spark-%.txt | env
	@mkdir -p $(LOGS); echo "Installing $$(grep -o '^pyspark==[0-9.]*' $<) into .venv-spark-$*/, up to two minutes (log: $(LOGS)/spark-env.log) ..."
	@$(BIN)/python -m tests.support.other_spark .venv-spark-$* $< >$(LOGS)/spark-env.log 2>&1 || { tail -n 3 $(LOGS)/spark-env.log; \
	  echo "The packages of $< could not be installed (log: $(LOGS)/spark-env.log)."; \
	  echo "Next: check the network (pip must reach its package index) and run 'make test-spark-$*' again."; exit 1; } >&2
	@touch $@

# What the lock does not have; all else comes from .venv/.
.venv-bench/.requirements: requirements-bench.txt | env
	@mkdir -p $(LOGS); echo "Installing $$(grep -c '==' $<) packages into .venv-bench/, up to two minutes (log: $(LOGS)/bench-env.log) ..."
	@$(BIN)/python -m tests.support.other_spark .venv-bench $< >$(LOGS)/bench-env.log 2>&1 || { tail -n 3 $(LOGS)/bench-env.log; \
	  echo "The packages of $< could not be installed (log: $(LOGS)/bench-env.log)."; \
	  echo "Next: check the network (pip must reach its package index) and run 'make bench' again."; exit 1; } >&2
	@touch $@

.venv-python-%/.requirements: requirements.txt | env
	@mkdir -p $(LOGS); echo "Installing the packages of $< into .venv-python-$*/, some minutes (log: $(LOGS)/python-env.log) ..."
	@$(BIN)/python -m tests.support.other_python $* .venv-python-$* $< >$(LOGS)/python-env.log 2>&1 || { tail -n 3 $(LOGS)/python-env.log; \
	  echo "An environment of Python $* could not be made (log: $(LOGS)/python-env.log)."; \
	  echo "Next: install Python $*, check the network, and run 'make test-python-$*' again."; exit 1; } >&2
	@touch $@

# PyTorch is the system's own: from the registry of Python packages it brings gigabytes for graphics cards.
.venv-torch/.requirements: requirements-torch.txt
	@/usr/bin/python3 -c 'import torch, venv' 2>/dev/null || { \
	  echo "test-torch needs Debian's PyTorch."; \
	  echo "Next: $(call as_root,apt-get install -y python3-torch python3-venv)"; exit 1; } >&2
	@/usr/bin/python3 -m venv --system-site-packages .venv-torch
	@.venv-torch/bin/pip install --quiet --require-hashes -r requirements-torch.txt
	@touch $@

# Environments with the packages of one requirements file and nothing else; NEEDED_BY is the command that needs them.
.venv-docs/.requirements: NEEDED_BY := make docs
.venv-sql/.requirements: NEEDED_BY := make test-platforms
.venv-docs/.requirements .venv-sql/.requirements: .venv-%/.requirements: requirements-%.txt
	@mkdir -p $(LOGS)
	@{ .venv-$*/bin/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear .venv-$*; } >$(LOGS)/$*-env.log 2>&1 && \
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --retries 3 --no-deps --require-hashes \
	  -r $< >>$(LOGS)/$*-env.log 2>&1 || { tail -n 3 $(LOGS)/$*-env.log; \
	  echo "The packages of $< could not be installed (log: $(LOGS)/$*-env.log)."; \
	  echo "Next: check the network (pip must reach its package index) and run '$(NEEDED_BY)' again."; exit 1; } >&2
	@touch $@

.venv/.requirements: requirements.txt
	@mkdir -p $(LOGS); : >$(LOGS)/env.log
	@echo "Installing $$(grep -c '==' requirements.txt) packages into .venv/, one to two minutes (log: $(LOGS)/env.log) ..."
	@{ $(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear .venv; } >>$(LOGS)/env.log 2>&1 && \
	awk '/^[^ #]/ { keep = /^($(BUILD_TOOLS))==/ } keep' requirements.txt >.venv/build-tools.txt && \
	$(PIP_INSTALL) --require-hashes -r .venv/build-tools.txt >>$(LOGS)/env.log 2>&1 && \
	$(PIP_INSTALL) --require-hashes -r requirements.txt >>$(LOGS)/env.log 2>&1 || { grep -v 'Retrying' $(LOGS)/env.log | tail -n 3; \
	  echo "The packages of requirements.txt could not be installed (log: $(LOGS)/env.log)."; \
	  echo "Next: check the network (pip must reach its package index) and run 'make env' again."; \
	  exit 1; } >&2
	@touch $@

, := ,
