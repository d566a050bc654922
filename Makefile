# Thin: makes the environment, then calls the real tool. `make help` lists the commands.
# Runs and caches have locks of their own, so Snakemake needs none: a killed run leaves nothing to unlock.
PRESET ?= quick
ifneq ($(filter skin-lesions,$(CONDA_DEFAULT_ENV)),)
BIN := $(CONDA_PREFIX)/bin
READY :=
else
BIN := .venv/bin
READY := .venv/ready
endif
export PATH := $(abspath $(BIN)):$(PATH)
export HF_HUB_DISABLE_TELEMETRY := 1
# Large tensors reuse their memory, in large pages, instead of asking the kernel anew at every step; other C libraries ignore this.
export GLIBC_TUNABLES ?= glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=4294967296:glibc.malloc.hugetlb=1
LATEX := latexmk texlive-latex-recommended texlive-latex-extra texlive-fonts-recommended lmodern
SNAKEMAKE = snakemake --cores $(CORES) --quiet rules host progress --rerun-incomplete --nolock --config preset=$(PRESET)
CORES ?= 2
NBVAL = TQDM_DISABLE=1 pytest --nbval-cell-timeout 600

.PHONY: help report test lab data split study notebooks bench latex browser
help:             ## list the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1\t/' | expand -t 20

.venv/ready: pyproject.toml constraints.txt
	python3 -m venv .venv
	.venv/bin/python -m pip install -q --disable-pip-version-check uv
	.venv/bin/uv pip install -q --compile-bytecode --python .venv/bin/python -c constraints.txt -e '.[notebooks,test]'
	touch $@

latex:
	@command -v latexmk >/dev/null || { if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(LATEX) >/dev/null; \
	else echo "LaTeX is missing: install $(LATEX) (Debian names), then run the command again." >&2; exit 1; fi; }

report: $(READY) latex  ## run the notebooks (quick) and build report/<PRESET>.pdf; PRESET=course builds from the committed results
	$(SNAKEMAKE)

browser:
	@command -v $${CHROMIUM:-chromium} >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || echo "No Chromium: the test in a browser is skipped."

test: $(READY) latex browser  ## ruff, pytest with doctests, the quick notebooks, nbval of them and of the solutions
	ruff check .
	pytest
	$(MAKE) report PRESET=quick
	$(NBVAL) --nbval --nbval-sanitize-with tests/nbval.cfg notebooks/0*.ipynb
	$(NBVAL) --nbval-lax notebooks/solutions/*.ipynb

lab: $(READY)           ## open the notebooks in JupyterLab
	cd notebooks && jupyter lab

data: $(READY)          ## fetch and verify HAM10000
	python -m helpers.data

split: $(READY)         ## write data/splits/<source>.csv from the metadata and the confirmed duplicate pairs
	python -m helpers.splits $(if $(filter quick,$(PRESET)),phantom,ham10000)

study: $(READY) latex   ## train what is missing of PRESET, run its notebooks, publish, build the PDF
	$(SNAKEMAKE) study=1

notebooks: report       ## refresh the committed notebooks from the quick run
	python -m helpers.headless refresh

bench: $(READY)         ## measure the speeds that the README quotes
	python -m benchmarks
	python -m helpers.readme
