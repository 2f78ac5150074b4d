# `make demo` and `make test` are all you need; `make help` lists the rest.
# Python 3.11 or newer is found as python3; another one: make venv PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
UV := $(VENV)/bin/uv
UV_RANGE := uv>=0.7,<1
DEMO_OUT := runs/demo
JOBS ?= 1
# of make requirements: --upgrade takes the newest versions that the ranges allow
LIFT ?=
# parts of course.toml to hand out: make release PARTS='one_stage published'
PARTS ?=
# where students get the course: make release REPOSITORY=https://github.com/YOU/COURSE
REPOSITORY ?=
# written last, so an interrupted installation is repeated
STAMP := $(VENV)/.installed
.DEFAULT_GOAL := help
.PHONY: help venv test demo notebooks photo-weights site nbgrader release mutation causes lint \
  format requirements upgrade clean

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /|/' \
	  | awk -F'|' '{ printf "  make %-14s%s\n", $$1, $$2 }'

venv: $(STAMP) ## only set up: .venv with every package of requirements.txt

$(STAMP): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: $(PYTHON) is missing or older than Python 3.11; install Python 3.11" \
	    "or newer, or name it: make venv PYTHON=python3.12" >&2; exit 1; }
	@rm -f $(STAMP)
	@$(RUN) -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || $(PYTHON) -m venv --clear $(VENV) || { \
	  echo "error: $(PYTHON) could not make the folder $(VENV); on Debian and Ubuntu" \
	    "install the package python3-venv, then run make again" >&2; exit 1; }
	@echo "Installing the packages of requirements.txt into $(VENV) ..."
	@$(RUN) -m pip install --quiet --disable-pip-version-check '$(UV_RANGE)' || { \
	  echo "error: pip could not install uv into $(VENV); check the network (and pip's" \
	    "settings, if you use a mirror or a proxy), then run make again" >&2; exit 1; }
	@# uv does not read pip's settings; where only those lead to the packages, pip does it
	@# compiled here, as pip does it: a sandbox writes nothing, it would compile each time
	@$(UV) pip install --quiet --python $(RUN) --compile-bytecode -r requirements.txt \
	  || { echo "uv did not succeed; trying pip, which is slower" >&2; \
	       $(RUN) -m pip install --disable-pip-version-check -r requirements.txt; } || { \
	  echo "error: the packages of requirements.txt could not be installed; read the" \
	    "message above, check network and disk space, then run make again" >&2; exit 1; }
	@touch $(STAMP)

test: lint ## lint, check types, and run all tests (at most 12 minutes on 2 cores)
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto --dist loadfile --no-loadscope-reorder

demo: $(STAMP) ## draw, train, evaluate, grade a small class (at most 5 minutes)
	$(RUN) -m helpers.demo --out $(DEMO_OUT) --class-report class/grades/index.html
	OMP_NUM_THREADS=1 $(RUN) -m grader demo --out $(DEMO_OUT)/class

notebooks: $(STAMP) ## run all notebooks, solved and as released (about 6 minutes on 2 cores)
	OMP_NUM_THREADS=1 $(RUN) -m tests.run_notebooks

photo-weights: $(STAMP) ## a detector for photographs as one file: build/photo_weights (VOC 2007; 15 minutes)
	OMP_NUM_THREADS=1 $(RUN) -m helpers.photo_weights

nbgrader: $(STAMP) ## make a course for nbgrader and grade three submissions (10 minutes)
	$(RUN) -m tests.run_nbgrader --out build/nbgrader

site: $(STAMP) ## the notebooks as pages, run, without solutions: build/site (6 minutes)
	rm -rf build/site
	OMP_NUM_THREADS=1 $(RUN) -m grader site --out build/site --repository '$(REPOSITORY)'

release: $(STAMP) ## make the students' version: build/student and build/student.zip
	$(RUN) -m grader release --out build/student --zip build/student.zip \
	  --repository '$(REPOSITORY)' $(if $(PARTS),--parts $(PARTS))

mutation: $(STAMP) ## change the solution in 1,100 ways: does a hidden test notice? (5 minutes)
	OMP_NUM_THREADS=1 $(RUN) -m benchmarks.mutation --jobs $(JOBS)

causes: $(STAMP) ## is the cause that a test names true? every mistake in every variant (45 minutes)
	OMP_NUM_THREADS=1 $(RUN) -m benchmarks.causes

lint: $(STAMP) ## check style, format and types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(STAMP) ## put the code into its format and repair what can be repaired
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

requirements: $(STAMP) ## pin again after a change of pyproject.toml (keeps old pins)
	$(UV) pip compile --quiet --universal --python-version 3.11 --all-extras \
	  --no-emit-index-url --no-emit-find-links --annotation-style line \
	  --custom-compile-command "make requirements" $(LIFT) \
	  --output-file requirements.txt pyproject.toml
	$(RUN) .ci/conda_pins.py

upgrade: ## lift every pin within the ranges of pyproject.toml, then run everything
	$(MAKE) requirements LIFT=--upgrade
	$(MAKE) test
	$(MAKE) demo notebooks
	git --no-pager diff --stat -- requirements.txt environment.yml

clean: ## remove .venv and caches; runs/, data/ and build/ stay, people work there
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
