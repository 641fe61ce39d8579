# What one does with this repository. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench sizes build image clean

# Programs and control planes that this project built outside the checkout.
cache := $(or $(KEYSTOW_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/keystow)
deny_version := 0.20.2
version := $(shell sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)
# What builds the image, and what it is called: make image BUILDER=podman IMAGE=registry.example/keystow:0.1.0
BUILDER ?= $(firstword $(foreach builder,docker podman buildah,$(if $(shell command -v $(builder)),$(builder))))
IMAGE ?= keystow:$(version)
# Features of the demo beyond the default ones: with --all-features its build is that of the tests.
DEMO_FEATURES ?=
export PATH := $(cache)/bin:$(PATH)

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s  %s\n", $$1, $$2 }' "$(firstword $(MAKEFILE_LIST))"

demo: ## inject the examples by a real API server, run their pods, show what the applications see
	@cargo build --locked $(DEMO_FEATURES) --bin keystow --example demo
	@cargo run --quiet --locked $(DEMO_FEATURES) --example demo

test: ## set up a control plane and servers, run all tests
	@tests/run.sh

lint: ## check formatting, lints, licences and sources of dependencies
	cargo fmt --check
	cargo clippy --locked --all-targets --all-features -- --deny warnings
	cargo check --locked --bin keystow --example demo
	@command -v cargo-deny >/dev/null || { printf '%s\n' \
	  'make lint: needs cargo-deny; get it with: cargo install cargo-deny --locked --version $(deny_version)' >&2; exit 1; }
	cargo deny --locked --all-features check bans licenses sources

bench: ## run the benchmarks
	cargo bench --locked --all-features --benches

sizes: ## build the release binary with each feature alone, print how large each is
	@benches/sizes.sh

build: ## build target/release/keystow with all stores
	cargo build --locked --release --all-features --bin keystow

image: ## build the container image, with docker, podman or buildah
	@[[ -n '$(BUILDER)' ]] || { echo 'make image: needs docker, podman or buildah' >&2; exit 1; }
	$(BUILDER) build --build-arg VERSION=$(version) --tag $(IMAGE) \
	  --label org.opencontainers.image.revision="$$(git describe --always --dirty --abbrev=40 --exclude='*')" .

clean: ## remove what was built in the checkout
	@if [[ -n "$${CARGO_TARGET_DIR:-}" ]]; then cargo clean --package keystow; else cargo clean; fi
	@if [[ -d "$(cache)" ]]; then echo 'kept for the next time: $(cache)'; fi
