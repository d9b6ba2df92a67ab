# make run [PORT=8501] [DATA=folder] [WATCH=auto]
#                                     the app on 127.0.0.1; DATA holds mnist.npz and cifar10.npz;
#                                     WATCH=auto reloads changed files
# make test                           everything that must hold
# make check | test-engine | test-ui | test-browser   one part of it; WORKERS=4 runs as many files at a time
# make bench [ONLY="scan live"]       what proves a speed or a paper's table, into benchmarks/RESULTS.md
# make screenshots                    pictures of every page into assets/screenshots

PYTHON ?= python3
PORT ?= 8501
WATCH ?= none
WORKERS ?= 2
BIN := .venv/bin
# A file's tests stay together, for they share what was dear to make; a thread each, so that none waits for another.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
SHARED_DATA := $(realpath ../shared/data)
ifneq ($(SHARED_DATA),)
export PRUNING_DATA_DIR ?= $(SHARED_DATA)
endif

.PHONY: run test check test-engine test-ui test-browser bench screenshots
.DEFAULT_GOAL := run

run: .venv/.run-ready
	$(BIN)/streamlit run app.py --server.port $(PORT) --server.fileWatcherType $(WATCH) $(if $(DATA),-- --data-dir "$(DATA)")

test: check test-engine test-ui test-browser
	@echo; echo "== all tests passed =="

check: .venv/.test-ready
	@echo; echo "== lint =="
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@echo; echo "== types =="
	$(BIN)/mypy

test-engine: .venv/.test-ready
	@echo; echo "== engine =="
	$(PYTEST) tests --ignore=tests/ui --ignore=tests/pages --ignore=tests/browser

test-ui: .venv/.test-ready
	@echo; echo "== ui and pages =="
	$(PYTEST) tests/ui tests/pages

test-browser: .venv/.test-ready
	@echo; echo "== real browser =="
	$(PYTEST) tests/browser -rs

bench: .venv/.test-ready
	$(BIN)/python benchmarks/_run.py $(ONLY)

screenshots: .venv/.test-ready
	PYTHONPATH=. $(BIN)/python tests/browser/screenshots.py assets/screenshots --widths 1280 --ratio 0.25 --scan --runs

# The stamps make a second call instant; touching a requirements file installs again.
.venv/.run-ready: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/.test-ready: requirements.txt requirements-test.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-test.txt
	@touch $@ .venv/.run-ready

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; name one with PYTHON=..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
