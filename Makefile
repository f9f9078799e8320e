# `make` alone lists what can be made. Each target sets up what it needs; nothing is done twice.

VENV      := .venv
BENCH     := .venv-bench
RUNS      := runs/course
NOTEBOOKS := $(wildcard notebooks/*.ipynb)
JOBS      ?= 2
PINS      := requirements.txt $(wildcard requirements/*.txt)

# The Python that the environment is built from: the first of these that is new enough, or `make PYTHON=... setup`.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$name && break; done)

# $(call install,FOLDER,WHAT): an environment in FOLDER with WHAT in it, by uv where it is installed, else by pip.
define install
	@if [ -z "$(PYTHON)" ]; then echo "Python 3.11 or newer is needed, and was not found; get it from https://www.python.org" >&2; exit 1; fi
	@echo "Installing into $(1); the first time this takes a minute or more."
	@if uv --version >/dev/null 2>&1; then \
		[ -x $(1)/bin/python ] || uv venv --quiet --python "$(PYTHON)" $(1); \
		uv pip install --quiet --python $(1)/bin/python $(2) && uv pip check --quiet --python $(1)/bin/python; \
	else \
		$(1)/bin/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(1); \
		$(1)/bin/python -m pip install --quiet $(2) && $(1)/bin/python -m pip check --quiet; \
	fi
	@touch $(1)/.installed
endef

.DEFAULT_GOAL := help
.PHONY: help setup lab course test lint format notebooks book teach pdf handout answers colab bench card grid models figures project mistakes fuzz clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/.installed ## make the environment in .venv

$(VENV)/.installed: $(PINS) pyproject.toml
	$(call install,$(VENV),-r requirements.txt -e .)

$(BENCH)/.installed: $(PINS) pyproject.toml benchmarks/requirements.txt
	$(call install,$(BENCH),-r requirements.txt -r benchmarks/requirements.txt -e .)

lab: setup ## open JupyterLab on the lessons
	GOMP_SPINCOUNT=$${GOMP_SPINCOUNT:-1000} $(VENV)/bin/jupyter lab --notebook-dir=notebooks

course: setup ## transfer a pretrained network to drawn flowers and compare; then the lessons and the site
	$(VENV)/bin/transfer fit flowers --few 10 --strategy from-scratch --out $(RUNS)/from-scratch
	$(VENV)/bin/transfer fit flowers --few 10 --strategy feature-extraction --out $(RUNS)/feature-extraction
	$(VENV)/bin/transfer fit flowers --few 10 --strategy fine-tuning --out $(RUNS)/fine-tuning
	@$(VENV)/bin/transfer compare $(RUNS)/from-scratch $(RUNS)/feature-extraction $(RUNS)/fine-tuning
	@$(if $(NOTEBOOKS),$(MAKE) --no-print-directory notebooks)
	@$(if $(wildcard book/_toc.yml),$(MAKE) --no-print-directory book)

test: lint ## check the style, then run every test, the lessons included
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(JOBS) --dist loadscope --durations=10 --durations-min=0 tests \
		$(if $(NOTEBOOKS),--nbval --nbval-current-env --nbval-cell-timeout=300 notebooks)

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format: setup ## put the style right
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

notebooks: setup ## execute the lessons and keep their outputs; WORLD=real: on real photos, keeping nothing
ifeq ($(WORLD),real)
	@kept=$$(mktemp -d) && trap 'rm -rf "$$kept"' EXIT && WORLD=real $(VENV)/bin/jupyter nbconvert --to notebook --execute \
		--output-dir "$$kept" $(shell grep -l 'world()' $(NOTEBOOKS) /dev/null)
else
	$(VENV)/bin/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False \
		--ExecutePreprocessor.store_widget_state=False \
		--NotebookExporter.preprocessors=nbconvert.preprocessors.CoalesceStreamsPreprocessor $(NOTEBOOKS)
endif

book: setup ## build the site in book/_build/html from the stored outputs
	-@$(MAKE) --no-print-directory teach
	@rm -rf book/_build
	$(VENV)/bin/jupyter-book build . --config book/_config.yml --toc book/_toc.yml --path-output book -W --keep-going -n
	@$(VENV)/bin/python book/check.py book/_build/html

teach: setup ## add what runs in the browser on two of the site's pages: two networks, and an engine (fetched once)
	@$(VENV)/bin/python -m data.workshop.browser
	@$(VENV)/bin/python -m book.engine

pdf: setup ## print the site, once it is built, into build/transfer-learning.pdf, with contents; needs a Chromium
	@mkdir -p build
	$(VENV)/bin/python -m book.pdf book/_build/html build/transfer-learning.pdf

handout: setup ## lessons without solutions and hints, answers apart, in build/handout; NBGRADER=1: nbgrader's source
	$(VENV)/bin/python -m course.teaching.handout build/handout $(if $(NBGRADER),--nbgrader)

answers: setup ## judge typical wrong answers to the exercises again, for the site and for instructors
	$(VENV)/bin/python -m tests.exercises

colab: setup ## let the lessons install the course where Colab runs them; needs the address in book/_config.yml
	$(VENV)/bin/python -m course.teaching.colab

bench: $(BENCH)/.installed ## time this code and what people use today, side by side
	$(BENCH)/bin/python -m benchmarks

card: setup ## measure the embedded backbone again and write its model card
	$(VENV)/bin/python -m data.workshop.card

grid: setup ## measure which strategy serves how many images and which domain: hours; go on at any time
	$(VENV)/bin/python -m data.workshop.grid

project: setup ## measure what helps in the project of lesson 7: an hour; go on at any time
	$(VENV)/bin/python -m data.workshop.project

models: setup ## measure pretrained networks against targets and sizes, a segmenter and a detector: half an hour
	$(VENV)/bin/python -m data.workshop.cross
	$(VENV)/bin/python -m data.workshop.dense

figures: setup ## measure again what the site's figures to play with show
	$(VENV)/bin/python -m data.workshop.figures

mistakes: setup ## measure again what each common mistake costs
	$(VENV)/bin/python -m tests.mistakes

fuzz: setup ## read 2,000 damaged photos, models and folders: about ten minutes
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m tests.fuzz

clean: ## remove the environments and everything that can be made again
	rm -rf $(VENV) $(BENCH) book/_build book/_static/teach/made runs .pytest_cache .ruff_cache
