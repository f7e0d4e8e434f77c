#!/bin/bash
# OpenStack Swift with s3api: an S3 server from Debian, on one node and loopback, for tests and benchmarks.
#   swift_s3.sh start DIR [tls]   prints its URL; five ports that are free are found
#   swift_s3.sh stop DIR
#   swift_s3.sh run DIR [tls]     in the foreground: ends with its parent or on SIGTERM, and takes everything with it
# Everything lies in DIR: configuration, data, logs, process ids; with tls the certificate, DIR/etc/cert.pem.
# Access key test:tester, secret testing, region us-east-1. WORKERS: processes of proxy and object server (1).
# Packages: swift-proxy swift-account swift-container swift-object memcached
set -eu
command=${1:-}
dir=${2:-}
tls=${3:-}
workers=${WORKERS:-1}
[[ -n $dir ]] || { sed -n '2,8s/^# //p' "$0"; exit 2; }
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# Five free ports. Two who ask at the same time are told different ones by the kernel.
free_ports() {
  python3 -c 'import socket
held = [socket.socket() for _ in range(5)]
for s in held: s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in held])'
}

write_storage_server() {  # NAME PORT WORKERS
  cat >"$dir/etc/$1-server.conf" <<TEXT
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $2
user = $(id -un)
swift_dir = $dir/etc
devices = $dir/srv
mount_check = false
workers = $3
disable_fallocate = true
log_level = WARNING
log_address = /dev/null
[pipeline:main]
pipeline = $1-server
[app:$1-server]
use = egg:swift#$1
set log_name = $1
TEXT
}

write_proxy() {  # PORT MEMCACHED_PORT
  local certificate=
  if [[ $tls == tls ]]; then
    [[ -f $dir/etc/cert.pem ]] || openssl req -x509 -newkey rsa:2048 -nodes -keyout "$dir/etc/key.pem" -out "$dir/etc/cert.pem" \
      -days 30 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null
    certificate=$(printf 'cert_file = %s\nkey_file = %s' "$dir/etc/cert.pem" "$dir/etc/key.pem")
  fi
  {
    cat <<TEXT
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $1
user = $(id -un)
swift_dir = $dir/etc
workers = $workers
log_level = WARNING
log_address = /dev/null
$certificate
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk s3api tempauth copy slo dlo versioned_writes symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
s3_acl = false
dns_compliant_bucket_names = true
min_segment_size = 5242880
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:$2
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
TEXT
    local filter
    for filter in catch_errors gatekeeper healthcheck listing_formats bulk copy slo dlo symlink; do
      printf '[filter:%s]\nuse = egg:swift#%s\n' "$filter" "$filter"
    done
  } >"$dir/etc/proxy-server.conf"
}

launch() {  # NAME COMMAND...
  local name=$1
  shift
  "$@" >"$dir/log/$name" 2>&1 </dev/null &
  echo $! >"$dir/run/$name"
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }  # PORT

start() {
  local program
  for program in swift-proxy-server swift-object-server swift-ring-builder memcached; do
    command -v $program >/dev/null || { echo "swift_s3: $program is not installed" >&2; exit 1; }
  done
  mkdir -p "$dir"/{etc,run,log,srv/d1}
  cd "$dir/etc"
  read -r proxy_port object_port container_port account_port cache_port < <(free_ports)
  printf '%s\n' '[swift-hash]' 'swift_hash_path_prefix = test' 'swift_hash_path_suffix = test' \
    '[storage-policy:0]' 'name = Policy-0' 'default = yes' '[swift-constraints]' 'max_header_size = 16384' >swift.conf
  local server port
  for server in object container account; do
    port=${server}_port
    rm -f $server.builder $server.ring.gz
    # Its exit code 1 says "done, with a remark".
    { swift-ring-builder $server.builder create 4 1 0
      swift-ring-builder $server.builder add "r1z1-127.0.0.1:${!port}/d1" 1
      swift-ring-builder $server.builder rebalance; } >"$dir/log/ring-$server" 2>&1 || [[ -f $server.ring.gz ]]
  done
  write_storage_server object "$object_port" "$workers"
  write_storage_server container "$container_port" 1
  write_storage_server account "$account_port" 1
  write_proxy "$proxy_port" "$cache_port"
  launch memcached memcached -l 127.0.0.1 -p "$cache_port" -U 0 -m 32 -u "$(id -un)"
  for server in account container object proxy; do launch $server swift-$server-server "$dir/etc/$server-server.conf"; done
  local scheme=http
  [[ $tls != tls ]] || scheme=https
  local url=$scheme://127.0.0.1:$proxy_port try
  for try in $(seq 300); do
    if listening "$object_port" && listening "$container_port" && listening "$account_port" && listening "$cache_port" &&
        curl -sk "$url/healthcheck" 2>/dev/null | grep -q OK; then
      echo "$url" | tee "$dir/url"
      return
    fi
    sleep 0.1
  done
  echo "swift_s3: it does not come up; see $dir/log" >&2
  tail -n 3 "$dir"/log/* >&2
  stop
  exit 1
}

stop() {
  local file
  for file in "$dir"/run/*; do
    [[ -f $file ]] || continue
    kill "$(cat "$file")" 2>/dev/null || true
    rm -f "$file"
  done
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
  *) sed -n '2,8s/^# //p' "$0"; exit 2 ;;
esac
