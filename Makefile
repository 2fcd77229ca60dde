# Every target makes .venv, and installs this project into it, when that is missing or out of date; nothing else is
# needed but Python 3.11 or later and make. Other interpreters: make check PYTHON=python3.13

PYTHON ?= python3
WORKERS ?= auto
MUTANTS ?= 1
ARGS ?=
VENV = .venv
RUN = $(VENV)/bin/python
INSTALLED = $(VENV)/.installed

.PHONY: help check test soak fuzz mutants lint bench detect readme vectors needed spec faults reports backends

help:
	@echo "make check    judge PyTorch's MultiMarginLoss, clause by clause"
	@echo "make test     run the tests (ARGS='-k kink' selects; WORKERS=2 sets the number of processes)"
	@echo "make soak     many faulty adapters in one run, in random order (ARGS='--rounds 20')"
	@echo "make fuzz     changed reports, vectors, answers and files of failures (EXAMPLES=20000: so many of each)"
	@echo "make mutants  one change at a time to the reference: a test fails, or reference/mutants.toml says why none does"
	@echo "make lint     ruff, mypy, and that every generated file is current"
	@echo "make bench    time this package, PyTorch and others, and the suite (20 quiet minutes; ARGS=--quick: less of it)"
	@echo "make detect   known faults caught by this suite and by PyTorch's own tests (a quarter of an hour of one core)"
	@echo "make reports  check every shipped backend and write reports/published (ARGS=torch: one of them)"
	@echo "make backends install other frameworks, each apart (9 GB), check them, and write reports/published"
	@echo "make spec     write reference/SPEC.md again"
	@echo "make faults   write conformance/FAULTS.md, and the numbers of 'multimargin clauses', again"
	@echo "make vectors  write the golden vectors again"
	@echo "make needed   write again which golden vector each clause needs (a quarter of an hour of one core; ARGS='-j 4')"
	@echo "make readme   write the README's outputs again"

# Status 0 and 1 are both answers: to find PyTorch's faults is what the check is for.
check: $(INSTALLED)
	@$(RUN) -m multimargin_conformance.cli check torch $(ARGS) || { \
	  status=$$?; test $$status -eq 1 || exit $$status; \
	  echo "make check: the check ended with status 1: PyTorch does not do what the clauses above say"; }

test: $(INSTALLED)
	@$(RUN) -m pytest -q -n $(WORKERS) --maxprocesses 8 --dist worksteal $(ARGS)

soak: $(INSTALLED)
	@$(RUN) scripts/soak.py $(ARGS)

fuzz: $(INSTALLED)
	@MULTIMARGIN_FUZZ=$${EXAMPLES:-2000} $(RUN) -m pytest -q -n $(WORKERS) conformance/tests/test_fuzz.py $(ARGS)

# mutmut copies and changes the package that stands beside its configuration.
mutants: $(INSTALLED)
	@$(RUN) -c 'import mutmut' 2>/dev/null || \
	  $(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[mutation]'
	@rm -rf .mutants && mkdir .mutants
	@ln -s ../pyproject.toml ../reference/multimargin_reference ../reference/tests .mutants
	@cd .mutants && ../$(RUN) -m mutmut run --max-children $(MUTANTS)
	@$(RUN) scripts/mutants.py

lint: $(INSTALLED)
	@$(MAKE) --no-print-directory -j 4 $(LINTS)

# The slowest first. What README.md shows of commands conformance/tests/test_readme.py compares.
LINTS = lint-vectors lint-types lint-needed lint-ruff lint-generated
.PHONY: $(LINTS)
lint-vectors:
	$(RUN) -m multimargin_vectors.generate --check
lint-types:
	$(RUN) -m mypy
	$(RUN) -m mypy --strict scripts benchmarks examples/consume_vectors.py
lint-needed:
	$(RUN) -m multimargin_conformance.needed --check
lint-ruff:
	$(RUN) -m ruff check --quiet
	$(RUN) -m ruff format --check --quiet
lint-generated:
	$(RUN) -m multimargin_reference.spec --check
	$(RUN) -m multimargin_conformance.faults --check
	$(RUN) scripts/readme.py --check file table section diff

bench: $(INSTALLED)
	@$(RUN) -c 'import gmpy2, jax, matplotlib' 2>/dev/null || \
	  $(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@$(RUN) benchmarks/speed.py $(if $(ARGS),$(ARGS),--output benchmarks)

detect: $(INSTALLED)
	@$(RUN) benchmarks/detection.py \
	  $(if $(ARGS),$(ARGS),--output benchmarks/detection.json --markdown benchmarks/detection.md)

spec: $(INSTALLED)
	@$(RUN) -m multimargin_reference.spec

faults: $(INSTALLED)
	@$(RUN) -m multimargin_conformance.faults

vectors: $(INSTALLED)
	@$(RUN) -m multimargin_vectors.generate

needed: $(INSTALLED)
	@$(RUN) -m multimargin_conformance.needed $(ARGS)

readme: $(INSTALLED)
	@$(RUN) scripts/readme.py

reports: $(INSTALLED)
	@$(RUN) scripts/publish.py $(ARGS)

# Says first what it will install; ARGS='paddle mlx' chooses, ARGS=--dry installs nothing.
backends: $(INSTALLED)
	@$(RUN) scripts/backends.py $(ARGS)

$(INSTALLED): pyproject.toml constraints.txt
	@test -e $(VENV) || { $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || { \
	    echo "make: $(PYTHON) is `$(PYTHON) --version 2>/dev/null || echo missing`, but should be Python 3.11 or later:" \
	      "make PYTHON=/path/to/python3" >&2; exit 1; }; \
	  echo "making $(VENV) with `$(PYTHON) --version`"; \
	  $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; }
	@$(RUN) -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || { \
	  echo "make: $(VENV) has no pip, or no Python 3.11 or later: remove it and run make again" >&2; exit 1; }
	@echo "installing multimargin[dev,torch] into $(VENV) (the first time this downloads PyTorch)"
	@$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,torch]'
	@touch $@
