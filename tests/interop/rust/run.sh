#!/bin/sh
# The official Rust client against the server at URL. Usage: run.sh URL; $NATSD is the server's program.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target="${LUNIX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lunix}/interop-rust"
cargo build --quiet --locked --manifest-path "$here/Cargo.toml" --target-dir "$target"
exec timeout 300 "$target/debug/lunix-interop-rust" "$1"
