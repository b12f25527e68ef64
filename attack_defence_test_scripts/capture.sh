#!/usr/bin/env bash
# Captures the traffic of one query on each grid cell; run it inside the client's container, once per repetition.
#
#   COMMAND='python3 client.py grid {cell}' ./capture.sh
#   REP=7 CELLS=100 FOLDER=captures ./capture.sh
#
# Every run writes FOLDER/cell_<id>_rep_<REP>.pcap for the cells 1 to CELLS. The platform wants about 32 repetitions,
# so run it about 32 times: without REP, the next free number is taken. Then zip the folder and upload it,
#
#   zip -qr my_defence.zip captures
#
# or make a csv of it first, to look at it or to name the client's address: python3 pcap_to_csv.py --help
#
# Settings (environment variables):
#   COMMAND    what asks for one cell; {cell} stands for its number
#   CELLS      number of grid cells                                 100
#   REP        number of this repetition                            the next free one
#   FOLDER     where the captures go                                captures
#   INTERFACE  where to listen; "any" hears all                     eth0
#   FILTER     what to keep, as tcpdump spells it                   tcp
#   SNAPLEN    bytes kept of each packet: headers are enough        128
#   BEFORE     seconds between the start of tcpdump and the query   0.5
#   AFTER      seconds to wait for late packets                     0.5
#   LIMIT      seconds that one query may take                      120
set -euo pipefail

DEFAULT_COMMAND='python3 client.py grid {cell} -T restaurant -t'
COMMAND="${COMMAND:-${DEFAULT_COMMAND}}"
CELLS="${CELLS:-100}"
FOLDER="${FOLDER:-captures}"
INTERFACE="${INTERFACE:-eth0}"
FILTER="${FILTER:-tcp}"
SNAPLEN="${SNAPLEN:-128}"
BEFORE="${BEFORE:-0.5}"
AFTER="${AFTER:-0.5}"
LIMIT="${LIMIT:-120}"

next_rep() {
    local rep=1
    while compgen -G "${FOLDER}/cell_*_rep_${rep}.pcap" >/dev/null; do
        rep=$((rep + 1))
    done
    echo "${rep}"
}

# One capture: listen, ask, wait for late packets, stop listening. A capture whose query failed is removed,
# because an empty or half capture would be refused. The shell opens the file, so that tcpdump, which gives up
# its rights early on some systems, need not be allowed to.
capture() {
    local cell="$1" file="$2" listener status=0
    tcpdump -i "${INTERFACE}" -s "${SNAPLEN}" -U -n -w - "${FILTER}" >"${file}" 2>"${FOLDER}/tcpdump.log" &
    listener=$!
    sleep "${BEFORE}"
    timeout "${LIMIT}" bash -c "${COMMAND//\{cell\}/${cell}}" >/dev/null || status=$?
    sleep "${AFTER}"
    kill "${listener}" 2>/dev/null || true
    wait "${listener}" || true
    if [[ ! -s "${file}" ]]; then
        echo "cell ${cell}: tcpdump could not listen: $(tail -n 1 "${FOLDER}/tcpdump.log")" >&2
        status=1
    fi
    if ((status != 0)); then
        echo "cell ${cell}: failed (status ${status}), no capture kept" >&2
        rm -f -- "${file}"
    fi
    return "${status}"
}

main() {
    command -v tcpdump >/dev/null || { echo "tcpdump is missing: apt-get install tcpdump" >&2; exit 1; }
    mkdir -p -- "${FOLDER}"
    local rep failed=0 cell
    rep="${REP:-$(next_rep)}"
    for ((cell = 1; cell <= CELLS; cell++)); do
        capture "${cell}" "${FOLDER}/cell_${cell}_rep_${rep}.pcap" || failed=$((failed + 1))
        echo "repetition ${rep}: cell ${cell} of ${CELLS}"
    done
    rm -f -- "${FOLDER}/tcpdump.log"
    echo "repetition ${rep}: $((CELLS - failed)) captures in ${FOLDER}/, ${failed} failed"
    ((failed == 0))
}

main "$@"
