#!/usr/bin/env bash
# Run test.py --thorough with other versions of Python and PyTorch: one environment after the other, removed after use.
# With versions older than Python 3.10 or PyTorch 2.2 it runs the grading checks and the tests of model.py.
#
#     bash Miniproject_1/others/tests/versions.sh [PYTHON:TORCH ...]
#
# Pythons are looked for as `pythonX.Y`, then under pyenv. Versions of PyTorch other than the pinned one may
# come as builds for a GPU, several gigabytes each; a CPU runs them as well.
set -u
cd "$(dirname "$0")/../../.."
[ $# -gt 0 ] || set -- 3.8:1.13.1 3.10:2.2.2 3.11:2.13.0 3.13:2.14.1
failed=0

for versions in "$@"; do
    python=${versions%%:*}
    torch=${versions##*:}
    interpreter=python$python
    "$interpreter" -c "" 2>/dev/null ||
        interpreter=$(ls "$(pyenv root 2>/dev/null)"/versions/"$python".*/bin/python 2>/dev/null | head -n 1)
    folder=$(mktemp -d)
    {
        "${interpreter:-python$python}" -m venv "$folder/environment" &&
            "$folder/environment/bin/pip" install --quiet "torch==$torch" pillow &&
            "$folder/environment/bin/python" test.py --thorough
    } >"$folder/log" 2>&1 || {
        failed=1
        grep -E "^(FAIL|ERROR):" "$folder/log"
    }
    echo "Python $python, PyTorch $torch: $(tail -n 1 "$folder/log")"
    rm -rf "$folder"
done
exit $failed
