#!/usr/bin/env bash
# The whole life of a tape on this machine: create, load, back up over iSCSI, shelve, recall, read, compare.
#   demo.sh BIN_DIR [--source DIR] [--keep] [--s3 s3://BUCKET/PREFIX]
# Everything lies in a scratch directory; --keep leaves it, and the gateway running, until Enter is pressed.
# --s3: the store is a bucket, below a new name in PREFIX; credentials, region, endpoint and CA as AWS's tools
# find them (AWS_ENDPOINT_URL_S3, AWS_CA_BUNDLE ...). The shelf is class STANDARD then: nobody waits hours for a demo.
set -euo pipefail
bin=${1:?BIN_DIR}
shift
source=/usr/include keep= s3=
while (($#)); do
  case $1 in
    --source) source=$2; shift ;;
    --keep) keep=1 ;;
    --s3) s3=${2:?--s3 needs s3://BUCKET/PREFIX}; shift ;;
    *) echo "demo: unknown option $1" >&2; exit 2 ;;
  esac
  shift
done

work=$(mktemp -d "${TMPDIR:-/tmp}/coldshelf-demo.XXXXXX")
daemon=
finish() {
  [[ -z $daemon ]] || { kill "$daemon" 2>/dev/null && wait "$daemon" 2>/dev/null; } || true
  rm -rf "$work"
}
trap finish EXIT
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '  $ coldshelf %s\n' "$*"; "$bin/coldshelf" --data "$work/data" "$@" | sed 's/^/    /'; }

# Two ports on loopback that nobody listens on.
free_port() {
  local port
  while port=$((20000 + RANDOM % 12000)); (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
  echo "$port"
}
port=$(free_port) console=$(free_port)
while [[ $console == "$port" ]]; do console=$(free_port); done
cat >"$work/coldshelf.toml" <<TOML
[gateway]
name = "demo"
data_dir = "$work/data"
[api]
listen = "127.0.0.1:$console"
[iscsi]
listen = ["127.0.0.1:$port"]
[library]
drives = 2
slots = 10
TOML
store="a directory" pool=GLACIER
if [[ -n $s3 ]]; then
  store=${s3%/}/demo-$(date +%s)-$$ pool=STANDARD
  printf '[store]\ntype = "s3"\nurl = "%s"\n[[pool]]\nname = "STANDARD"\nstorage_class = "STANDARD"\n' "$store" \
    >>"$work/coldshelf.toml"
fi

say "1. A gateway: library, two LTO drives, $store as object store"
"$bin/coldshelfd" --config "$work/coldshelf.toml" 2>"$work/log" &
daemon=$!
for _ in $(seq 100); do
  "$bin/coldshelf" --data "$work/data" status >/dev/null 2>&1 && break
  kill -0 "$daemon" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
  sleep 0.1
done
run status

say "2. A new tape in drive 1"
run tape create --barcode DEMO01L8 --size 10GiB
run library load DEMO01L8 1

say "3. A backup of $source through the drive, over iSCSI on 127.0.0.1:$port"
drive=(--portal "127.0.0.1:$port" --target iqn.2026-11.io.coldshelf:demo-tapedrive-01)
tar -C "$source" -cf - . | "$bin/coldshelf_tapecopy" "${drive[@]}" write
(cd "$source" && find . -type f -exec sha256sum {} +) | sort >"$work/sums"
echo "  $(wc -l <"$work/sums") files"

say "4. The tape goes to the shelf (pool $pool): every object confirmed before the status says so"
run library unload 1
run tape archive DEMO01L8 --wait
run tape show DEMO01L8

say "5. It comes back, and is read"
run tape retrieve DEMO01L8 --tier Standard --wait
run library load DEMO01L8 2
drive=(--portal "127.0.0.1:$port" --target iqn.2026-11.io.coldshelf:demo-tapedrive-02)
mkdir "$work/restored"
"$bin/coldshelf_tapecopy" "${drive[@]}" read | tar -C "$work/restored" -xf -

say "6. Every byte compared"
(cd "$work/restored" && find . -type f -exec sha256sum {} +) | sort | cmp - "$work/sums"
echo "  $(wc -l <"$work/sums") files are identical"

say "7. The web console: https://127.0.0.1:$console/"
url=https://127.0.0.1:$console ca=$work/data/api/tls-cert.pem
"$bin/coldshelf" --data "$work/data" user add demo --role admin >"$work/key"
key() { sed -n "s/^aws_$1 = //p" "$work/key"; }
# Asked there, as a browser would be: over TLS, with the user's key.
AWS_ACCESS_KEY_ID=$(key access_key_id) AWS_SECRET_ACCESS_KEY=$(key secret_access_key) \
  "$bin/coldshelf" --endpoint "$url" --ca-file "$ca" tape list | sed 's/^/    /'
echo "  log in with access key $(key access_key_id) and secret $(key secret_access_key)"
echo "  the command line: $bin/coldshelf --data $work/data status"
echo "  metrics and health: curl --unix-socket $work/data/coldshelf.sock http://localhost/metrics"
run library status
if [[ -n $keep ]]; then
  read -rp "  The gateway and its console run until you press Enter. " _
else
  echo "  This gateway ends now; ./dev demo --keep leaves it running to look around, ./dev run starts one of your own."
fi
[[ -z $s3 ]] || echo "  what the demo put into the bucket stays: aws s3 rm --recursive $store"
say "Done."
