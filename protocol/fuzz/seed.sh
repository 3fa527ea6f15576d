#!/bin/sh
# Makes the golden frames the first inputs of the fuzzer. Run from anywhere; needs xxd.
set -eu
cd "$(dirname "$0")"
mkdir -p corpus/decode
grep -v '^#' ../tests/golden.txt | while read -r label hex; do
    printf %s "$hex" | xxd -r -p > "corpus/decode/$label"
done
