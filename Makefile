# Needs git, Python >= 3.11 and make; everything else comes into .venv.
#   make demo    the whole story on a scratch repository (KEEP=DIR leaves it there)
#   make test    all tests, the slow ones last
#   make test-agents   the real agents through a plan each (needs npm; 1.2 GB below build/)
#   make test-engines  a real Slurm on loopback (root, Debian), Kubernetes' own schemas
#   make check   format, lint, types, layers
#   make pictures   those of README, in Chromium
#   make bench   the measurements of benchmarks/ (FULL=1: their baselines to the end)

PYTHON ?= python3
# More than a small machine has cores: tests wait for the programs they start, slow ones half of their time.
JOBS ?= 3
JOBS_SLOW ?= 4
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo pictures read test test-fast test-slow test-agents test-engines check format-check lint types layers format bench clean

demo: $(VENV)/.installed
	PATH="$(CURDIR)/$(BIN):$$PATH" git fleet demo $(if $(KEEP),--keep "$(KEEP)")

test: test-slow

test-fast: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow"

# Compiles all tests, once: each of their workers would do it for itself. What is wrong with them, they say when they run.
read: $(VENV)/.installed-test
	@$(BIN)/python -m pytest --collect-only --quiet >/dev/null || true

# After the fast ones, so that a plain mistake shows in seconds, with `make -j` too.
test-slow: test-fast
	$(BIN)/python -m pytest -n $(JOBS_SLOW) --dist load --maxschedchunk 1 -m slow

# Real programs and a fake model, in a network of their own where that can be had. What npm cannot install is skipped.
AGENTS := build/agents
PACKAGES := @anthropic-ai/claude-code @openai/codex @google/gemini-cli opencode-ai
ALONE := $(if $(shell unshare -rn ip link set lo up 2>/dev/null && echo yes),unshare -rn sh -c 'ip link set lo up; exec "$$@"' sh)

test-agents: $(VENV)/.installed-test
	@command -v npm >/dev/null || { echo "make test-agents needs node and npm; on Debian: apt install npm" >&2; exit 1; }
	@mkdir -p $(AGENTS)
	@for package in $(PACKAGES); do \
	  npm install --prefix $(AGENTS) --no-audit --no-fund --loglevel=error $$package || \
	    echo "cannot be had from npm: $$package" >&2; done
	$(ALONE) $(BIN)/python -m pytest -p no:xdist -rs --basetemp=$(CURDIR)/$(AGENTS)/work tests/agents/real.py tests/agents/guarded.py

# What starts workers elsewhere. Without root or Debian's packages of Slurm that part is skipped, and says so.
test-engines: $(VENV)/.installed-test
	$(PIP) install --editable '.[engines]'
	$(BIN)/python -m pytest -p no:xdist -rs tests/engines/real_kubernetes.py tests/engines/real_slurm.py

check: format-check lint types layers

format-check: $(VENV)/.installed-test
	$(BIN)/ruff format --check .

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

layers: $(VENV)/.installed-test
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.installed-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

pictures: $(VENV)/.installed-test
	$(BIN)/python -m tests.pictures

bench: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# One stamp per set of requirements, older than pyproject.toml means: install again.
$(VENV)/.installed: pyproject.toml | $(VENV)/pyvenv.cfg
	$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/pyvenv.cfg
	$(PIP) install --editable '.[test]'
	@touch $@ $(VENV)/.installed

# A half-made environment (Debian without python3-venv) would look finished next time: take it away.
$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "git-fleet needs Python 3.11 or newer; try: make PYTHON=python3.12 demo" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "cannot make a virtual environment; on Debian: apt install python3-venv" >&2; exit 1; }
