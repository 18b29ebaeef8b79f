# make demo and make test set up everything they need; the other targets too.

VENV := .venv
BIN := $(VENV)/bin
# As many test processes as there are cores; `make test JOBS=1` runs them one after the other.
JOBS ?= auto

.PHONY: help setup demo test verify quality lint format rtl bench clean

help:
	@echo "make setup    create $(VENV) with locked versions, and say what else is missing"
	@echo "make demo     a real DiT layer through generated Verilog; writes build/demo/report.html"
	@echo "make test     all tests"
	@echo "make verify   all tests and the long ones (nightly)"
	@echo "make quality  200 images in each precision, told from float32 or not; writes build/quality/report.html"
	@echo "make lint     ruff and pyright"
	@echo "make rtl      regenerate rtl/ and docs/registers.md"
	@echo "make bench    the figures of the README"

setup:
	@sh scripts/setup.sh

demo: setup
	@$(BIN)/mixdit demo

test: setup
	@$(BIN)/pytest -n $(JOBS) --dist worksteal -m "not nightly"

verify: setup
	@$(BIN)/pytest -n $(JOBS) --dist worksteal

quality: setup
	@$(BIN)/mixdit quality --samples 200

lint: setup
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/pyright

format: setup
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

rtl: setup
	@$(BIN)/python -m mixdit_hw.emit --refresh

bench: setup
	@$(BIN)/python benchmarks/figures.py --write

clean:
	rm -rf build sim_build
