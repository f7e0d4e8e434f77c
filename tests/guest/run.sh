#!/bin/bash
# A gateway on an ephemeral port and data directory, driven by a Linux guest:
#   run.sh BIN_DIR [GUEST_SCRIPT]
#     tape.sh (default): a library; disk.sh: volumes; backup.sh: Bacula and Amanda, as docs/runbook.md sets them up
# Prints the guest's PASS and FAIL lines, then checks on this side, then "N passed, M failed".
# GUEST_CACHE: where the guest's image is kept (built on first use, as root, in about a minute).
set -euo pipefail

bin=$(cd "${1:?BIN_DIR is missing}" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
script=${2:-$here/tape.sh}
kind=$(basename "$script" .sh)
export GUEST_CACHE=${GUEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coldshelf-guest}
# What only the backup programs want is in an image of their own: more packages, and memory for what is restored.
more= limit=900
if [[ $kind = backup ]]; then
  limit=1800
  GUEST_CACHE+=/backup
  export GUEST_MIB=2048
  more="udev bacula-director bacula-director-sqlite3 bacula-sd bacula-fd bacula-console"
  more+=" amanda-server amanda-client libencode-locale-perl"
fi
"$here/build-guest" -p "$more"

work=$(mktemp -d "${TMPDIR:-/tmp}/coldshelf-guest.XXXXXX")
# The gateway's pid is in a file: what the guest asks for may start another one.
gateway() { cat "$work/gateway" 2>/dev/null; }
gone() { ! kill -0 "$1" 2>/dev/null; }
# The signal, and then the end of it: the data directory's lock is free only when the process is gone.
end() {
  local pid
  pid=$(gateway) || return 0
  kill "$1" "$pid"
  for _ in $(seq 300); do gone "$pid" && break; sleep 0.1; done
  rm "$work/gateway"
  gone "$pid"
}
stop() {
  [[ -e $work/gateway ]] || return 0
  end -TERM && tail -n 1 "$work/log" | grep -q stopped
}
cleanup() {
  stop || true
  [[ -n ${KEEP:-} ]] && echo "kept: $work" || rm -rf "$work"
}
trap cleanup EXIT

slots=12 small_slot=5 small_mib=48
on_export=hold
[[ $kind != backup ]] || on_export=archive
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/coldshelf.toml" <<TOML
[gateway]
name = "guest"
data_dir = "$work/data"
[api]
listen = ""
[iscsi]
listen = ["127.0.0.1:$port"]
[library]
slots = $slots
import_export_slots = 2
drives = 2
drive_model = "IBM-ULT3580-TD8"
on_export = "$on_export"
export_delay = "1s"
TOML
cli() { "$bin/coldshelf" --data "$work/data" "$@"; }
start() {
  "$bin/coldshelfd" --config "$work/coldshelf.toml" >>"$work/log" 2>&1 &
  echo $! >"$work/gateway"
  for _ in $(seq 100); do
    cli status >/dev/null 2>&1 && return
    gone "$(gateway)" && break
    sleep 0.1
  done
  cat "$work/log"
  echo "0 passed, 1 failed"
  return 1
}
mapped() { cli --json volume show data | sed -n 's/.*"MappedInBytes": \([0-9]*\).*/\1/p'; }
# Back from the shelf, as soon as it is there.
recall() {
  for _ in $(seq 120); do
    cli tape show "$1" | grep -q ARCHIVED && break
    sleep 1
  done
  cli tape retrieve "$1" --wait
}
# What the guest asks of this side, in its output.
listen() {
  local line
  while IFS= read -r line; do
    printf '%s\n' "$line"
    case $line in
      "@@ kill"*) end -KILL; start ;;
      "@@ recall "*) line=${line%$'\r'}; recall "${line##* }" >>"$work/recall" 2>&1 || cat "$work/recall" ;;
      "@@ measure "*) line=${line%$'\r'}; mapped >"$work/${line##* }" ;;
    esac
  done
}
start
tapes=() files=()
tape() { cli tape create --barcode "$1" --size "$2" >/dev/null; tapes+=("$1"); }
if [[ $kind = disk ]]; then
  cli volume create --name data --size 1GiB >/dev/null
  cli volume create --name four --size 256MiB --block-size 4096 >/dev/null
elif [[ $kind = backup ]]; then
  # Slot 1 is btape's, which fills it; 2 to 6 are Bacula's, 7 to 9 Amanda's.
  for n in 1 2 3 4; do tape "BAC00${n}L8" 2GiB; done
  for n in 5 6; do tape "BAC00${n}L8" ${small_mib}MiB; done
  for n in 1 2 3; do tape "AMA00${n}L8" ${small_mib}MiB; done
  files=("$here/../../docs/runbook.md")
else
  for n in 1 2 3 4; do tape "GST00${n}L8" 2GiB; done
  tape GST005L8 ${small_mib}MiB
fi

status=0
"$here/run-guest" -t "${GUEST_TIMEOUT:-$limit}" -e "SLOTS=$slots" -e "SMALL_SLOT=$small_slot" \
  -e "SMALL_MIB=$small_mib" -e VOLUME=data -e VOLUME4=four "$script" "$port" "${files[@]}" | listen |
  tee "$work/output" || status=$?
passed=$(sed -n 's/^\([0-9]*\) passed, [0-9]* failed$/\1/p' "$work/output" | tail -n 1)
failed=$(sed -n 's/^[0-9]* passed, \([0-9]*\) failed$/\1/p' "$work/output" | tail -n 1)
# A guest that ended early, or a script that did not come to its end, is a failure too.
if [[ -z $failed ]] || ((status != 0 && failed == 0)); then failed=$((${failed:-0} + 1)); fi
passed=${passed:-0}

# On this side: every cartridge is sound, space came back, and the daemon stops cleanly.
here_check() {
  local name=$1
  shift
  if "$@" >"$work/check" 2>&1; then
    passed=$((passed + 1)); echo "PASS $name"
  else
    failed=$((failed + 1)); echo "FAIL $name"; sed 's/^/     | /' "$work/check" | tail -n 20
  fi
}
echo; echo "== the gateway's side"
if [[ $kind = disk ]]; then
  here_check "fstrim freed 100 MiB at least" eval '(($(<"$work/before") - $(<"$work/after") >= 100 << 20))'
  here_check "volume compact" cli volume compact data
else
  for t in "${tapes[@]}"; do here_check "tape verify $t" cli tape verify "$t"; done
fi
here_check "clean stop" stop
here_check "no error in the gateway's log" eval "! grep -iE '(^| )(error|fatal)( |:|])|check failed' '$work/log'"
if ((failed)); then echo "== the gateway's log ends"; tail -n 30 "$work/log"; fi
echo
echo "$passed passed, $failed failed"
((failed == 0))
