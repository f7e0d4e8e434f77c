# In the guest: Debian's Bacula and Amanda, set up as docs/runbook.md (in /job) says, with udev's names for the devices.
# Tapes: BAC001L8 in slot 1 to BAC004L8 large ones; BAC005L8, BAC006L8, and from slot 7 on AMA001L8 to AMA003L8,
# of $SMALL_MIB MiB. What is moved into an import/export slot goes to the shelf; a line "@@ recall B" asks the other
# side to bring B back from there.
. /job/lib.sh

# block HEADING N: the N-th block of code below a heading of the runbook.
block() {
  awk -v h="### $1" -v n="$2" '/^##/ { on = $0 == h } on && /^```/ { if (k++ == 2 * n - 1) exit; next } on && k == 2 * n - 1' \
    /job/runbook.md
}
# Waits for a condition, $1 seconds at most.
until_true() {
  local n=$1
  shift
  while ! "$@"; do
    ((n-- > 0)) || return
    sleep 1
  done
}

say "devices"
/lib/systemd/systemd-udevd --daemon
check "udev" eval 'udevadm trigger --action=add && udevadm settle'
check "discovery and login" iscsi_login || finish
check "udev has settled" udevadm settle
ls -l /dev/tape/by-id
C=$(changer_sg)
cs=$(drive_serial "$C") ds1=$(drive_serial "$(tape_sg 1)") ds2=$(drive_serial "$(tape_sg 2)")
by_id=/dev/tape/by-id/scsi-
changer=$by_id$cs
named() { [ "$(readlink -f "$by_id$1")" = "$2" ]; }
check "the changer's name by its serial number" named "$cs" "$C"
check "drive 1's name by its serial number" named "$ds1-nst" "$(tape 1)"
check "drive 2's name by its serial number" named "$ds2-nst" "$(tape 2)"
mtx -f "$changer" status
runbook() { block "$@" | sed "s/CHANGERSERIAL/$cs/; s/DRIVE1SERIAL/$ds1/; s/DRIVE2SERIAL/$ds2/"; }
has() { mtx -f "$changer" status | grep -q "Storage Element [0-9]*:Full :VolumeTag=$1"; }

# -- what is backed up: 120 MiB in 2,500 files
say "a tree"
# In a file system of its own: on the root's overlay, directories and their files are not on the same device, which
# tar --one-file-system, as Amanda calls it, takes for a border.
mkdir -p /tree /restore
mount -t tmpfs tree /tree
mkdir /tree/big /tree/odd
cp -a /usr/share/perl /usr/lib/x86_64-linux-gnu/perl-base /etc /tree/
for n in 1 2 3 4; do head -c 16M /dev/urandom >/tree/big/random$n; done
seq 4000000 >/tree/numbers
truncate -s 100M /tree/odd/sparse
printf 'in the middle' | dd of=/tree/odd/sparse bs=1M seek=50 conv=notrunc status=none
(cd /tree/odd && touch empty "with blanks" äöü && ln -s empty link && ln "with blanks" hardlink && mkfifo pipe && chmod 4750 empty &&
  head -c 1 /dev/zero >one && touch -d 1999-12-31 "with blanks" && chown 12:34 one)
du -sm /tree
find /tree | wc -l
# Times to the second, as Bacula keeps them.
listing() {
  (cd "$1" && find . -type d -printf '%p %y %m %U:%G\n' -o -type l -printf '%p %y %U:%G %l\n' \
    -o -printf '%p %y %m %U:%G %n %s %T@\n' | sed 's/\.[0-9]*$//' | sort)
}
# same A B: the same files with the same bytes, owners, modes, times and links.
same() { diff <(listing "$1") <(listing "$2") && diff -r --no-dereference -x pipe "$1" "$2"; }

# -- Bacula
say "bacula: configuration of the runbook"
umask 022
runbook "Bacula, Bareos" 1 >/tmp/sd.runbook
runbook "Bacula, Bareos" 2 | sed 's/SDHOST/127.0.0.1/; s/SDPASSWORD/secret/' >/tmp/dir.runbook
cat /tmp/sd.runbook
daemon='WorkingDirectory = /var/lib/bacula; Pid Directory = /run/bacula; Maximum Concurrent Jobs = 10'
cat - /tmp/sd.runbook >/etc/bacula/bacula-sd.conf <<SD
Storage { Name = guest-sd; SDAddress = 127.0.0.1; $daemon }
Director { Name = guest-dir; Password = secret }
Messages { Name = Standard; Director = guest-dir = all }
SD
cat >/etc/bacula/bacula-fd.conf <<FD
FileDaemon { Name = guest-fd; FDAddress = 127.0.0.1; $daemon }
Director { Name = guest-dir; Password = secret }
Messages { Name = Standard; Director = guest-dir = all, !skipped, !restored }
FD
cat - /tmp/dir.runbook >/etc/bacula/bacula-dir.conf <<DIR
Director { Name = guest-dir; DirAddress = 127.0.0.1; QueryFile = /etc/bacula/scripts/query.sql; Password = secret; Messages = Standard; $daemon }
Catalog { Name = Catalog; dbname = bacula; dbuser = ""; dbpassword = "" }
Client { Name = guest-fd; Address = 127.0.0.1; Password = secret; Catalog = Catalog; Maximum Concurrent Jobs = 10 }
Messages { Name = Standard; append = /var/lib/bacula/log = all, !skipped; catalog = all, !skipped }
Pool { Name = Tapes; Pool Type = Backup }
Pool { Name = Small; Pool Type = Backup }
FileSet { Name = Tree; Include { Options { signature = MD5; sparse = yes }; File = /tree } }
FileSet { Name = Big; Include { Options { signature = MD5 }; File = /tree/big } }
JobDefs { Name = Defaults; Type = Backup; Client = guest-fd; Storage = coldshelf; Messages = Standard; Level = Full; Maximum Concurrent Jobs = 2 }
Job { Name = Tree; JobDefs = Defaults; FileSet = Tree; Pool = Tapes }
Job { Name = Big; JobDefs = Defaults; FileSet = Big; Pool = Small }
Job { Name = Restore; Type = Restore; JobDefs = Defaults; FileSet = Tree; Pool = Tapes; Where = /restore }
DIR
cat >/etc/bacula/bconsole.conf <<CONSOLE
Director { Name = guest-dir; DirPort = 9101; Address = 127.0.0.1; Password = secret }
CONSOLE
chown -R bacula:tape /etc/bacula/*.conf
mkdir -p /run/bacula && chown bacula:bacula /run/bacula
for p in sd dir fd; do check "bacula-$p takes its configuration" "bacula-$p" -t -c /etc/bacula/bacula-$p.conf; done

# As their units start them: none but the file daemon is root.
as() { setpriv --reuid=bacula --regid="$1" --init-groups "${@:2}"; }

say "bacula: btape"
# It writes 20,000 blocks and reads them: small ones, so that it ends.
sed 's/Maximum Block Size = .*/Maximum Block Size = 4096/' /etc/bacula/bacula-sd.conf >/tmp/btape.conf
printf '%s\n' test y quit >/tmp/btape.in
mtx -f "$changer" load 1 0
as tape timeout 600 btape -c /tmp/btape.conf Drive-1 </tmp/btape.in >/tmp/btape 2>&1
grep -E "===|correct|status|Error|ERR=" /tmp/btape
check "btape: write, rewind, re-read" eval '[ "$(grep -c "20000 re-read correctly\|^10000 blocks re-read correctly" /tmp/btape)" = 3 ]'
check "btape: append" grep -q "We should be in file 4. I am at file 4. This is correct!" /tmp/btape
check "btape: the blocks are where they were written" grep -q "Total files=4, blocks=7, bytes = 28,224" /tmp/btape
check "btape: backspace and re-read" grep -q "Block re-read correct. Test succeeded!" /tmp/btape
check "btape: forward space" grep -q "We should be in file 5. I am at file 5. This is correct!" /tmp/btape
check "btape: the autochanger" grep -q "The test autochanger worked" /tmp/btape
check "btape: nothing else is wrong" eval '! grep -iE "failed|incorrect|not correct|ERR=" /tmp/btape'

say "bacula: btape fills the tape"
# To the end of the medium, with blocks of a MiB; then it goes to the last one and compares it. Of a tape of fewer than
# some 1,000 blocks it finds no end.
printf '%s\n' fill s quit >/tmp/btape.in
as tape timeout 600 btape -c /etc/bacula/bacula-sd.conf Drive-1 </tmp/btape.in >/tmp/btape 2>&1
tail -n 22 /tmp/btape
check "btape: the end of the medium" grep -q "End of Volume .* Write of 1048576 bytes got -1" /tmp/btape
check "btape: the last block is read again" grep -q "Re-read of last block succeeded" /tmp/btape
check "btape: LOCATE to the last block, compared" grep -q "The last block on the tape matches. Test succeeded." /tmp/btape
check "its tape goes back" mtx -f "$changer" unload 1 0

say "bacula: labels"
as tape bacula-sd -f -c /etc/bacula/bacula-sd.conf >/tmp/sd.log 2>&1 &
bacula-fd -f -c /etc/bacula/bacula-fd.conf >/tmp/fd.log 2>&1 &
as bacula bacula-dir -f -c /etc/bacula/bacula-dir.conf >/tmp/dir.log 2>&1 &
# Through a file: whoever reads only the beginning of its output does not stop it.
console() { printf '%s\n' "$@" quit | timeout 240 bconsole >/tmp/console.out 2>&1; cat /tmp/console.out; }
check "the director answers" until_true 30 eval 'console version | grep -q "guest-dir Version: 9.6"'
check "update slots" eval 'console "update slots storage=coldshelf drive=0" | tee /dev/stderr | grep -q "BAC002L8"'
label() { console "label barcodes pool=$1 storage=coldshelf drive=0 slots=$2" yes | tee /dev/stderr; }
check "label barcodes, the large tapes" eval '[ "$(label Tapes 2-4 | grep -c "successfully created")" = 3 ]'
check "label barcodes, the small ones" eval '[ "$(label Small 5-6 | grep -c "successfully created")" = 2 ]'
console "list volumes"

# start COMMAND...: a job; its number. ended ID: waits for its end, prints its report, true if it ended well.
start() { console "$@" | tee /dev/stderr | sed -n 's/^Job queued. JobId=//p'; }
ended() {
  console "wait jobid=$1 timeout=200" >/dev/null
  console "list joblog jobid=$1" >"/tmp/job.$1"
  grep -qE 'Termination: +(Backup|Restore) OK' "/tmp/job.$1" && return
  cat "/tmp/job.$1"
  console "status storage=coldshelf" messages "cancel jobid=$1"
  return 1
}
restore() {  # TREE WHAT...: into /restore, compared with TREE
  local id
  rm -rf /restore && mkdir /restore || return
  id=$(start "restore client=guest-fd storage=coldshelf where=/restore ${*:2} done yes") && ended "$id" && same "$1" "/restore$1"
}
in_changer() { console "list volume=$1" | tee /dev/stderr | awk -F'|' -v v="$1" '$3 ~ v { found = $11 + 0 } END { exit !(found == '"$2"') }'; }

say "bacula: two jobs at once, one of them longer than its tape"
tree=$(start "run job=Tree yes") big=$(start "run job=Big yes")
check "full backup" ended "$tree"
check "a job from one tape to the next" ended "$big"
cat /tmp/job.$tree /tmp/job.$big
check "it met the end of the medium" grep -q "End of medium on Volume \"BAC005L8\"" /tmp/job.$big
check "the last block was read again" grep -q "Re-read of last block succeeded" /tmp/job.$big
check "it went on on the next tape" grep -q 'Volume name(s): *BAC005L8|BAC006L8' /tmp/job.$big
check "both drives were used" eval 'cat /tmp/job.$tree /tmp/job.$big | grep -q "Drive-1" && cat /tmp/job.$tree /tmp/job.$big | grep -q "Drive-2"'

say "bacula: restore"
check "restore of everything, compared" restore /tree "fileset=Tree select current all"
check "holes are holes" [ "$(du -sk /restore/tree/odd/sparse | cut -f1)" -lt 4096 ]
check "restore from both tapes, compared" restore /tree/big "jobid=$big all"

say "bacula: incremental"
mv /tree/etc /kept
rm -rf /restore
cp -a /usr/share/perl5 /tree/new
echo more >>/tree/numbers
tree=$(start "run job=Tree level=Incremental yes")
check "incremental backup" ended "$tree"
check "it is one" eval 'grep -q "Backup Level: *Incremental" /tmp/job.$tree && grep -q "BAC002L8" /tmp/job.$tree'
mv /kept /tree/etc   # without Accurate a deleted file comes back
check "restore of both, compared" restore /tree "fileset=Tree select current all"

say "bacula: a tape goes to the shelf and comes back"
console "release storage=coldshelf drive=0 slot=0" "release storage=coldshelf drive=1 slot=0"
check "the drives are empty" eval '[ "$(mtx -f "$changer" status | grep -c "Data Transfer Element [01]:Empty")" = 2 ]'
check "no more is written to it" eval 'console "update volume=BAC002L8 volstatus=Used" | tee /dev/stderr | grep -q "New Volume status is: Used"'
mail=$(mtx -f "$changer" status | sed -n 's/.*Storage Element \([0-9]*\) IMPORT.EXPORT:Empty.*/\1/p' | head -n 1)
check "transfer to the import/export slot" mtx -f "$changer" transfer 2 "$mail"
check "it leaves the library" until_true 60 eval '! mtx -f "$changer" status | grep -q BAC002L8'
check "update slots" eval 'console "update slots storage=coldshelf drive=0"; in_changer BAC002L8 0'
echo "@@ recall BAC002L8"
check "it is in a slot again" until_true 120 has BAC002L8
check "update slots" eval 'console "update slots storage=coldshelf drive=0"; in_changer BAC002L8 1'
# A part of it is taken from the tree of files.
part() {
  local id t
  rm -rf /restore && mkdir /restore || return
  id=$(start "restore client=guest-fd storage=coldshelf where=/restore fileset=Tree select current" "cd /tree" \
    "mark big odd new" done yes) && ended "$id" || return
  for t in big odd new; do same /tree/$t /restore/tree/$t || return; done
}
check "restore from it, compared" part
console "release storage=coldshelf drive=0 slot=0" "release storage=coldshelf drive=1 slot=0"
kill $(cat /run/bacula/bacula-*.pid)
check "the daemons end" until_true 30 eval '! pgrep "bacula-(sd|dir|fd)"'
check "the drives are empty again" eval '[ "$(mtx -f "$changer" status | grep -c "Data Transfer Element [01]:Empty")" = 2 ]'

# -- Amanda
say "amanda: configuration of the runbook"
# Small tapes, and parts that fit into them.
runbook Amanda 1 | sed "s/2048 gbytes/$SMALL_MIB mbytes/; s/20 gbytes/8 mbytes/; s/1-40/7-9/" >/tmp/amanda.runbook
cat /tmp/amanda.runbook
mkdir -p /etc/amanda/coldshelf /var/lib/amanda/coldshelf/{curinfo,log,index}
touch /var/lib/amanda/coldshelf/tapelist
cat - /tmp/amanda.runbook >/etc/amanda/coldshelf/amanda.conf <<CONF
org "coldshelf"
mailto ""
dumpuser "backup"
dumpcycle 1 week
tapecycle 3 tapes
runtapes 2
labelstr "^AMA-[0-9]+$"
infofile "/var/lib/amanda/coldshelf/curinfo"
logdir "/var/lib/amanda/coldshelf/log"
indexdir "/var/lib/amanda/coldshelf/index"
tapelist "/var/lib/amanda/coldshelf/tapelist"
define dumptype tree {
  program "GNUTAR"
  compress none
  index yes
  auth "local"
}
CONF
printf 'localhost /tree/%s tree\n' big odd >/etc/amanda/coldshelf/disklist
chown -R backup:backup /etc/amanda/coldshelf /var/lib/amanda/coldshelf
am() { cd / && timeout 300 setpriv --reuid=backup --regid=backup --init-groups "$@"; }
check "amcheck of the configuration" am amcheck -l coldshelf
am amtape coldshelf inventory
check "amtape inventory shows the barcodes" eval 'am amtape coldshelf inventory 2>&1 | grep -q AMA001L8'
label_all() { local n; for n in 1 2 3; do am amlabel coldshelf AMA-00$n slot $((n + 6)) || return; done; }
check "amlabel of every tape" label_all
check "amcheck of a tape" am amcheck -t coldshelf
say "amanda: dump"
check "amdump" am amdump coldshelf
am amreport coldshelf >/tmp/amreport
cat /tmp/amreport
check "from one tape to the next" grep -q "These dumps were to tapes AMA-001, AMA-002" /tmp/amreport
check "amcheckdump" am amcheckdump coldshelf
fetch() {
  rm -rf /restore && mkdir /restore && am amfetchdump -a -p coldshelf localhost "^/tree/$1$" | tar -C /restore --same-owner -xpf - &&
    same "/tree/$1" /restore
}
check "amfetchdump, compared" fetch big
recover() {
  rm -rf /restore && mkdir /restore && cd /restore &&
    printf '%s\n' "sethost localhost" "setdisk /tree/$1" "addx .*" extract Y Y quit |
    timeout 300 amrecover coldshelf -s localhost -t localhost -o auth=local && same "/tree/$1" /restore
}
check "amrecover, compared" recover odd
emptied() {
  local d slot
  for d in 0 1; do
    slot=$(mtx -f "$changer" status | sed -n "s/^Data Transfer Element $d:Full (Storage Element \([0-9]*\) Loaded).*/\1/p")
    [ -z "$slot" ] || mtx -f "$changer" unload "$slot" $d || return
  done
}
check "the drives are emptied" emptied
check "logout" iscsi_logout
say "kernel messages"
dmesg | grep -E ' (st|ch|sg|scsi) |session|connection' | tail -n 25
check "no error in the kernel's log" eval '! dmesg | grep -v "Power-on or device reset" | grep -iE "task abort|reset|conn error|i/o error|BUG:|Oops"'
finish
