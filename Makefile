# The project's commands. `make help` lists them.
# The environment is .venv; PYTHON=… chooses what it is made from.

VENV := .venv
PY   := $(VENV)/bin/python
PORT := 8000
# The tests that count how often nb_lib and the real thing agree.
COMPARED := tests/kernel tests/golden tests/extensions tests/link tests/cli tests/kubeproxy tests/engine/test_recorded_answers.py

.DEFAULT_GOAL := help
.PHONY: help env book serve outputs test check fix bench fuzz constraints truth clean

help:                   ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

env: $(VENV)/.dev       ## make .venv with everything, development tools included

book: $(VENV)/.reader   ## execute the chapters and build the HTML
	@$(PY) tools/assets.py
	@$(PY) tools/icons.py
	@$(PY) tools/wheels.py
	@$(PY) tools/book.py
	@$(PY) tools/search.py

serve: book             ## build, then show the book on this machine (PORT=8000)
	@$(PY) -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

outputs: $(VENV)/.reader ## execute the chapters in place and rewrite their stored outputs
	@$(PY) tools/outputs.py

test: $(VENV)/.dev book ## run every test; NB_REQUIRE_ALL=1: nothing may be skipped
	@$(PY) -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

check: $(VENV)/.dev     ## lint, types, import contracts
	@echo '▸ ruff' && $(VENV)/bin/ruff check && $(VENV)/bin/ruff format --check
	@echo '▸ mypy' && $(VENV)/bin/mypy
	@echo '▸ import-linter' && $(VENV)/bin/lint-imports

fix: $(VENV)/.dev       ## format, and mend what ruff can mend
	@$(VENV)/bin/ruff format && $(VENV)/bin/ruff check --fix

bench: $(VENV)/.dev     ## measure, side by side with the real tools
	@$(PY) -m benchmarks

fuzz: $(VENV)/.dev      ## a million damaged inputs, each answered in bounds (ARGS='--inputs N --seed N')
	@nice -n 10 $(PY) -m tests.fuzz $(ARGS)

truth: $(VENV)/.dev     ## ask this machine's kernel, write data/truth.json for the book (root; RULESETS=1200)
	@wrong=0; $(PY) -m tests.kernel --rulesets $(or $(RULESETS),1200) --write data/truth.json || wrong=1; \
	  NB_FIGURES=data/truth.json $(PY) -m pytest -q $(COMPARED) --ignore tests/kernel/test_oracle.py || wrong=1; \
	  echo '▸ data/truth.json is written; `make outputs` shows it in the book'; exit $$wrong

constraints:            ## pin anew what the requirements bring along
	@python3 tools/constraints.py

clean:                  ## remove whatever can be made again
	rm -rf $(VENV) node_modules _build book/_assets/vendor

# ── The environment ─────────────────────────────────────────────────────────────────

$(PY):
	@python=$$(sh tools/find-python.sh "$(PYTHON)") && \
	  echo "▸ environment: $(VENV) with $$($$python --version)" && \
	  rm -rf $(VENV) && $$python -m venv $(VENV)

$(VENV)/.reader: requirements.txt constraints.txt pyproject.toml tools/ipython_kernel_config.py | $(PY)
	@echo '▸ installing requirements.txt'
	@$(PY) -m pip install --disable-pip-version-check --progress-bar off -r requirements.txt
	@mkdir -p $(VENV)/etc/ipython && cp tools/ipython_kernel_config.py $(VENV)/etc/ipython/
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.reader
	@echo '▸ installing requirements-dev.txt'
	@$(PY) -m pip install --disable-pip-version-check --progress-bar off -r requirements-dev.txt
	@touch $@
