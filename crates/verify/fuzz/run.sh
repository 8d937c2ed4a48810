#!/usr/bin/env bash
# Coverage-guided fuzzing of the verifiers on stable Rust: libFuzzer, with LLVM's coverage pass switched on by hand.
# Needs a C++ compiler.
#
#   run.sh TARGET [libFuzzer options, such as -max_total_time=3600 -fork=2]      (targets: math, prose)
#
# Inputs that were found stand in corpus/TARGET, those that fail in artifacts/TARGET; both are kept out of the repository,
# and a failing one becomes a case of the tests. RETORT_TEST_DATA names a folder whose verifier banks are the first inputs.
set -euo pipefail
cd "$(dirname "$0")"
target=$1
shift

host=$(rustc -vV | sed -n 's/^host: //p')
coverage="-Cpasses=sancov-module"
for option in level=4 inline-8bit-counters pc-table trace-compares; do
  coverage+=" -Cllvm-args=-sanitizer-coverage-$option"
done
# With a target named, build scripts and macros are left alone. One unit of code, since counters of several are not all linked.
RUSTFLAGS="$coverage -Ccodegen-units=1 -Cdebug-assertions=on -Cdebuginfo=1 --cfg fuzzing" \
  cargo build --quiet --release --target "$host" --bin "$target"

mkdir -p "corpus/$target" "artifacts/$target" seeds
if [ -n "${RETORT_TEST_DATA:-}" ]; then
  python3 seeds.py "$RETORT_TEST_DATA/verifiers" seeds
fi
exec "${CARGO_TARGET_DIR:-target}/$host/release/$target" "corpus/$target" seeds \
  -dict=math.dict -max_len=600 -timeout=20 -rss_limit_mb=2048 -artifact_prefix="artifacts/$target/" "$@"
