# `make help` lists the targets. CI runs the same words (.ci/run).

.PHONY: help verify fmt lint test prepare deny fuzz

help: ## This list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

verify: fmt lint test ## What CI checks

fmt: ## Formatting
	cargo fmt --all --check

lint: ## Clippy, warnings denied
	cargo clippy --workspace --all-targets -- -D warnings

test: ## All tests; PostgreSQL and containers are started as needed
	cargo test --workspace

deny: ## Licences, bans and sources of the dependencies (needs cargo-deny)
	cargo deny check bans licenses sources

URL ?= http://127.0.0.1:9595

fuzz: ## schemathesis 4.32 over a running installation at URL; CYBERBRAIN_API_KEY is an admin's. It launches, cancels and deletes
	schemathesis run $(URL)/api/v1/openapi.json $(FUZZ)

prepare: ## Rewrite common/.sqlx after a change of SQL (needs psql and a scratch server: PREPARE_URL=postgres://…)
	rm -rf common/.sqlx && mkdir common/.sqlx
	SQLX_OFFLINE=true cargo check -q -p apalis-postgres
	touch common/src/lib.rs
	SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$(CURDIR)/common/.sqlx DATABASE_URL=$(PREPARE_URL) cargo check -p cyberbrain-common
