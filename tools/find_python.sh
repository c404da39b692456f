#!/usr/bin/env bash
# Prints the path of a Python 3.11 or 3.12 from which an environment can be made, or one line that
# says what is missing.
#   tools/find_python.sh [PYTHON]      the only one to look at; else python3, python3.12, python3.11
# Each candidate is started and not only looked up: a version manager puts commands on the PATH that
# exist and then refuse to run.
set -euo pipefail

# The interpreter behind it, because the one that answers may be that of an active environment,
# which is about to be replaced. Without uv the modules venv and ensurepip must be there too: Debian
# packages them apart from Python.
LOOK='
import sys
if sys.argv[1] == "pip":
    import ensurepip, venv
version = "%d.%d.%d" % sys.version_info[:3]
fits = "yes" if (3, 11) <= sys.version_info[:2] <= (3, 12) else "no"
print(fits, version, getattr(sys, "_base_executable", None) or sys.executable)
'
if command -v uv > /dev/null; then
    by=uv
    fix="install Python 3.12 (\`uv python install 3.12\`)"
else
    by=pip
    fix="install Python 3.12 with its venv module, or load the module of your site that has it"
fi

candidates=(python3 python3.12 python3.11)
if [ $# -gt 0 ]; then
    candidates=("$1")
elif [ $by = uv ]; then
    # Those that uv itself has installed, which are not on the PATH.
    for version in 3.12 3.11; do
        candidates+=("$(uv python find --no-project --no-python-downloads $version 2> /dev/null)") \
            || true
    done
fi

seen=()
for candidate in "${candidates[@]}"; do
    [ -n "$candidate" ] || continue
    if answer=$("$candidate" -c "$LOOK" $by 2> /dev/null); then
        read -r fits version path <<< "$answer"
        if [ "$fits" = yes ]; then
            echo "$path"
            exit 0
        fi
        seen+=("$candidate is $version")
    elif command -v "$candidate" > /dev/null; then
        seen+=("$candidate does not start or has no venv module")
    else
        seen+=("no $candidate")
    fi
done
found=$(printf ', %s' "${seen[@]}")
echo "Python 3.11 or 3.12 is needed (${found:2}). Fix: $fix," \
    "then run the same command with PYTHON=/path/to/python3.12" >&2
exit 1
