# Everything a contributor runs. `make` alone lists it.

CARGO ?= cargo
# One profile for everything, so that two cores build nothing twice. Tests wait for other processes about as long as they compute.
TEST = RUST_TEST_THREADS=$$((2 * $$(getconf _NPROCESSORS_ONLN))) $(CARGO) test --workspace --locked

.DEFAULT_GOAL := help
.PHONY: help run test test-tools lint soak upgrade fuzz bench

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

run: ## Serve with jeton.toml on the embedded store
	$(CARGO) run --release --locked

test: test-tools ## Run every test; installs redis-server, kubectl, a browser, client libraries and linters where they are missing
	$(TEST)

test-tools: # What tests start besides cargo: real servers, never fakes
	@./.ci/require redis-server redis-server
	@./.ci/require kubectl kubernetes-client
	@./.ci/require nginx nginx
	@./.ci/require jq jq
	@./.ci/require 'chromium-headless-shell|chromium|chromium-browser' chromium-headless-shell
	@./.ci/interop
	@./.ci/linters

lint: ## Check format, lints and docs; no warnings
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features --locked -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --workspace --no-deps --locked

soak: test-tools ## Run the long tests, too
	@earlier=$$(./.ci/earlier) && EARLIER_BINARY=$$earlier $(TEST) -- --include-ignored

upgrade: test-tools ## Replace an earlier build by this one under load, and take it back; EARLIER names its commit (the newest tag, or the last commit but one)
	@earlier=$$(./.ci/earlier) && EARLIER_BINARY=$$earlier $(TEST) --test suite -- --ignored --nocapture upgrade::

fuzz: ## Fuzz what is read from strangers, each target for SECONDS_A_TARGET (300); `make test` does for some seconds
	@./.ci/fuzz

bench: ## Measure what everything costs, with real processes; docs/performance.md explains the tables
	@./.ci/require redis-server redis-server
	@./.ci/require curl curl
	@./.ci/bench
