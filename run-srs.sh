#!/usr/bin/env bash
# Sets up Secret Race Strolling and runs it: ./run-srs.sh --help
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"

VENV=".venv"
STAMP="${VENV}/requirements.sha256"
NEEDED_MB=3000

usage() {
    cat <<'TEXT'
Usage: ./run-srs.sh [options]

Makes a Python environment in .venv, installs what requirements.txt lists, migrates the database, starts broker, workers,
sweeper and web server, prints the address, and stops all of it on Ctrl-C. From the second start on it takes seconds.

  --demo           fill an empty site with five teams and one played round
  --host ADDRESS   address to listen on                     127.0.0.1 (0.0.0.0: every address of this machine)
  --port NUMBER    port to listen on                        5000
  --workers N      processes that play the house's attacks  1, or one per GPU
  --setup-only     make the environment and .env, start nothing
  --help           show this text

Settings are read from .env and from environment variables; the README lists them. What the platform keeps lies in
instance/, what its parts say in instance/logs/.
TEXT
}

fail() {
    printf '\n%s\n' "$@" >&2
    exit 1
}

# The first Python that is new enough.
find_python() {
    local name
    for name in python3.11 python3.12 python3.13 python3; do
        if command -v "${name}" >/dev/null &&
            "${name}" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            command -v "${name}"
            return
        fi
    done
    return 1
}

free_mb() {
    df -Pk . | awk 'NR == 2 { print int($4 / 1024) }'
}

make_environment() {
    local python
    if [[ -x "${VENV}/bin/python" ]] && "${VENV}/bin/python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    python="$(find_python)" || fail "Python 3.11, 3.12 or 3.13 is needed and was not found." \
        "Install it (Debian, Ubuntu: apt-get install python3 python3-venv; macOS: brew install python@3.11) and try again."
    echo "Making a Python environment with ${python} in ${VENV}"
    if ! "${python}" -m venv --clear "${VENV}" >"${LOG}" 2>&1; then
        rm -rf -- "${VENV}"
        fail "The Python environment could not be made (details: ${LOG})." \
            "On Debian and Ubuntu the module for it is a package of its own: apt-get install python3-venv"
    fi
}

# Installs a requirements file unless what is installed is what it lists.
install() {
    local file="$1" stamp="$2" sum free
    sum="$(cat requirements.txt "${file}" | "${VENV}/bin/python" -c \
        'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read() + sys.version.encode()).hexdigest())')"
    if [[ -f "${stamp}" && "$(<"${stamp}")" == "${sum}" ]]; then
        return
    fi
    free="$(free_mb)"
    ((free >= NEEDED_MB)) || fail "The disk has ${free} MB left; the Python packages need ${NEEDED_MB} MB. Make room first."
    echo "Installing the packages of ${file} (once; it takes a minute or two)"
    if ! "${VENV}/bin/python" -m pip install --disable-pip-version-check --no-input -r "${file}" >"${LOG}" 2>&1; then
        explain_pip
    fi
    printf '%s\n' "${sum}" >"${stamp}"
}

explain_pip() {
    if grep -qiE 'no space left|errno 28' "${LOG}"; then
        fail "The disk is full. Make room (the packages need ${NEEDED_MB} MB) and try again; details: ${LOG}"
    elif grep -qiE 'from versions: none|connection|name resolution|timed out|unreachable|getaddrinfo|proxy' "${LOG}"; then
        fail "The Python packages could not be fetched: is this machine connected to the network?" \
            "Try again when it is; details: ${LOG}"
    fi
    fail "The Python packages could not be installed. The last lines of ${LOG}:" "$(tail -n 5 "${LOG}")"
}

random() {
    "${VENV}/bin/python" -c 'import secrets; print(secrets.token_urlsafe(32))'
}

# Adds a secret to .env unless it is set there.
ensure_secret() {
    local name="$1"
    if ! grep -qE "^(export )?${name}=.+" .env; then
        # A file without a newline at its end would swallow the new line.
        [[ -s .env && -n "$(tail -c 1 .env)" ]] && echo >>.env
        printf '%s=%s\n' "${name}" "$(random)" >>.env
    fi
}

write_secrets() {
    (umask 077 && touch .env)
    ensure_secret SECRET_KEY
    ensure_secret BROKER_PASSWORD
}

set_up() {
    mkdir -p -m 700 instance && mkdir -p instance/logs || fail "The folder instance/ cannot be written: is the disk full, or not yours?"
    LOG="instance/logs/setup.log"
    make_environment
    install requirements.txt "${STAMP}"
    write_secrets
}

# A number between two others, or an explanation.
check_number() {
    [[ "$2" =~ ^[0-9]{1,5}$ ]] && ((10#$2 >= $3 && 10#$2 <= $4)) || fail "$1 takes a number from $3 to $4, not '$2'. See ./run-srs.sh --help"
}

main() {
    local setup_only=0
    local -a passed_on=()
    while (($#)); do
        case "$1" in
            --help | -h) usage && exit 0 ;;
            --setup-only) setup_only=1 ;;
            --for-tests) setup_only=2 ;;
            --demo) passed_on+=("$1") ;;
            --host=* | --port=* | --workers=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" && continue ;;
            --host | --port | --workers)
                (($# > 1)) || fail "$1 wants a value. See ./run-srs.sh --help"
                [[ "$1" != --port ]] || check_number --port "$2" 1 65535
                [[ "$1" != --workers ]] || check_number --workers "$2" 1 64
                passed_on+=("$1" "$2")
                shift
                ;;
            *) fail "There is no option '$1'. See ./run-srs.sh --help" ;;
        esac
        shift
    done
    set_up
    if ((setup_only == 2)); then
        install requirements-dev.txt "${VENV}/requirements-dev.sha256"
    fi
    if ((setup_only)); then
        echo "Everything is set up."
        return
    fi
    exec "${VENV}/bin/python" -m app.launcher "${passed_on[@]+"${passed_on[@]}"}"
}

main "$@"
