# The main targets are `make demo` and `make test`. They need git, make and Python 3.11 or newer with venv. Each creates
# its own environment from hash-checked requirements, which later runs use again.
# Another Python: make test PYTHON=python3.12

PYTHON ?= python3
unexport PYTHONDONTWRITEBYTECODE # byte code saves some seconds at every later start
INSTALL = -m pip install -qq --disable-pip-version-check
LOCKED = $(INSTALL) --no-compile --require-hashes --only-binary :all:
NOTEBOOKS = $(wildcard notebooks)
PYTEST = .venv/bin/pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder
CODE = $(wildcard src tests benchmarks examples fuzz notebooks docs *.md)  # ruff also formats the Python in Markdown

.PHONY: help demo test test-slow test-lowest test-spark fuzz wheel lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' Makefile

demo: .venv-demo/.made ## run the demonstration; writes treatsel-demo/
	.venv-demo/bin/treatsel demo

# mypy runs alongside pytest; its findings are printed after the tests, and the target fails if either fails. The tests of a
# file run in one worker, because its fixtures are made once; long files come first, and the short doctests fill both workers
# at the end.
test: .venv/.made ## lint, types, layers, doctests, tests, notebooks; leaves the long simulations to test-slow
	.venv/bin/ruff check $(CODE)
	.venv/bin/ruff format --check $(CODE)
	@echo '.venv/bin/mypy >.venv/mypy.log &'
	@.venv/bin/mypy >.venv/mypy.log 2>&1 & types=$$!; \
	trap 'kill $$types 2>/dev/null; exit 130' INT TERM; \
	$(PYTEST) -m 'not slow' --nbmake --nbmake-timeout=600 $(NOTEBOOKS) tests src; tests=$$?; \
	wait $$types || { echo '.venv/bin/mypy failed:'; cat .venv/mypy.log; exit 1; }; \
	exit $$tests

test-slow: .venv/.made ## the long simulations and complete runs, marked slow
	$(PYTEST) -m slow tests

# Deprecation warnings between old versions of other packages are not faults of treatsel; all other warnings still fail.
# Tests of methods and of the command line's behavior (marked one_version) are left out: they do not test versions.
test-lowest: .venv-lowest/.made ## doctests and tests with the oldest versions that pyproject.toml allows
	.venv-lowest/bin/pytest -W ignore::DeprecationWarning -W ignore::PendingDeprecationWarning \
	  -m 'not slow and not real_data and not one_version' src tests

test-spark: .venv/.spark ## tests of Spark, which needs Java 17 or newer; installs pyspark (450 MB) into .venv
	.venv/bin/pytest tests/test_spark.py

NUMBER ?= 10000
fuzz: .venv/.made ## 10,000 mutants of each stored model file, 1,000,000 unusual records (fewer: NUMBER=500)
	.venv/bin/python -m fuzz --number $(NUMBER)
	.venv/bin/python -m fuzz.records --number $$((100 * $(NUMBER)))

wheel: .venv/.made ## build dist/*.tar.gz, and dist/*.whl from it
	rm -rf dist
	.venv/bin/python -m build --no-isolation

# An environment is created if its stamp is missing or older than its prerequisites; an unfinished one has no stamp.
.venv-demo/.made: requirements/run.txt pyproject.toml
.venv/.made: requirements/dev.txt pyproject.toml
.venv-lowest/.made: requirements/lowest.txt pyproject.toml

.venv-demo/.made .venv/.made .venv-lowest/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'treatsel needs Python 3.11 or newer. Name one: make ... PYTHON=python3.12' >&2; exit 1; }
	@echo 'Installing into $(@D) (a minute or two the first time)'
	test -x $(@D)/bin/pip || $(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python $(LOCKED) -r $<
	$(@D)/bin/python $(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

# pyspark has no wheel: it is built here, with the setuptools of requirements/dev.txt.
.venv/.spark: requirements/spark.txt .venv/.made
	@echo 'Installing pyspark into $(@D) (a minute or two the first time)'
	$(@D)/bin/python $(INSTALL) --no-compile --require-hashes --no-deps --no-build-isolation -r $<
	@touch $@

# Newest versions allowed: make lock UPGRADE=--upgrade
# The oldest versions are always resolved from scratch: after a lower bound is lowered, uv would keep those in the file.
UV = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
UV_LOCK = $(UV) pyproject.toml
BUILD = printf 'editables>=0.5\nhatchling>=1.27\n'

lock: .venv/.made ## write requirements/*.txt again from pyproject.toml
	$(UV_LOCK) $(UPGRADE) --extra dev -o requirements/dev.txt
	$(BUILD) | $(UV_LOCK) $(UPGRADE) --constraint requirements/dev.txt -o requirements/run.txt -
	$(BUILD) | $(UV_LOCK) --upgrade --resolution lowest-direct --extra test -o requirements/lowest.txt -
	grep -o 'pyspark>=[0-9.]*' pyproject.toml | $(UV) $(UPGRADE) -o requirements/spark.txt -
	! grep -n -e '://' -e '^-' requirements/dev.txt requirements/run.txt requirements/lowest.txt requirements/spark.txt

clean: ## remove environments and all files that tools created
	rm -rf .venv .venv-demo .venv-lowest build dist treatsel-demo \
	  .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
