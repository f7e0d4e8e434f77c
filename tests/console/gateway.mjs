// A real coldshelfd with a directory store in a scratch directory, its command line, and a tape
// client to fill tapes with.
import { execFile, spawn } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import { createServer } from 'node:net';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const bin = process.env.COLDSHELF_BIN;

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// AWS as far as EBS snapshots go: a program of ours on loopback, with one volume and a snapshot of it.
export class Aws {
  static async start() {
    const aws = new Aws();
    const order = ['volume 1 Name=db', 'pattern $1 0 64 1', 'snapshot $1 Env=prod'];
    aws.child = spawn(join(bin, 'coldshelf_ebs_standin'), ['--port', '0', '--no-limits', '--with-parent', '--pending-ms', '0',
      '--account', '111122223333:AKIACONSOLETEST:console-secret', ...order.flatMap((o) => ['--do', o])], { stdio: ['pipe', 'pipe', 'inherit'] });
    let said = '';
    await new Promise((resolve, reject) => {
      aws.child.stdout.on('data', (d) => { said += d; if (/snap-[0-9a-f]+/.test(said)) resolve(); });
      aws.child.once('exit', (code) => reject(new Error(`coldshelf_ebs_standin ended with ${code}: ${said}`)));
    });
    aws.endpoint = /https?:\/\/\S+/.exec(said)[0];
    aws.snapshot = /snap-[0-9a-f]+/.exec(said)[0];
    process.env.COLDSHELF_TEST_AWS_SECRET = 'console-secret';
    return aws;
  }

  get configuration() {
    return `[aws]
region = "us-east-1"
access_key_id = "AKIACONSOLETEST"
secret_key_env = "COLDSHELF_TEST_AWS_SECRET"
ebs_endpoint = "${this.endpoint}"
ec2_endpoint = "${this.endpoint}"
sts_endpoint = "${this.endpoint}"
`;
  }

  stop() {
    this.child.kill('SIGTERM');
  }
}

export class Gateway {
  static async start({ slots = 40, extra = '' } = {}) {
    const g = new Gateway();
    g.root = mkdtempSync(join(tmpdir(), 'coldshelf-console-'));
    [g.port, g.iscsi] = [await freePort(), await freePort()];
    g.url = `https://127.0.0.1:${g.port}`;
    g.config = join(g.root, 'coldshelf.toml');
    writeFileSync(g.config, `
[gateway]
name = "vault-west"
data_dir = "${join(g.root, 'data')}"
[iscsi]
listen = ["127.0.0.1:${g.iscsi}"]
[library]
slots = ${slots}
import_export_slots = 10
drives = 4
[cartridge]
segment_size = "4MiB"
[store]
restore_expedited = "3s"
restore_standard = "4s"
restore_bulk = "5s"
restore_poll = "200ms"
[cache]
limit = "2GiB"
[buffer]
limit = "2GiB"
[api]
listen = "127.0.0.1:${g.port}"
${extra}`);
    g.log = '';
    g.daemon = spawn(join(bin, 'coldshelfd'), ['--config', g.config], { stdio: ['ignore', 'ignore', 'pipe'] });
    g.daemon.stderr.on('data', (d) => { g.log = (g.log + d).slice(-20000); });
    g.ended = new Promise((resolve) => { g.daemon.once('exit', resolve); });
    for (let i = 0; ; i += 1) {
      if (g.daemon.exitCode !== null || i > 600) throw new Error(`coldshelfd does not run:\n${g.log}`);
      try {
        await g.cli('status');
        break;
      } catch {
        await sleep(100);
      }
    }
    return g;
  }

  cli(...args) {
    return new Promise((resolve, reject) => {
      execFile(join(bin, 'coldshelf'), ['--config', this.config, '--json', ...args], { maxBuffer: 1 << 28 },
        (failed, out, err) => (failed ? reject(new Error(`coldshelf ${args.join(' ')}: ${err || out || failed}`)) : resolve(out ? JSON.parse(out) : {})));
    });
  }

  // Writes `bytes` that do not compress to the tape in a drive.
  write(drive, bytes) {
    const target = `iqn.2026-11.io.coldshelf:vault-west-tapedrive-0${drive}`;
    return new Promise((resolve, reject) => {
      const copy = spawn(join(bin, 'coldshelf_tapecopy'), ['--portal', `127.0.0.1:${this.iscsi}`, '--target', target, 'write', '--append'],
        { stdio: ['pipe', 'ignore', 'pipe'] });
      let said = '';
      copy.stderr.on('data', (d) => { said += d; });
      copy.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`tapecopy: ${said}`))));
      copy.stdin.on('error', () => {});
      // A stream cipher with a fixed key: the same bytes in every run.
      const stream = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16));
      const zeros = Buffer.alloc(1 << 20);
      let left = bytes;
      const more = () => {
        while (left > 0) {
          const part = stream.update(zeros.subarray(0, Math.min(left, zeros.length)));
          left -= part.length;
          if (!copy.stdin.write(part)) {
            copy.stdin.once('drain', more);
            return;
          }
        }
        copy.stdin.end();
      };
      more();
    });
  }

  async stop() {
    this.daemon.kill('SIGTERM');
    const code = await this.ended;
    rmSync(this.root, { recursive: true, force: true });
    return code;
  }
}
