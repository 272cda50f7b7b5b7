#!/bin/sh
# Print the command of a Python that lavis_sam runs on: 3.11 to 3.13, able to make a virtual environment.
# usage: find_python.sh [COMMAND]     with COMMAND, that one or none; without, the first that will do
set -u
check='import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
[ -n "${1:-}" ] || set -- python3 python python3.13 python3.12 python3.11
for python in "$@"; do
    # Running it is the only proof: pyenv's shims exist for versions that are not active.
    if "$python" -c "$check" >/dev/null 2>&1; then
        echo "$python"
        exit 0
    fi
done
{
    echo "lavis_sam needs Python 3.11, 3.12 or 3.13 with its venv module. Found:"
    for python in "$@"; do
        version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || version=missing
        venv=
        [ "$version" = missing ] || "$python" -c 'import ensurepip, venv' 2>/dev/null || venv=', without venv'
        echo "  $python: $version$venv"
    done
    echo "Install one (on Debian and Ubuntu also python3-venv), or name it: make PYTHON=/path/to/python3.12 ..."
} >&2
exit 1
