PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt

# Each of the tests' processes would compile the package's modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo demo-engine test test-quick test-slow test-tools check docs bench fuzz reports clean

demo: $(VENV)/.installed
	$(BIN)/curate demo --out demo

# The data engine on drawn scenes, with simulated people: 70 seconds of one core, three minutes of
# two that are shared with much else.
demo-engine: $(VENV)/.models
	rm -rf build/demo-engine
	$(BIN)/python examples/06_engine.py build/demo-engine 76 60 3

# Three workers for two cores, since a fifth of their time is waiting for browsers and servers. One
# that has nothing left takes over tests of the others, so that all end together.
test: $(VENV)/.tested
	$(BIN)/python -m pytest --numprocesses 3 --dist worksteal --durations=60 $(ARGS)

# What is pure computing, in a minute: no browser, no server, no other process, few random cases.
QUICK := tests/rle tests/formats tests/scorers tests/curation \
	--ignore tests/formats/test_habits.py --ignore tests/formats/test_packed_contract.py
test-quick: $(VENV)/.tested
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal --quiet \
		--hypothesis-profile quick $(QUICK) $(ARGS)

# What takes minutes: fifteen times as many random cases, every model, a hundred kills, and Firefox.
test-slow: $(VENV)/.tested $(VENV)/.firefox
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal -m "slow or hypothesis" \
		--hypothesis-profile thorough $(ARGS)

# Other projects' own programs, each in an environment of its own, on what curate writes.
test-tools: $(VENV)/.tested .venv-tools/.installed .venv-label-studio/.installed
	$(BIN)/python -m pytest tests/exchange/test_real_parsers.py \
		tests/exchange/test_real_label_studio.py tests/write/test_write_real_parsers.py $(ARGS)

check: $(VENV)/.tested docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	for one in tests/*/conftest.py; do $(BIN)/mypy $$one || exit 1; done
	$(BIN)/python -m pytest -q tests/test_house.py

# The site in build/site; a broken link, or a page outside of the navigation, fails.
docs: $(VENV)/.tested
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

# Mutated inputs for every reader, for so many seconds, going on where the last run stopped.
SECONDS ?= 60
fuzz: $(VENV)/.tested
	$(BIN)/python -m fuzz --seconds $(SECONDS) $(ARGS)

bench: $(VENV)/.tested
	$(BIN)/python reports/performance/run.py
	$(BIN)/python reports/performance/report_page.py 100000 1000000
	$(BIN)/python reports/review/run.py
	$(BIN)/python reports/review/latency.py
	$(BIN)/python reports/writing_back/run.py large
	$(BIN)/python reports/notebook/run.py

reports: $(VENV)/.tested
	$(BIN)/python reports/performance/run.py
	$(BIN)/python reports/nuclei_label_errors/run.py
	$(BIN)/python reports/guarantees/run.py
	$(BIN)/python reports/learning/run.py
	$(BIN)/python reports/review_savings/run.py
	$(BIN)/python reports/round_trips/run.py
	$(BIN)/python reports/diff/run.py --data ../shared/data
	$(BIN)/python reports/exports/run.py
	$(BIN)/python reports/writing_back/run.py
	$(BIN)/python reports/true_reasons/run.py drawn
	$(BIN)/python reports/segmenter_scores/train.py --out build/nuclei_sam
	$(BIN)/python reports/segmenter_scores/run.py --model build/nuclei_sam
	$(BIN)/python reports/subsets/run.py

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "curate needs Python 3.11 or newer: make demo PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip
	$(PIP) --editable .
	# What an earlier `pip install .` compiled stays behind there, and would hide the package.
	rm -rf $(VENV)/lib/python3*/site-packages/curate
	touch $@

$(VENV)/.models: $(VENV)/.installed
	$(PIP) --editable ".[models]"
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(PIP) --editable ".[models]" --group dev
	sh tests/install_browser.sh
	touch $@

$(VENV)/.firefox: $(VENV)/.tested
	sh tests/install_browser.sh firefox
	touch $@

.venv-tools/.installed:
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/python -m pip install --quiet \
		datumaro==1.13.12 cvat-sdk==2.80.0 datasets==5.2.0 pillow pycocotools scikit-image
	.venv-tools/bin/python -m pip install --quiet --no-deps fiftyone==1.22.1
	touch $@

.venv-label-studio/.installed:
	$(PYTHON) -m venv .venv-label-studio
	.venv-label-studio/bin/python -m pip install --quiet label-studio==1.23.2
	touch $@

clean:
	rm -rf $(VENV) .venv-tools .venv-label-studio demo build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
