# What the examples share: the binary, a folder of their own, and programs that end with the script.
# Ports come from the environment, so that several can run at once.

here=$(cd -- "$(dirname -- "${BASH_SOURCE[1]}")" && pwd)
root=$(cd -- "$here/../.." && pwd)

# The binary: $BEKCI, or the one that is built now.
if [[ -z ${BEKCI:-} ]]; then
    cargo build --locked --quiet --manifest-path "$root/Cargo.toml" -p bekci-gateway
    BEKCI=${CARGO_TARGET_DIR:-$root/target}/debug/bekci
fi

for program in "${programs[@]}"; do
    if ! PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null; then
        echo "$0: $program is missing" >&2
        exit 1
    fi
done
PATH=$PATH:/usr/sbin:/sbin

folder=$(mktemp -d "${TMPDIR:-/tmp}/bekci-example.XXXXXX")
started=()
finish() {
    local status=$?
    ((status == 0 || status > 128)) || cat "$folder/log" >&2
    ((${#started[@]} == 0)) || kill "${started[@]}" 2>/dev/null || true
    wait
    rm -rf -- "$folder"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Runs a program until the script ends.
start() {
    "$@" >>"$folder/log" 2>&1 &
    started+=($!)
}

# Its log, with an event for every change, goes to the file that is shown if something fails.
bekci() { "$BEKCI" "$@" 2>>"$folder/log"; }

# Waits until something listens on a port.
listening() {
    local port=$1
    for _ in {1..600}; do
        if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            return
        fi
        sleep 0.1
    done
    echo "$0: nothing listens on port $port" >&2
    exit 1
}

# Starts the gateway, waits until it and the other ports are ready, prints what to try, and waits for the end.
serve() {
    local about=$1 port
    shift
    start "$BEKCI" serve
    bekci ready --wait 60s >/dev/null
    for port in "$@"; do
        listening "$port"
    done
    echo "$about"
    echo 'ready: the lines of the README work now, in another terminal. Ctrl-C ends it and removes its folder.'
    wait -n "${started[@]}"
    echo "$0: a program has ended" >&2
    exit 1
}
