#!/usr/bin/env bash
# Before a release: run `test.py` with other versions of Python and PyTorch, each in an environment
# of its own that is removed afterwards. With a Python older than 3.10 or a PyTorch older than 2.2
# these are the grading checks and the tests of model.py.
#
#     bash Miniproject_1/others/tests/versions.sh [PYTHON:TORCH ...]
#
# A Python is looked for as `pythonX.Y`, then among those of pyenv. PyTorch may come as a build for
# GPUs, several gigabytes large; it runs on a CPU as well.
set -u
cd "$(dirname "$0")/../../.."

interpreter_of() { # interpreter_of PYTHON: its path
    if "python$1" -c "" 2>/dev/null; then
        echo "python$1"
    else
        ls "$(pyenv root)/versions/$1".*/bin/python | head -n 1
    fi
}

test_with() { # test_with PYTHON TORCH FOLDER: all output is of interest
    "$(interpreter_of "$1")" -m venv "$3/environment" &&
        "$3/environment/bin/pip" install --quiet "torch==$2" pillow &&
        "$3/environment/bin/python" test.py
}

if [ $# -eq 0 ]; then
    set -- 3.8:1.13.1 3.10:2.2.2 3.11:2.13.0 3.13:2.14.1
fi
failed=0
for versions in "$@"; do
    python=${versions%%:*}
    torch=${versions##*:}
    folder=$(mktemp -d)
    if ! test_with "$python" "$torch" "$folder" >"$folder/log" 2>&1; then
        failed=1
        grep -E "^(FAIL|ERROR):" "$folder/log"
    fi
    echo "Python $python, PyTorch $torch: $(tail -n 1 "$folder/log")"
    rm -rf "$folder"
done
exit "$failed"
