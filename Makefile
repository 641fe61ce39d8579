# What one does with this repository. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench build clean

# Programs and control planes that this project built outside the checkout.
cache := $(or $(KEYSTOW_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/keystow)
deny_version := 0.20.2
export PATH := $(cache)/bin:$(PATH)

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s  %s\n", $$1, $$2 }' "$(firstword $(MAKEFILE_LIST))"

demo: ## inject the examples by a real API server, run their pods, show what the applications see
	@cargo build --locked --bin keystow --example demo
	@cargo run --quiet --locked --example demo

test: ## set up a control plane, run all tests
	@tests/run.sh

lint: ## check formatting, lints, licences and sources of dependencies
	cargo fmt --check
	cargo clippy --locked --all-targets --all-features -- --deny warnings
	@command -v cargo-deny >/dev/null || { printf '%s\n' \
	  'make lint: needs cargo-deny; get it with: cargo install cargo-deny --locked --version $(deny_version)' >&2; exit 1; }
	cargo deny --locked --all-features check bans licenses sources

bench: ## run the benchmarks
	cargo bench --locked --all-features --benches

build: ## build target/release/keystow with all stores
	cargo build --locked --release --all-features --bin keystow

clean: ## remove what was built in the checkout
	@if [[ -n "$${CARGO_TARGET_DIR:-}" ]]; then cargo clean --package keystow; else cargo clean; fi
	@if [[ -d "$(cache)" ]]; then echo 'kept for the next time: $(cache)'; fi
