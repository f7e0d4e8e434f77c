# Sourced by guest scripts. $HOST:$PORT is the gateway as the guest reaches it.

say() { printf '\n== %s [%s s up]\n' "$*" "$(cut -d' ' -f1 /proc/uptime)"; }

# check NAME COMMAND...: run it, print PASS or FAIL, with its output on failure.
fails=0 checks=0
check() {
  local name=$1 t=$EPOCHREALTIME out rc
  shift
  out=$("$@" 2>&1 | tr -d '\0'; exit "${PIPESTATUS[0]}")
  rc=$?
  checks=$((checks + 1))
  t=$(awk -v a="$t" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f", b - a }')
  if [ $rc -eq 0 ]; then
    echo "PASS $name ($t s)"
  else
    fails=$((fails + 1))
    printf 'FAIL %s (exit %s, %s s)\n' "$name" $rc "$t"
    sed 's/^/     | /' <<<"$out" | tail -n 20
  fi
  return $rc
}
refused() { ! "$@"; }
# The summary; exit 0 only if every check passed.
finish() {
  printf '\n%s passed, %s failed\n' $((checks - fails)) "$fails"
  exit $((fails > 0 || checks == 0))
}

# The gateway listens on the host's 127.0.0.1 and names that address in SendTargets: this sends the
# guest's connections to 127.0.0.1:$1 there. Done for $PORT.
nat_port() { iptables -t nat -A OUTPUT -d 127.0.0.1 -p tcp --dport "$1" -j DNAT --to "$HOST:$1"; }
# Discover and log in to every target, wait until the devices have settled.
iscsi_login() {
  # iscsid's socket gets the buffer it asks for. With a smaller one the window closes more often, and after that qemu's
  # network sends nothing for five seconds.
  sysctl -qw net.core.rmem_max=4194304
  iscsiadm -m discovery -t sendtargets -p "$HOST:$PORT" && iscsiadm -m node --login || return
  local n
  for n in $(seq 50); do
    [ -n "$(lsscsi -g)" ] && ! lsscsi -g | grep -q ' -  *$' && return
    sleep 0.1
  done
}
iscsi_logout() { iscsiadm -m node --logout; }

# Devices by the name of their target, since one target is one device.
hctl() { lsscsi -t | awk -v name=":[^ ]*$1" '$3 ~ name { print $1; exit }'; }
node_of() { lsscsi "${@:2}" | awk -v id="$1" '$1 == id { print $NF; exit }'; }
tape() { node_of "$(hctl "-tapedrive-$(printf %02d "$1")")" | sed 's,/st,/nst,'; }
tape_sg() { node_of "$(hctl "-tapedrive-$(printf %02d "$1")")" -g; }
changer_sg() { node_of "$(hctl -mediachanger)" -g; }
drive_serial() { sg_vpd -p sn "$1" | sed -n 's/.*serial number: *//p'; }
# mtx numbers drives from 0 in element order, the gateway its targets from 1.
drive_index() { echo $(($1 - 1)); }

# Unit attentions of a new session.
take_attentions() {
  local n
  for n in 1 2 3 4; do sg_turs "$1" >/dev/null 2>&1 && return; done
  return 0
}
ready() {
  local n
  for n in $(seq 20); do
    mt -f "$1" status 2>/dev/null | grep -q ONLINE && return
    sleep 0.5
  done
  mt -f "$1" status
  return 1
}
