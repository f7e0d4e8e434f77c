#!/usr/bin/env bash
# The EBS stand-in under a client that is not ours: Debian's `aws` against it. A full round of the
# EBS direct APIs, of EC2's snapshots, STS and SNS, with pages, errors and retries.
# usage: aws_cli.sh STANDIN_PROGRAM
set -euo pipefail
standin=$1
here=$(cd "$(dirname "$0")" && pwd)
[[ -x /usr/bin/aws ]] || { echo "aws_cli: /usr/bin/aws is missing (package awscli)" >&2; exit 1; }
work=$(mktemp -d)
pid= forks=
finish() {
  [[ -z $pid ]] || kill "$pid" 2>/dev/null || true  # the stand-in, started below
  [[ -z $forks ]] || { kill "$forks" 2>/dev/null; wait "$forks" 2>/dev/null; } || true  # aws, likewise
  rm -rf "$work"
}
trap finish EXIT

export AWS_ACCESS_KEY_ID=AKIAONE AWS_SECRET_ACCESS_KEY=secret-one AWS_DEFAULT_REGION=us-east-1
export AWS_CONFIG_FILE=$work/none AWS_SHARED_CREDENTIALS_FILE=$work/none AWS_EC2_METADATA_DISABLED=true
export AWS_PAGER= AWS_DEFAULT_OUTPUT=text AWS_MAX_ATTEMPTS=5 AWS_RETRY_MODE=standard
unset AWS_PROFILE AWS_SESSION_TOKEN http_proxy HTTP_PROXY || true
export NO_PROXY=127.0.0.1

coproc STANDIN {
  exec "$standin" --account 111122223333:AKIAONE:secret-one --account 444455556666:AKIATWO:secret-two --page-items 5
}
pid=$STANDIN_PID
exec 8<&"${STANDIN[0]}" 9>&"${STANDIN[1]}"
read -r -t 60 endpoint <&8
# A command for the stand-in; its answer is in $reply.
tell() {
  echo "$*" >&9
  read -r -t 60 reply <&8
  [[ $reply != error:* ]] || { echo "aws_cli: $reply" >&2; exit 1; }
}
# aws itself, in a fork for each command (aws_forks.py); one at a time.
mkfifo "$work/ask" "$work/answer"
/usr/bin/python3 "$here/aws_forks.py" "$work/aws.out" "$work/aws.err" < "$work/ask" > "$work/answer" 8<&- 9>&- &
forks=$!
exec 7> "$work/ask" 6< "$work/answer"
run() {
  local code
  printf '%s\0' "AWS_ACCESS_KEY_ID=$AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY=$AWS_SECRET_ACCESS_KEY" \
    "AWS_SESSION_TOKEN=${AWS_SESSION_TOKEN-}" -- --endpoint-url "$endpoint" "$@" | base64 -w0 >&7
  echo >&7
  read -r -t 120 code <&6 || { echo "aws_cli: aws does not answer" >&2; exit 1; }
  cat "$work/aws.out"
  cat "$work/aws.err" >&2
  return "$code"
}
with() { (export "$1" && shift && "$@"); }  # NAME=VALUE COMMAND...
ebs() { run ebs "$@"; }
ec2() { run ec2 "$@"; }

checks=0
expect() {  # WHAT WANTED GOT
  checks=$((checks + 1))
  [[ $2 == "$3" ]] || { echo "aws_cli: $1: wanted '$2', got '$3'" >&2; exit 1; }
}
refused() {  # CODE COMMAND...
  local code=$1 out
  shift
  checks=$((checks + 1))
  if out=$("$@" 2>&1); then
    echo "aws_cli: not refused ($code): $*" >&2
    exit 1
  fi
  [[ $out == *"($code)"* ]] || { echo "aws_cli: $*: wanted $code, got $out" >&2; exit 1; }
}
sha() { openssl dgst -sha256 -binary "$1" | base64 -w0; }
block() { openssl enc -aes-128-ctr -K "$(printf '%032x' "$1")" -iv 0 -in /dev/zero 2>/dev/null | head -c 524288 > "$2" || true; }

# 1. Start, put, complete: with counts and checksums.
id=$(ebs start-snapshot --volume-size 3 --description "a round" --client-token token-1 \
  --tags Key=by,Value=aws --query SnapshotId)
expect "the client token again" "$id" "$(ebs start-snapshot --volume-size 3 --description 'a round' \
  --client-token token-1 --tags Key=by,Value=aws --query SnapshotId)"
refused ConflictException ebs start-snapshot --volume-size 4 --client-token token-1
refused ValidationException ebs start-snapshot --volume-size 3 --encrypted --parent-snapshot-id "$id"
put() {  # SNAPSHOT INDEX FILE
  ebs put-snapshot-block --snapshot-id "$1" --block-index "$2" --block-data "$3" --data-length 524288 \
    --checksum "$(sha "$3")" --checksum-algorithm SHA256 --query Checksum
}
for i in 0 5 6000; do
  block "$i" "$work/block.$i"
  expect "put $i" "$(sha "$work/block.$i")" "$(put "$id" "$i" "$work/block.$i")"
done
refused ValidationException ebs put-snapshot-block --snapshot-id "$id" --block-index 7 \
  --block-data "$work/block.0" --data-length 524288 --checksum "$(sha "$work/block.5")" --checksum-algorithm SHA256
refused ValidationException put "$id" 6144 "$work/block.0"
refused ValidationException ebs list-snapshot-blocks --snapshot-id "$id"
linear=$(for i in 0 5 6000; do openssl dgst -sha256 -binary "$work/block.$i"; done | openssl dgst -sha256 -binary | base64 -w0)
refused ValidationException ebs complete-snapshot --snapshot-id "$id" --changed-blocks-count 2
refused ValidationException ebs complete-snapshot --snapshot-id "$id" --changed-blocks-count 3 \
  --checksum "$(sha "$work/block.0")" --checksum-algorithm SHA256 --checksum-aggregation-method LINEAR
expect "complete" completed "$(ebs complete-snapshot --snapshot-id "$id" --changed-blocks-count 3 \
  --checksum "$linear" --checksum-algorithm SHA256 --checksum-aggregation-method LINEAR --query Status)"

# 2. A child of it, and what changed.
child=$(ebs start-snapshot --volume-size 3 --parent-snapshot-id "$id" --query SnapshotId)
put "$child" 5 "$work/block.0" > "$work/out"
put "$child" 9 "$work/block.5" > "$work/out"
ebs complete-snapshot --snapshot-id "$child" --changed-blocks-count 2 > "$work/out"
expect "changed" "5 9" "$(ebs list-changed-blocks --first-snapshot-id "$id" --second-snapshot-id "$child" \
  --query 'ChangedBlocks[].BlockIndex' | xargs)"
expect "listed" "0 5 9 6000" "$(ebs list-snapshot-blocks --snapshot-id "$child" --query 'Blocks[].BlockIndex' | xargs)"
expect "from 6 on" "9 6000" "$(ebs list-snapshot-blocks --snapshot-id "$child" --starting-block-index 6 \
  --query 'Blocks[].BlockIndex' | xargs)"
expect "sizes" "524288 3" "$(ebs list-snapshot-blocks --snapshot-id "$child" --query '[BlockSize,VolumeSize]' | xargs)"
expect "expiry" 7 "$((($(date -d "$(ebs list-snapshot-blocks --snapshot-id "$child" --query ExpiryTime)" +%s) - $(date +%s) + 3600) / 86400))"

# 3. Every block comes back, by the token it was listed with.
while read -r index token; do
  ebs get-snapshot-block --snapshot-id "$child" --block-index "$index" --block-token "$token" "$work/got" \
    --query '[Checksum,DataLength]' > "$work/out"
  expect "checksum of $index" "$(sha "$work/got") 524288" "$(xargs < "$work/out")"
  case $index in 0 | 5) from=0 ;; 9) from=5 ;; *) from=6000 ;; esac
  cmp "$work/got" "$work/block.$from"
  checks=$((checks + 1))
done < <(ebs list-snapshot-blocks --snapshot-id "$child" --query 'Blocks[].[BlockIndex,BlockToken]')
refused ValidationException ebs get-snapshot-block --snapshot-id "$child" --block-index 0 --block-token bm8= "$work/got"
refused ResourceNotFoundException ebs list-snapshot-blocks --snapshot-id snap-00000000000000000

# 4. Pages: the stand-in's own volume, more blocks than a page has.
tell volume 1 Backup=daily; volume=$reply
tell pattern "$volume" 0 950 1
tell snapshot "$volume"; base=$reply
# This version of aws does not go through pages of the EBS direct APIs by itself.
pages=0 listed=0 next=
while :; do
  page=$(ebs list-snapshot-blocks --snapshot-id "$base" --max-results 400 ${next:+--next-token "$next"} \
    --query '[length(Blocks),NextToken]')
  read -r count next <<< "$page"
  pages=$((pages + 1)) listed=$((listed + count))
  [[ $next != None ]] || break
  ((pages > 1)) || { tell fail list_snapshot_blocks empty_page; }
done
expect "two pages, an empty one, the rest" "4 950" "$pages $listed"
refused ValidationException ebs list-snapshot-blocks --snapshot-id "$base" --next-token bm8=

# 5. Throttled in both ways, broken, cut short: the SDK knows each of them and asks again.
for fault in throttling request_throttled internal_error unavailable bare_503 lost_answer; do
  tell fail any $fault
  expect "past $fault" 950 "$(ebs list-snapshot-blocks --snapshot-id "$base" --query 'length(Blocks)')"
done
tell fail any quota_exceeded
refused ServiceQuotaExceededException ebs list-snapshot-blocks --snapshot-id "$base"
tell fail describe_volumes throttling
expect "past RequestLimitExceeded" "$volume" "$(ec2 describe-volumes --query 'Volumes[].VolumeId')"

# 6. EC2: filters, pages, tags, an instance's volumes at once, volumes and images of snapshots.
expect "by tag" "$volume" "$(ec2 describe-volumes --filters Name=tag:Backup,Values='dai*' --query 'Volumes[].VolumeId')"
expect "state of ours" "completed 3 vol-ffffffff aws" "$(ec2 describe-snapshots --snapshot-ids "$id" \
  --query 'Snapshots[].[State,VolumeSize,VolumeId,Tags[0].Value]' | xargs)"
tell volume 2 Backup=daily; second=$reply
tell instance "$volume" "$second" Name=db; instance=$reply
expect "its volumes" "$volume $second" "$(ec2 describe-instances --filters Name=tag:Name,Values=db \
  --query 'Reservations[].Instances[].BlockDeviceMappings[].Ebs.VolumeId' | xargs)"
expect "both, tags copied" "daily daily" "$(ec2 create-snapshots --instance-specification InstanceId="$instance" \
  --copy-tags-from-source volume --description both --query 'Snapshots[].Tags[].Value' | xargs)"
expect "without the root" "$second" "$(ec2 create-snapshots --query 'Snapshots[].VolumeId' \
  --instance-specification InstanceId="$instance",ExcludeBootVolume=true)"
for _ in 1 2 3 4; do
  last=$(ec2 create-snapshot --volume-id "$volume" --description single --query SnapshotId \
    --tag-specifications 'ResourceType=snapshot,Tags=[{Key=kind,Value=single}]')
done
expect "over pages of 5" 10 "$(ec2 describe-snapshots --owner-ids self --page-size 5 --query 'Snapshots[].SnapshotId' | wc -w)"
expect "by filter" 4 "$(ec2 describe-snapshots --filters Name=tag:kind,Values=single Name=volume-id,Values="$volume" \
  --query 'Snapshots[].SnapshotId' | wc -w)"
ec2 create-tags --resources "$last" --tags Key=kept,Value=yes
expect "tagged" yes "$(ec2 describe-tags --filters Name=resource-id,Values="$last" Name=key,Values=kept --query 'Tags[].Value')"
made=$(ec2 create-volume --availability-zone us-east-1a --snapshot-id "$child" --volume-type gp3 --iops 4000 \
  --client-token v1 --query VolumeId)
expect "the token again" "$made" "$(ec2 create-volume --availability-zone us-east-1a --snapshot-id "$child" \
  --volume-type gp3 --iops 4000 --client-token v1 --query VolumeId)"
expect "made" "3 gp3 4000 $child" "$(ec2 describe-volumes --volume-ids "$made" \
  --query 'Volumes[].[Size,VolumeType,Iops,SnapshotId]' | xargs)"
image=$(ec2 register-image --name "boot of $id" --root-device-name /dev/xvda --architecture x86_64 \
  --virtualization-type hvm --ena-support --query ImageId \
  --block-device-mappings "DeviceName=/dev/xvda,Ebs={SnapshotId=$child,VolumeType=gp3,DeleteOnTermination=true}")
expect "image" "/dev/xvda $child" "$(ec2 describe-images --image-ids "$image" \
  --query 'Images[].[RootDeviceName,BlockDeviceMappings[0].Ebs.SnapshotId]' | xargs)"
refused InvalidSnapshot.InUse ec2 delete-snapshot --snapshot-id "$child"
ec2 deregister-image --image-id "$image"
ec2 delete-snapshot --snapshot-id "$child"
refused InvalidSnapshot.NotFound ec2 describe-snapshots --snapshot-ids "$child"
refused InvalidVolume.NotFound ec2 create-snapshot --volume-id vol-00000000000000000
refused DryRunOperation ec2 create-snapshot --volume-id "$volume" --dry-run
expect "regions" "eu-central-1 us-east-1" "$(ec2 describe-regions --query 'Regions[].RegionName' | xargs)"

# 7. Another account: its own key, a role of it, and a topic.
tell role arn:aws:iam::444455556666:role/backup 111122223333 external=x1
expect "whoami" 111122223333 "$(run sts get-caller-identity --query Account)"
refused AccessDenied run sts assume-role --role-arn arn:aws:iam::444455556666:role/backup --role-session-name t1
read -r key secret token < <(run sts assume-role --role-arn arn:aws:iam::444455556666:role/backup --role-session-name t1 \
  --external-id x1 --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]')
expect "in the role" 444455556666 "$(AWS_ACCESS_KEY_ID=$key AWS_SECRET_ACCESS_KEY=$secret AWS_SESSION_TOKEN=$token \
  run sts get-caller-identity --query Account)"
expect "nothing of ours there" "" "$(AWS_ACCESS_KEY_ID=$key AWS_SECRET_ACCESS_KEY=$secret AWS_SESSION_TOKEN=$token \
  ec2 describe-volumes --query 'Volumes[].VolumeId')"
refused UnrecognizedClientException with AWS_ACCESS_KEY_ID=AKIANOBODY ebs list-snapshot-blocks --snapshot-id "$id"
refused InvalidSignatureException with AWS_SECRET_ACCESS_KEY=wrong ebs list-snapshot-blocks --snapshot-id "$id"
refused AuthFailure with AWS_SECRET_ACCESS_KEY=wrong ec2 describe-volumes
run sns publish --topic-arn arn:aws:sns:us-east-1:111122223333:t --subject "all done" --message "a & b = c" > "$work/out"
tell messages
expect "published" "1 all done" "$reply"
echo "aws_cli: $checks checks passed"
