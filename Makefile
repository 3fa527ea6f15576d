# The commands of the project. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help run test lint bench fuzz clean

help: ## what can be made
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## start the server with everything embedded (and build the hypersend command beside it)
	cargo build --release --locked -p hypersend-server -p hypersend-cli
	./target/release/hypersend-server

test: ## formatting, lints and the whole test suite
	./scripts/test

lint: ## formatting, lints and documentation, without building anything
	./scripts/lint

bench: ## measure against the bars of ARCHITECTURE.md; rewrites benches/RESULTS.md
	cargo build --release --locked -p hypersend-server -p hypersend-relay -p hypersend-benches
	./target/release/hypersend-bench --date "$$(date +%F)" --out benches/RESULTS.md

fuzz: ## two minutes of hostile bytes at the frame decoder (needs a nightly Rust and cargo-fuzz)
	cd protocol/fuzz && ./seed.sh && cargo +nightly fuzz run decode -- -max_total_time=120

clean: ## forget what was built
	cargo clean
