#!/bin/bash
# moto's S3 server, where `moto_server` is installed (it is no Debian 12 package): storage classes, restores, Object Lock,
# conditional writes. It accepts wrong signatures and digests, so it proves nothing about those. Everything is in memory.
#   moto.sh start DIR     prints its URL
#   moto.sh stop DIR
#   moto.sh run DIR       in the foreground: ends with its parent or on SIGTERM
# RESTORE_STEPS (2): a restore is done after about that many questions about it. Any keys do.
set -eu
command=${1:-}
dir=${2:-}
[[ -n $dir ]] || { sed -n '2,7s/^# //p' "$0"; exit 2; }
mkdir -p "$dir"

start() {
  command -v moto_server >/dev/null || { echo "moto: moto_server is not installed" >&2; exit 1; }
  local port url try
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  url=http://127.0.0.1:$port
  moto_server -H 127.0.0.1 -p "$port" >"$dir/log" 2>&1 </dev/null &
  echo $! >"$dir/pid"
  for try in $(seq 300); do
    if curl -s -o /dev/null "$url/moto-api/"; then
      curl -s -o /dev/null -X POST "$url/moto-api/state-manager/set-transition" -d \
        "{\"model_name\": \"s3::keyrestore\", \"transition\": {\"progression\": \"manual\", \"times\": ${RESTORE_STEPS:-2}}}"
      echo "$url" | tee "$dir/url"
      return
    fi
    sleep 0.1
  done
  echo "moto: it does not come up; see $dir/log" >&2
  stop
  exit 1
}

stop() {
  [[ -f $dir/pid ]] || return 0
  local process
  for process in $(pgrep -P "$(cat "$dir/pid")") $(cat "$dir/pid"); do kill "$process" 2>/dev/null || true; done
  rm -f "$dir/pid"
}

case $command in
  start) start ;;
  stop) stop ;;
  run)
    rm -f "$dir/url"
    trap 'stop; exit 0' TERM INT
    start
    while kill -0 "$PPID" 2>/dev/null; do sleep 1 & wait $!; done
    stop ;;
  *) sed -n '2,7s/^# //p' "$0"; exit 2 ;;
esac
