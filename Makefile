# `make demo` and `make test` need Python 3.11 or newer with venv, and make; nothing else.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint requirements/constraints.txt
# On two cores more threads only get into each other's way.
export TOKENIZERS_PARALLELISM ?= true

.PHONY: demo test check format docs bench bench-convexity bench-peers example-ica \
	example-convexity example-mt example-sim example-toy clean

demo: .venv/demo.installed
	$(PY) -m actlas demo

# Minutes on two cores; `make example-ica QUICK=--quick` is a try.
example-ica: .venv/demo.installed
	$(PY) -m examples.ica_universal $(QUICK)

# Toy models beside their theory; `make example-toy QUICK=--quick` is a try.
example-toy: .venv/demo.installed
	$(PY) -m examples.capacity_toy $(QUICK)

# Likewise; `make example-convexity DATA="--data FOLDER"` adds tasks of that folder.
example-convexity: .venv/examples.installed
	$(PY) -m examples.convexity_finetuning $(QUICK) $(DATA)

# Likewise, on translation models of its own.
example-mt: .venv/examples.installed
	$(PY) -m examples.decomposition_mt $(QUICK)

# Smooth InfoMax and its relatives on synthetic syllables; DATA adds spoken digits (fsdd/).
example-sim: .venv/examples.installed
	$(PY) -m examples.sim_speech $(QUICK) $(DATA)

# Tests use one thread each; files go whole to one process, which makes their fixtures.
JOBS ?= 2
test: .venv/dev.installed
	$(PY) -m pytest -n $(JOBS) --dist loadfile

check: .venv/dev.installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m tools.lint_imports
	$(PY) -m tools.docs --check

format: .venv/dev.installed
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

docs: .venv/dev.installed
	$(PY) -m tools.docs

bench: .venv/dev.installed
	$(PY) -m benchmarks

# The published package has an environment of its own; it takes about two minutes to be compared.
bench-convexity: .venv/dev.installed .venv-nnconvexity/installed
	$(PY) -m benchmarks convexity

# Takes an hour and 12 GB in TMPDIR; `make bench-peers SENTENCES=400` is a short try.
SENTENCES ?= 4000
bench-peers: .venv/dev.installed .venv-peers/installed
	$(PY) -m benchmarks.peers --sentences $(SENTENCES)

clean:
	rm -rf .venv .venv-peers .venv-nnconvexity demo

.venv/bin/python:
	$(PYTHON) -m venv .venv

# torch goes first and by itself: unpinned, pip would fetch gigabytes of CUDA.
.venv/torch.installed: requirements/constraints.txt | .venv/bin/python
	$(INSTALL) torch
	touch $@

.venv/demo.installed: pyproject.toml .venv/torch.installed
	$(INSTALL) --editable ".[demo]"
	touch $@

.venv/examples.installed: pyproject.toml .venv/torch.installed
	$(INSTALL) --editable ".[examples]"
	touch $@ .venv/demo.installed

.venv/dev.installed: pyproject.toml .venv/torch.installed
	$(INSTALL) --editable ".[dev]"
	touch $@ .venv/demo.installed .venv/examples.installed

.venv-peers/installed: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip --disable-pip-version-check install --quiet $$(grep '^torch==' $<)
	.venv-peers/bin/pip --disable-pip-version-check install --quiet --requirement $<
	touch $@

.venv-nnconvexity/installed: benchmarks/peers/nnconvexity.txt
	$(PYTHON) -m venv .venv-nnconvexity
	.venv-nnconvexity/bin/pip --disable-pip-version-check install --quiet --requirement $<
	.venv-nnconvexity/bin/pip --disable-pip-version-check install --quiet --no-deps nnconvexity==0.1.1
	touch $@
