// node rules.mjs DIR: what the console's files must keep to: no inline script or style, no other
// host, no markup made from text, every import there, under 300 KB in all.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const dir = process.argv[2];
const problems = [];
let total = 0;
const RULES = [
  [/\.(html|js)$/, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function/, 'makes markup or code from text'],
  [/\.js$/, /setAttribute\(\s*['"]style['"]/, 'sets a style attribute, which the content policy refuses'],
  [/\.(html|css|js)$/, /https?:\/\/(?!www\.w3\.org\/2000\/svg)|['"(]\/\/[a-z]/, 'names another host'],
  [/\.html$/, /<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)/, 'has inline script or style'],
  [/\.css$/, /@import/, 'imports'],
];
const files = readdirSync(dir);
for (const name of files) {
  const text = readFileSync(join(dir, name), 'utf8');
  total += Buffer.byteLength(text);
  for (const [which, what, says] of RULES) {
    const found = which.test(name) && what.exec(text);
    if (found) problems.push(`${name} ${says}: ${found[0]}`);
  }
  if (text.split('\n').length > 600) problems.push(`${name} has more than 600 lines`);
  for (const [, wanted] of text.matchAll(/(?:from|import\()\s*'\.\/([^']+)'/g)) {
    if (!existsSync(join(dir, wanted))) problems.push(`${name} imports ${wanted}, which is not there`);
  }
}
if (files.length < 10) problems.push('the files are not there');
if (total >= 300 * 1000) problems.push(`${total} bytes in all`);
problems.forEach((p) => console.log(p));
console.log(`${files.length} files, ${total} bytes, ${problems.length} problems`);
process.exit(problems.length ? 1 : 0);
