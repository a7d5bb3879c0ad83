#!/usr/bin/env bash
# Runs CPython's own tests on a build through pyw: check.sh PYBI LIB [MODULE…], where LIB is the
# `Lib` folder of the same version's source, as build.sh leaves it in its work folder.
# A line a module; ends with 1 if one fails, or has nothing that it could run.

set -euo pipefail

[[ $# -ge 2 ]] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
pybi=$(realpath "$1")
library=$(realpath "$2")
shift 2
pyw=${PYW:-pyw}
runtime=${RUNTIME:-wasmtime}
modules=("$@")
if [[ ${#modules[@]} = 0 ]]; then
    modules=(
        test_array test_ast test_base64 test_binascii test_bisect test_bool test_builtin test_bz2
        test_calendar test_cmath test_codecs test_collections test_configparser
        test_contextlib test_copy test_csv test_dataclasses test_decimal test_defaultdict test_deque
        test_dict test_enum test_float test_fractions test_functools test_generators test_gzip
        test_hashlib test_heapq test_int test_io test_itertools test_json test_list test_lzma
        test_math test_operator test_pathlib test_pickle test_posixpath test_random test_re test_set
        test_sqlite3 test_statistics test_string test_struct test_textwrap test_tomllib test_tuple
        test_unicodedata test_zipfile test_zlib test_zoneinfo
    )
fi

# Tests that cannot pass: there are no devices, so that /dev/null is a file; and without locks on
# ranges of a file, SQLite locks a whole database with a file beside it, so that nobody reads while
# somebody else writes.
ignored=()
for test in test_is_char_device_true test_delete_starts_transaction test_dml_does_not_auto_commit_before \
    test_insert_starts_transaction test_multiple_cursors_and_iternext test_replace_starts_transaction \
    test_toggle_auto_commit test_update_starts_transaction; do
    ignored+=(--ignore "$test")
done

# Not `Lib` itself: the rest of it would hide the library under test.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tests"
cp -r "$library/test" "$work/tests/"
cd "$work"

passed=0 failed=()
for module in "${modules[@]}"; do
    code=0
    "$pyw" --quiet --runtime "$runtime" --python "$pybi" --mount "$work/tests" \
        --env PYTHONPATH="$work/tests" -m test --tempdir /tmp --quiet "${ignored[@]}" "$module" \
        >"$work/log" 2>&1 || code=$?
    ran=$(sed -n 's/^Total tests: //p' "$work/log")
    if [[ $code = 0 && $ran =~ run=[1-9] ]]; then
        passed=$((passed + 1))
        printf '%-20s passed   %s\n' "$module" "$ran"
    else
        failed+=("$module")
        printf '%-20s FAILED   %s\n' "$module" "$ran"
        grep -E '^(FAIL|ERROR|[A-Za-z.]*Error|pyw):' "$work/log" | sort -u | head -20 | sed 's/^/    /' || true
    fi
done
printf '%d modules passed, %d failed %s\n' "$passed" "${#failed[@]}" "${failed[*]-}"
[[ ${#failed[@]} = 0 ]]
