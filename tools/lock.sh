#!/usr/bin/env bash
# Compiles the dependency groups of pyproject.toml to requirements-gpu.txt and requirements.txt.
#   tools/lock.sh [OPTION OF uv pip compile]...      e.g. --upgrade, or --upgrade-package NAME
# Without options the versions that are in the lists stay, so far as they still fit. One list serves
# both Pythons: it holds what either needs, without markers.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v uv > /dev/null; then
    echo "uv is needed to compile the lists. Fix: pip install uv" >&2
    exit 1
fi

compile() { # LIST ENGINE [OPTION]...
    local list=$1 engine=$2
    shift 2
    uv pip compile --quiet --universal --python-version 3.11 --no-header \
        --group pipeline --group "$engine" --group trainers --group dev \
        --output-file "$list" "$@" > /dev/null
    # The first line tells what the file is for; markers and the name of the other list go.
    sed -i -e 's/ *;.*//' -e '/^    #   -c requirements/d' \
        -e "1i # Compiled by \`make lock\` from pyproject.toml ($engine). Do not edit." "$list"
}

# The GPU build first, because it asks for more; then the CPU build with the same versions. The CUDA
# libraries stay out of the CPU list: which of them torch needs depends on the build of torch that
# an index or a site offers, and setup.sh leaves that to torch.
compile requirements-gpu.txt engine-gpu "$@"
compile requirements.txt engine-cpu --constraints requirements-gpu.txt \
    --excludes <(grep -oE '^(cuda|nvidia)-[a-z0-9-]+' requirements-gpu.txt) "$@"
