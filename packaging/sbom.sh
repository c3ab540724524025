#!/usr/bin/env bash
# Prints the bill of materials of one target (CycloneDX 1.5, JSON): every crate that the binary is made of, macros included, from the
# lock file. Without a time, a random number or a path of this machine, so that the same source gives the same bytes.
#
#   packaging/sbom.sh [TARGET]        default: x86_64-unknown-linux-musl
set -euo pipefail
cd "$(dirname "$0")/.."
target="${1:-x86_64-unknown-linux-musl}"
name="sbom-$$"
trap 'rm -f "$name.json"' EXIT
SOURCE_DATE_EPOCH=0 cargo cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps \
    --target "$target" --override-filename "$name" >&2
sed "s|$PWD|/src|g" "$name.json"
