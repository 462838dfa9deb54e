# make demo    the whole pipeline on the sample dataset, in an environment of its own
# make test    the test suite
# make lint    ruff and mypy
# make clean   removes the environment and everything the demo made

PYTHON ?= python3
BIN := .venv/bin
DIGITS := configs/S5VH/digits.py

demo: .venv/installed
	$(BIN)/python -m dataset.digits
	$(BIN)/python preprocess.py --config $(DIGITS)
	$(BIN)/python train.py --config $(DIGITS) --resume
	$(BIN)/python eval.py --config $(DIGITS) --baselines

test: .venv/installed-dev
	$(BIN)/python -m pytest

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy .

clean:
	rm -rf .venv data/digits checkpoint/digits logs/digits

.venv/installed: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

.PHONY: demo test lint clean
