# In the guest: volumes under the kernel's sd driver. $VOLUME is one of 512-byte blocks, $VOLUME4 one of 4096. A line
# "@@ kill" asks the other side to kill the gateway and start it again, "@@ measure NAME" to note how much of $VOLUME is
# mapped.
. /job/lib.sh

check "discovery and login" iscsi_login || finish
disk() { node_of "$(hctl "-volume-$1")"; }
D=$(disk "$VOLUME") D4=$(disk "$VOLUME4")
[ -b "$D" ] && [ -b "$D4" ] || { lsscsi -t; echo "FAIL no disks"; fails=1; finish; }
say "disks $D ($(blockdev --getsize64 "$D") bytes) and $D4"

say "SCSI queries"
for d in "$D" "$D4"; do
  check "inquiry of $d" sg_inq "$d"
  for p in sv sn di bl bdc lbpv; do check "vpd $p" sg_vpd -p $p "$d"; done
  check "read capacity 16" sg_readcap -16 "$d"
  check "mode pages" sg_modes -a "$d"
  check "supported commands" sg_opcodes "$d"
  check "verify" sg_verify --lba=0 --count=128 "$d"
  check "synchronize cache" sg_sync "$d"
  check "get LBA status" sg_get_lba_status --lba=0 "$d"
done
check "blocks of 512" [ "$(blockdev --getss "$D")" = 512 ]
check "blocks of 4096" [ "$(blockdev --getss "$D4")" = 4096 ]
check "it can discard" [ "$(cat "/sys/block/${D##*/}/queue/discard_max_bytes")" -gt 0 ]
check "persistent reservation" eval '
  sg_persist --out --register --param-sark=0xabc "$D" && sg_persist --out --reserve --param-rk=0xabc --prout-type=1 "$D" &&
  sg_persist --in --read-reservation "$D" | grep -q 0xabc && sg_persist --out --clear --param-rk=0xabc "$D"'

say "file systems"
mkdir -p /mnt/a /mnt/b
for d in "$D /mnt/a" "$D4 /mnt/b"; do
  set -- $d
  check "mkfs.ext4 of $1" mkfs.ext4 -qF -E nodiscard "$1"
  check "mount $1" mount "$1" "$2"
done
fio_verified() {
  fio --name=v --directory="$1" --rw=randwrite --bsrange=4k-64k --size="$2" --ioengine=psync --direct=1 \
    --verify=crc32c --verify_fatal=1 --do_verify=1 --fsync=16 --randseed=7 --output-format=terse
}
check "fio writes and verifies on $D" fio_verified /mnt/a 48m
check "fio writes and verifies on $D4" fio_verified /mnt/b 24m

say "the gateway is killed under load"
fio_verified /mnt/a 64m >/tmp/fio.out 2>&1 &
load=$!
sleep 3
echo "@@ kill"
wait $load; went_on=$?  # (check runs what it checks in a shell of its own)
check "fio goes on and verifies" eval 'cat /tmp/fio.out; [ $went_on = 0 ]'
check "files written before are whole" eval 'head -c 8M /dev/urandom >/mnt/a/blob && sync && sha256sum /mnt/a/blob >/tmp/sum'
echo "@@ kill"
check "they are read back from the disk" eval 'sleep 3; echo 3 >/proc/sys/vm/drop_caches; sha256sum --quiet -c /tmp/sum'
check "unmount" umount /mnt/a
check "fsck is clean" fsck.ext4 -fn "$D"

say "space"
check "mount again" mount "$D" /mnt/a
echo "@@ measure before"
check "delete and fstrim" eval 'rm -f /mnt/a/v.* /mnt/a/blob && sync && fstrim -v /mnt/a'
check "unmount" umount /mnt/a
check "fsck is clean" fsck.ext4 -fn "$D"
check "unmount the other" umount /mnt/b
check "fsck of the other" fsck.ext4 -fn "$D4"
check "logout" iscsi_logout
echo "@@ measure after"
finish
