PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: demo test check bench reports clean

demo: $(VENV)/.installed
	$(BIN)/curate demo --out demo

test: $(VENV)/.tested
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_house.py

bench: $(VENV)/.tested
	$(BIN)/python reports/performance/run.py

reports: $(VENV)/.tested
	$(BIN)/python reports/performance/run.py
	$(BIN)/python reports/nuclei_label_errors/run.py
	$(BIN)/python reports/guarantees/run.py
	$(BIN)/python reports/learning/run.py
	$(BIN)/python reports/review_savings/run.py
	$(BIN)/python reports/segmenter_scores/train.py --out build/nuclei_sam
	$(BIN)/python reports/segmenter_scores/run.py --model build/nuclei_sam

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "curate needs Python 3.11 or newer: make demo PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip
	$(PIP) --editable .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(PIP) --editable ".[models]" --group dev
	sh tests/install_browser.sh
	touch $@

clean:
	rm -rf $(VENV) demo build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
