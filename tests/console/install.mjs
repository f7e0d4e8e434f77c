// node install.mjs DIR: npm ci of package-lock.json into DIR, unless just that is there already.
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const from = dirname(fileURLToPath(import.meta.url));
const to = process.argv[2];
const lock = readFileSync(join(from, 'package-lock.json'), 'utf8');
const done = join(to, 'installed.json');
if (existsSync(done) && readFileSync(done, 'utf8') === lock) process.exit(0);
mkdirSync(to, { recursive: true });
for (const name of ['package.json', 'package-lock.json']) copyFileSync(join(from, name), join(to, name));
execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts', '--omit=optional'], { cwd: to, stdio: 'inherit' });
writeFileSync(done, lock);
