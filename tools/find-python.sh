#!/bin/sh
# Print a Python that can make the environment: at least 3.11, with venv and ensurepip.
# usage: find-python.sh [CANDIDATE]
for python in ${1:-python3 python3.13 python3.12 python3.11 python}; do
    if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
    then
        echo "$python"
        exit 0
    fi
done
echo "No Python >= 3.11 with venv found (looked for: ${1:-python3 python3.13 python3.12 python3.11 python})." >&2
echo "On Debian and Ubuntu: apt-get install python3 python3-venv. Or: make PYTHON=/path/to/python …" >&2
exit 1
