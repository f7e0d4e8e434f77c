# In the guest: a whole tape library under the kernel's st, sg and ch drivers. Two drives or more, four full slots
# or more: $TAPES large cartridges from slot 1 on, and in slot $SMALL_SLOT one of $SMALL_MIB MiB.
. /job/lib.sh

check "discovery and login" iscsi_login || finish
say "devices"
lsscsi -g
lsscsi -t
T=$(tape 1) TS=$(tape_sg 1) T2=$(tape 2) TS2=$(tape_sg 2) C=$(changer_sg)
[ -n "$T" ] && [ -n "$T2" ] && [ -n "$C" ] || { echo "FAIL no two drives or no changer"; fails=1; finish; }
echo "drive 1 $T ($TS), drive 2 $T2 ($TS2), changer $C"

# -- sg3-utils: one command each
say "SCSI queries"
for d in "$TS" "$TS2" "$C"; do take_attentions "$d"; done
for d in "$TS" "$C"; do
  kind=drive; [ "$d" = "$C" ] && kind=changer
  check "$kind: sg_inq" sg_inq "$d"
  check "$kind: sg_inq in hex has 36 bytes at least" eval "[ \$(sg_inq --raw $d | wc -c) -ge 36 ]"
  for page in sv sn di; do check "$kind: sg_vpd $page" sg_vpd -p $page "$d"; done
  check "$kind: an unknown VPD page is refused" refused sg_vpd -p 0xc7 "$d"
  check "$kind: sg_luns" sg_luns "$d"
  check "$kind: sg_opcodes" sg_opcodes "$d"
  check "$kind: sg_opcodes with timeouts" sg_opcodes --rctd "$d"
  check "$kind: sg_opcodes of one command" sg_opcodes --opcode=0x12 "$d"
  check "$kind: sg_modes of all pages" sg_modes -a "$d"
  check "$kind: sg_logs of the page list" sg_logs "$d"
  check "$kind: sg_logs TapeAlert" sg_logs -p 0x2e "$d"
  check "$kind: sg_requests" sg_requests "$d"
  check "$kind: sg_persist keys" sg_persist --in --read-keys "$d"
  check "$kind: sg_persist capabilities" sg_persist --in --report-capabilities "$d"
  check "$kind: sg_persist full status" sg_persist --in --read-full-status "$d"
done
for page in 0x1d 0x1e 0x1f; do check "changer: mode page $page" sg_modes -p $page "$C"; done
reserve() {
  local key=0xc01d5e1f d=$1
  sg_persist --out --register --param-sark=$key "$d" &&
    sg_persist --out --reserve --param-rk=$key --prout-type=3 "$d" &&
    sg_persist --in --read-reservation "$d" | grep -qi "type: exclusive access$" &&
    sg_persist --out --release --param-rk=$key --prout-type=3 "$d" &&
    sg_persist --out --register --param-rk=$key --param-sark=0 "$d"
}
check "drive: persistent reservation, taken and given back" reserve "$TS"
check "changer: persistent reservation, taken and given back" reserve "$C"

# -- the changer
say "changer"
slots() { mtx -f "$C" status; }
slots
drive_has() { slots | grep -q "Data Transfer Element $1:Full (Storage Element $2 Loaded)"; }
slot_is() { slots | grep -q "Storage Element $1\( IMPORT/EXPORT\)\?:$2"; }
check "mtx inquiry" mtx -f "$C" inquiry
check "mtx inventory" mtx -f "$C" inventory
check "mtx status shows every slot" eval '[ "$(slots | grep -c "Storage Element")" -ge "$SLOTS" ]'
check "mtx status shows barcodes" eval 'slots | grep -q "VolumeTag *= *GST001"'
check "mtx with the alternative query" mtx -f "$C" altres status
free=$(slots | sed -n 's/.*Storage Element \([0-9]*\):Empty.*/\1/p' | head -n 1)
mail=$(slots | sed -n 's/.*Storage Element \([0-9]*\) IMPORT.EXPORT:Empty.*/\1/p' | head -n 1)
check "transfer slot to slot" eval 'mtx -f "$C" transfer 2 $free && slot_is $free Full && slot_is 2 Empty'
check "transfer back" mtx -f "$C" transfer "$free" 2
check "transfer to import/export and back" eval 'mtx -f "$C" transfer 2 $mail && slot_is $mail Full && mtx -f "$C" transfer $mail 2'
check "position" mtx -f "$C" position 1
drive1=$(drive_index 1) drive2=$(drive_index 2)
check "load" mtx -f "$C" load 1 "$drive1"
check "status names the source slot" drive_has "$drive1" 1
check "a load into a full drive is refused" refused mtx -f "$C" load 2 "$drive1"
check "a load from an empty slot is refused" refused mtx -f "$C" load "$free" "$drive2"
check "a transfer to a full slot is refused" refused mtx -f "$C" transfer 2 3
check "DVCID names the drive" eval 'sg_raw -r 4096 "$C" b8 14 00 00 ff ff 01 00 10 00 00 00 2>&1 | grep -qi "$(drive_serial "$TS" | cut -c1-6)"'

# -- the drive
say "drive"
mt_() { mt -f "$T" "$@"; }
check "ready after load" ready "$T"
mt_ status
check "rewind" mt_ rewind
for page in 0x02 0x03 0x0c 0x11 0x12 0x14 0x17 0x30 0x31 0x32; do check "sg_logs $page" sg_logs -p $page "$TS"; done
for page in 0x01 0x02 0x0a 0x0f 0x10 0x11 0x1c; do check "sg_modes $page" sg_modes -p $page "$TS"; done
check "sg_read_attr" sg_read_attr "$TS"
check "sg_read_attr of one attribute" sg_read_attr --filter=0x0400 "$TS"
check "sg_timestamp" sg_timestamp "$TS"
check "sg_rtpg" sg_rtpg "$TS"
check "tapeinfo" tapeinfo -f "$TS"
check "density support" sg_raw -r 512 "$TS" 44 00 00 00 00 00 00 02 00 00
check "density support of the medium" sg_raw -r 512 "$TS" 44 01 00 00 00 00 00 02 00 00
check "read block limits" sg_read_block_limits "$TS"
check "self test" sg_senddiag --test "$TS"

say "block sizes"
# Write and read back; closing after a write adds a filemark.
cycle() {
  mt_ rewind && mt_ setblk "$1" && dd if=/tmp/data of="$T" bs="$2" status=none &&
    mt_ rewind && dd if="$T" bs="$2" status=none | cmp - /tmp/data
}
for bs in 512 1024 4096 32768 65536 131072 262144 524288 1048576; do
  size=4M
  [ $bs -ge 32768 ] || size=256K
  head -c $size /dev/urandom >/tmp/data
  check "variable blocks of $bs" cycle 0 $bs
done
head -c 4M /dev/urandom >/tmp/data
check "fixed blocks of 512, requests of 64 KiB" cycle 512 65536
check "fixed blocks of 4096, requests of 1 MiB" cycle 4096 1048576
check "fixed blocks of 65536, requests of 256 KiB" cycle 65536 262144
check "fixed blocks of 1 MiB" cycle 1048576 1048576
check "back to variable" mt_ setblk 0
odd() {  # sizes that are no multiple of four: no byte is lost
  local n
  for n in 1 2 3 513 4095 65537 1000001; do
    head -c "$n" /dev/urandom >/tmp/odd
    mt_ rewind && dd if=/tmp/odd of="$T" bs="$n" count=1 status=none && mt_ rewind &&
      dd if="$T" bs=1M count=1 status=none | cmp - /tmp/odd || return
  done
}
check "odd block sizes" odd
one_block() { mt_ rewind && [ "$(dd if="$T" bs=256k count=1 2>/dev/null | wc -c)" = 65536 ]; }
too_small() { mt_ rewind && dd if="$T" bs=4k count=1 2>&1 >/dev/null | grep -q "Cannot allocate memory"; }
check "write 64 KiB blocks" cycle 0 65536
check "a read larger than the block gives one block" one_block
check "a read smaller than the block is refused" too_small

say "filemarks and positions"
# Four files, the n-th holding n in one block.
files() { local i; mt_ rewind && for i in 1 2 3 4; do printf 'file %s' $i | dd of="$T" bs=1k status=none || return; done; mt_ rewind; }
here() { [ "$(dd if="$T" bs=1k count=1 status=none)" = "file $1" ]; }
number() { mt_ status >/tmp/status; grep -q "File number=$1, block number=$2[,.]" /tmp/status || { cat /tmp/status; return 1; }; }
at() { "${@:2}" && here "$1"; }
check "write four files" files
check "fsf 2" at 3 mt_ fsf 2
check "bsfm 1, to the start of the same file" at 3 mt_ bsfm 1
check "fsfm 1, before the filemark" eval 'mt_ rewind && mt_ fsfm 1 && number 0 -1'
check "asf 1" at 2 mt_ asf 1
check "eod" mt_ eod
# st gets there by filemarks: it knows the file then, not the block.
check "file number at the end of data" number 4 -1
check "seod" eval 'mt_ rewind && mt_ seod && number 4 -1'
check "bsf 2 from the end, then fsf 1" at 4 eval "mt_ bsf 2 && mt_ fsf 1"
check "a read at the end of data gives nothing" eval 'mt_ eod; [ "$(dd if="$T" bs=1k count=1 2>/dev/null | wc -c)" = 0 ]'
check "fsf beyond the end of data fails" eval 'mt_ rewind && ! mt_ fsf 9'
check "bsf before the beginning fails" eval 'mt_ rewind && ! mt_ bsf 3'
check "weof 3, then over each" eval "files && mt_ fsf 4 && mt_ weof 3 && mt_ asf 6 && mt_ rewind"
check "write four files again" files
check "append after eod" eval 'mt_ eod && printf "file 5" | dd of="$T" bs=1k status=none && mt_ asf 4 && here 5'
check "tell" eval 'mt_ rewind && mt_ fsr 1 && mt_ tell | grep -q "block 1"'
check "seek to block 4" eval 'mt_ seek 4 && mt_ tell | grep -q "block 4" && here 3'
check "fsr and bsr" eval 'mt_ rewind && mt_ fsr 1 && mt_ bsr 1 && here 1'
check "overwriting truncates" eval 'mt_ rewind && printf "file 9" | dd of="$T" bs=1k status=none && mt_ rewind && here 9 && ! mt_ fsf 2'
check "erase, short" eval 'mt_ rewind && mt_ erase 0 && mt_ rewind && [ "$(dd if="$T" bs=1k count=1 2>/dev/null | wc -c)" = 0 ]'
check "retension" mt_ retension
check "compression off and on" eval 'mt_ compression 0 && mt_ compression 1'
check "drvbuffer" mt_ drvbuffer 1
check "lock refuses the unload" eval 'mt_ lock && refused mtx -f "$C" unload 1 $drive1 && mt_ unlock'

say "tar"
tree() {
  rm -rf /tmp/tree; mkdir -p /tmp/tree; cp -a /etc /tmp/tree/; head -c 3M /dev/urandom >/tmp/tree/blob
  head -c 3M /dev/zero >/tmp/tree/zeros
  (cd /tmp/tree && find . -type f -exec sha256sum {} + | sort) >/tmp/sums
}
tree
check "tar to tape, 64 KiB records" eval 'mt_ rewind && tar -b 128 -cf "$T" -C /tmp/tree .'
check "tar compare" eval 'mt_ rewind && tar -b 128 -df "$T" -C /tmp/tree'
check "tar from tape, checksums" eval 'mt_ rewind && mkdir -p /tmp/back && tar -b 128 -xf "$T" -C /tmp/back && (cd /tmp/back && sha256sum --quiet -c /tmp/sums)'
check "a second archive behind the first" eval 'mt_ eod && tar -b 20 -cf "$T" /etc/hosts /etc/passwd && mt_ asf 1 && tar -b 20 -tf "$T"'
check "the first archive is still whole" eval 'mt_ rewind && tar -b 128 -df "$T" -C /tmp/tree'

# -- the same cartridge in another drive
say "unload and the other drive"
check "offline" mt_ offline
check "no medium is reported" eval '! mt_ status 2>&1 | grep -q ONLINE'
check "load brings it back" eval 'mt_ load && ready "$T"'
check "offline again" mt_ offline
check "unload" mtx -f "$C" unload 1 "$drive1"
check "load into drive 2" mtx -f "$C" load 1 "$drive2"
check "drive 2 is ready" ready "$T2"
check "drive 2 reads what drive 1 wrote" eval 'mt -f "$T2" rewind && tar -b 128 -df "$T2" -C /tmp/tree'
check "unload without offline, to another slot" eval 'mtx -f "$C" unload $free $drive2 && slot_is $free Full && slot_is 1 Empty'
check "back to its slot" mtx -f "$C" transfer "$free" 1
check "both drives at once" eval 'mtx -f "$C" load 1 $drive1 && mtx -f "$C" load 2 $drive2 && ready "$T" && ready "$T2"'
both() {
  head -c 8M /dev/urandom >/tmp/a; head -c 8M /dev/urandom >/tmp/b
  mt -f "$T" rewind && mt -f "$T2" rewind || return
  dd if=/tmp/a of="$T" bs=64k status=none & local first=$!
  dd if=/tmp/b of="$T2" bs=256k status=none && wait $first || return
  mt -f "$T" rewind && mt -f "$T2" rewind && dd if="$T" bs=64k status=none | cmp - /tmp/a &&
    dd if="$T2" bs=256k status=none | cmp - /tmp/b
}
check "two drives write at the same time" both
check "unload both" eval 'mtx -f "$C" unload 1 $drive1 && mtx -f "$C" unload 2 $drive2'

# -- the end of a tape
say "end of medium"
check "load the small tape" eval 'mtx -f "$C" load "$SMALL_SLOT" $drive1 && ready "$T"'
fill() {
  mt_ rewind && dd if=/dev/urandom of="$T" bs=256k 2>/tmp/fill
  grep -q "No space left" /tmp/fill || { cat /tmp/fill; return 1; }
  written=$(awk '/records out/ { split($1, n, "+"); print n[1] }' /tmp/fill)
  [ "$written" -le $((SMALL_MIB * 4)) ] && [ "$written" -ge $((SMALL_MIB * 4 * 8 / 10)) ] || { echo "$written blocks"; return 1; }
  mt_ rewind && [ "$(dd if="$T" bs=256k 2>/dev/null | wc -c)" = $((written * 262144)) ]
}
check "fill it: no space left at its size, everything readable" fill
check "small tape back" mtx -f "$C" unload "$SMALL_SLOT" "$drive1"
slots
check "logout" iscsi_logout
say "kernel messages"
dmesg | grep -E ' (st|ch|sg|scsi) |session|connection' | tail -n 25
check "no error in the kernel's log" eval '! dmesg | grep -v "Power-on or device reset" | grep -iE "task abort|reset|conn error|i/o error|BUG:|Oops"'
finish
