#!/usr/bin/env bash
# Builds what is given to others, into target/packages: one static binary, its bill of materials when the tool for it is
# there, and the checksums of both. docs/RELEASE.md says what it needs.
#
#   packaging/dist.sh [TARGET]        default: x86_64-unknown-linux-musl
#
# The same source, lock file and toolchain give the same bytes, in whatever folder they lie: paths of this machine are replaced.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${1:-x86_64-unknown-linux-musl}"
build="${CARGO_TARGET_DIR:-$PWD/target}"
crates="${CARGO_HOME:-$HOME/.cargo}"
out="$build/packages"
mkdir -p "$out"

# For C (SQLite, ring), which hears nothing of rustc's flags.
export CFLAGS="-ffile-prefix-map=$PWD=/src -ffile-prefix-map=$crates=/cargo -ffile-prefix-map=$build=/build"
export SOURCE_DATE_EPOCH=0
cargo build --profile dist --locked --bin agent --target "$target" --config \
    "target.$target.rustflags=['--remap-path-prefix=$PWD=/src', '--remap-path-prefix=$crates=/cargo', '--remap-path-prefix=$build=/build']"
cp "$build/$target/dist/agent" "$out/agent-$target"

if cargo cyclonedx --version > /dev/null 2>&1; then
    packaging/sbom.sh "$target" > "$out/agent-$target.cdx.json"
else
    echo "no bill of materials: cargo install cargo-cyclonedx --locked" >&2
fi
cd "$out"
sha256sum "agent-$target"* | tee SHA256SUMS
