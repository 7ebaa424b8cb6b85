# shellcheck shell=bash
# Finds the programs of scripts/needed-programs and installs the missing ones. Sourced from the root of the tree.

# The same places as `find_program` of bekci-test-support, so that both agree on what is missing.
has_program() {
    local program=$1 folder
    command -v "$program" >/dev/null && return 0
    for folder in /usr/lib/postgresql/*/bin /usr/local/sbin /usr/sbin /sbin; do
        [[ -x "$folder/$program" ]] && return 0
    done
    return 1
}

# Where programs from PyPI live, each in an environment of its own; a link in /usr/local/bin leads there.
readonly PYPI_FOLDER=/usr/local/lib/bekci-tests

# Fills `missing_programs`, `missing_packages` and `missing_from_pypi` from the table.
look_for_needed_programs() {
    missing_programs=()
    missing_packages=()
    missing_from_pypi=()
    local program package _purpose
    while read -r program package _purpose; do
        [[ -z "$program" || "$program" == \#* ]] && continue
        has_program "$program" && continue
        missing_programs+=("$program")
        if [[ $package == pypi:* ]]; then
            missing_from_pypi+=("$program ${package#pypi:}")
            package=python3-venv
        fi
        [[ " ${missing_packages[*]-} " == *" $package "* ]] || missing_packages+=("$package")
    done <scripts/needed-programs
}

# Debian's packages start their services as they are installed; the tests start their own, on ports of their own.
# A policy that answers 101 forbids the start. One that is there already is left as it is.
install_packages() {
    local policy=/usr/sbin/policy-rc.d made_policy=false status=0
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        made_policy=true
        # Also where somebody interrupts this.
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    export DEBIAN_FRONTEND=noninteractive
    {
        apt-get -o DPkg::Lock::Timeout=300 update -q &&
            apt-get -o DPkg::Lock::Timeout=300 install -q -y --no-install-recommends "$@"
    } </dev/null || status=$?
    if $made_policy; then
        rm -f "$policy"
        trap - EXIT
    fi
    return "$status"
}

# Installs programs from PyPI: each argument is a program and its package with its version.
install_from_pypi() {
    local entry program package
    for entry in "$@"; do
        read -r program package <<<"$entry"
        python3 -m venv "$PYPI_FOLDER/$program" &&
            "$PYPI_FOLDER/$program/bin/pip" install --quiet --disable-pip-version-check "$package" &&
            ln -sf "$PYPI_FOLDER/$program/bin/$program" "/usr/local/bin/$program" || return 1
    done
}

provide_needed_programs() {
    look_for_needed_programs
    [[ ${#missing_programs[@]} -eq 0 ]] && return 0

    echo "The tests need programs that are not here: ${missing_programs[*]}" >&2
    if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
        echo "Install them and run this again; on Debian and Ubuntu: apt-get install ${missing_packages[*]}" >&2
        [[ ${#missing_from_pypi[@]} -eq 0 ]] || echo "From PyPI (program, package): ${missing_from_pypi[*]}" >&2
        return 1
    fi

    echo "Installing: ${missing_packages[*]}" >&2
    if ! install_packages "${missing_packages[@]}"; then
        echo "Could not install: ${missing_packages[*]}" >&2
        return 1
    fi
    if [[ ${#missing_from_pypi[@]} -ne 0 ]] && ! install_from_pypi "${missing_from_pypi[@]}"; then
        echo "Could not install from PyPI: ${missing_from_pypi[*]}" >&2
        return 1
    fi
    look_for_needed_programs
    if [[ ${#missing_programs[@]} -ne 0 ]]; then
        echo "Installed, and still not found: ${missing_programs[*]}" >&2
        return 1
    fi
}
