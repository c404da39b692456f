#!/bin/sh
# Installs what the test cluster needs, on Debian or Ubuntu, as root, if it is not there yet.
# Nothing is started, and nothing happens where SLURM came from elsewhere (a cluster's own machine):
# the tests are skipped there and say why.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
packages=$(tr '\n' ' ' < "$here/apt-packages.txt")

# shellcheck disable=SC2086  # one word per package
if dpkg --status $packages >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "SLURM is not installed, and only root can install it (apt-get install $packages):" \
        "the tests on a real cluster will be skipped" >&2
    exit 0
fi
if command -v sbatch >/dev/null && ! dpkg --status slurm-client >/dev/null 2>&1; then
    echo "$(command -v sbatch) was not installed by a Debian package. This machine's SLURM is" \
        "left alone, and the tests on a real cluster will be skipped" >&2
    exit 0
fi

# While the packages are unpacked, their services must not start: policy-rc.d says so, as in a
# container image.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -qq -y --no-install-recommends $packages
