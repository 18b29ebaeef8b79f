#!/bin/sh
# Create .venv with the locked versions and install the few tools that no Python package brings.
# What cannot be installed is named, one line each. Nothing happens where everything is in place.
set -eu
cd "$(dirname "$0")/.."

venv=.venv
stamp=$venv/.locked

fail() {
    echo "setup: $*" >&2
    exit 3
}

# Tools from the system: command, Debian package, what for.
system_tools() {
    cat <<'END'
g++ g++ the Verilator engine (without it: --engine icarus or amaranth)
make make the Verilator engine (without it: --engine icarus or amaranth)
perl perl the Verilator engine (without it: --engine icarus or amaranth)
iverilog iverilog the Icarus engine and the Icarus half of the tests
sta opensta the period of mixdit synth --target asic
END
}

missing_packages() {
    system_tools | while read -r command package _; do
        command -v "$command" >/dev/null 2>&1 || echo "$package"
    done
    [ -e /usr/share/qflow/tech/osu018/osu018_stdcells.lib ] || echo qflow-tech-osu018
}

packages=$(missing_packages | sort -u | tr '\n' ' ')
if [ -n "$packages" ] && command -v apt-get >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ]; then
        sudo=
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        sudo=sudo
    else
        sudo=none
    fi
    if [ "$sudo" != none ]; then
        echo "setup: installing $packages"
        log=$(mktemp)
        # One at a time, so that one that cannot be had does not keep the others away.
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -q >"$log" 2>&1 || true
        for package in $packages; do
            $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$package" \
                >>"$log" 2>&1 || true
        done
        rm -f "$log"
    fi
fi
system_tools | while read -r command package purpose; do
    command -v "$command" >/dev/null 2>&1 ||
        echo "setup: $command is missing: apt-get install $package, for $purpose" >&2
done
[ -e /usr/share/qflow/tech/osu018/osu018_stdcells.lib ] ||
    echo "setup: the OSU 0.18 um library is missing: apt-get install qflow-tech-osu018, for mixdit synth --target asic" >&2

# Python.
locked=$(cat pyproject.toml constraints.txt scripts/setup.sh | cksum)
if [ -x $venv/bin/python ] && [ -e $stamp ] && [ "$(cat $stamp)" = "$locked" ] && $venv/bin/python -c '' 2>/dev/null; then
    exit 0
fi
python=
for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || fail "Python 3.11 or newer is missing: apt-get install python3, or name one with PYTHON=..."
echo "setup: creating $venv with $("$python" --version)"
rm -f $stamp
"$python" -m venv --clear $venv >/dev/null 2>&1 ||
    fail "$python cannot create a virtual environment: apt-get install python3-venv"
PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $venv/bin/python -m pip install -q -e '.[dev]' ||
    fail "pip could not install the locked versions; its message stands above"
echo "$locked" >$stamp
echo "setup: done; '. $venv/bin/activate' puts mixdit on the path"
