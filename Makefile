# Thin on purpose: the work is in scripts/, which run without make just as well.
.DEFAULT_GOAL := help
.PHONY: help run demo verify doctor build test test-repeat mutants bench-check fresh-check stop clean-data

define HELP
Muneem keeps the books of apps that sell minutes.

  make run         everything in the foreground on http://127.0.0.1:8080; Ctrl-C stops it, the data stay
  make demo        in a second terminal: tells the product as a story against it
  make verify      replays the journal and compares every balance with the read models
  make doctor      checks configuration and reach of each part, and says the mend
  make test        all that CI runs, on throw-away instances
  make test-repeat runs the suite N times on a busy machine: make test-repeat N=10
  make mutants     breaks the code in known ways; fails if a test does not notice
  make bench-check measures the ledger for a minute; fails if it is slower than it was
  make fresh-check runs both commands of the README on a bare Debian in a folder; before each release
  make build       the release binary, target/release/muneem
  make stop        ends a make run elsewhere and what a killed one left behind
  make clean-data  as stop, then removes the data of make run

Arguments: make demo ARGS=--json. Other commands: scripts/with-env.sh muneem --help
Set DATABASE_URL or REDIS_URL to use your own servers; more settings: the head of scripts/run.sh.
endef
export HELP

help:
	@printf '%s\n' "$$HELP"

run:
	@exec scripts/run.sh

demo verify doctor:
	@exec scripts/with-env.sh muneem $@ $(ARGS)

build:
	cargo build --release --locked -p muneem

test:
	@exec scripts/test.sh

test-repeat:
	@exec scripts/test-repeat.sh $(N)

mutants:
	@exec scripts/mutants.sh $(ONLY)

bench-check: build
	@./target/release/muneem bench check

fresh-check:
	@exec scripts/fresh-check.sh

stop:
	@exec scripts/stop.sh

clean-data:
	@exec scripts/stop.sh --clean-data
