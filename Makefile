# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo docs test test-all test-browser fuzz mutate check format bench clean

install: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "tomoset needs Python 3.11 or newer; say make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	$(BIN)/python -m compileall -q src  # pip compiles packages, but not what is installed in place
	touch $@

demo: install
	PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/demo.sh

docs: install
	$(BIN)/python docs/make_rules.py
	$(BIN)/python docs/make_pictures.py

test: install
	$(BIN)/python -m pytest -n 2

test-all: install
	$(BIN)/python -m pytest -n 2 -m 'not browser'

# A report and the viewer in a real browser, which the system has to bring.
test-browser: install
	@command -v chromium || command -v chromium-browser || command -v google-chrome || { echo 'needs Chromium: apt-get install chromium'; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[browser]'
	$(BIN)/python -m pytest -m 'browser and not slow' tests/browser

fuzz: install
	$(BIN)/python -m tests.fuzzing 10000 1

mutate: install
	$(BIN)/python -m tests.mutating 60 1

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install
	for b in benchmarks/bench_*.py; do echo "== $$b"; $(BIN)/python $$b || exit 1; done

clean:
	rm -rf $(VENV) build dist demo_project .pytest_cache .mypy_cache .ruff_cache
