# make demo    a network, a code in closed form and shallow codes on two small datasets, in an environment of its own
# make test    the test suite, in three processes
# make lint    ruff and mypy
# make tables  every table of reproduce.py without a download, then docs/results.md from them: 91 cells to train
# make clean   removes the environment and everything the demo made

PYTHON ?= python3
BIN := .venv/bin
TABLES := backbones directions losses centres semantics supervision mask depth long transfer efficiency frames vhmt vhmt-network vhmt-tam vhmt-losses

demo: .venv/installed .venv/seglearn
	$(BIN)/python -m dataset.digits
	$(BIN)/python -m dataset.watch
	$(BIN)/python reproduce.py --table winners --datasets watch digits --rows graphcode nograph s5vh --bits 16 --no-timing --out results/demo

tables: .venv/installed
	$(BIN)/python reproduce.py --table main --datasets digits --bits 16 32 64 --seeds 3
	for table in $(TABLES); do $(BIN)/python reproduce.py --table $$table --bits 16 || exit 1; done
	$(BIN)/python -m tables.grid.collect

test: .venv/installed-dev
	$(BIN)/python -m pytest

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy .

clean:
	rm -rf .venv results/demo $(foreach name,digits watch,data/$(name) checkpoint/$(name) logs/$(name))

.venv/installed: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/seglearn: .venv/installed  # read for its recordings, never imported: what it needs stays away
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps seglearn==1.2.5
	touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

.PHONY: demo tables test lint clean
