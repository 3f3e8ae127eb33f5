// Renders every dashboard in a headless browser with Grafana's own libraries, against a live Prometheus and a live
// Binnacle, and fails when a panel shows an error or nothing.
//
//   PROMETHEUS=http://… BINNACLE=http://… [BINNACLE_TOKEN_FILE=…] [SCENES_FROM=now-15m] node render.mjs FOLDER
//
// FOLDER gets a screenshot of each dashboard.
import fs from 'node:fs';
import path from 'node:path';

import { chromium } from 'playwright-core';

import { faults } from './faults.mjs';
import { serve } from './server.mjs';

const HERE = import.meta.dirname;
const BOARDS = path.join(HERE, '../../dashboards/grafana/dashboards');
const WIDTH = 1600;
/** How long a dashboard may take until all its panels have their data, in milliseconds. */
const PATIENCE = 60_000;
/** How long data may take to come: a dashboard with an empty panel is opened again until then. */
const DATA_PATIENCE = 120_000;
/** What the last data takes to be drawn. */
const DRAWING = 1_500;

const { PROMETHEUS, BINNACLE, BINNACLE_TOKEN_FILE, SCENES_FROM = 'now-15m' } = process.env;
const folder = process.argv[2];
if (!PROMETHEUS || !BINNACLE || !folder) {
  console.error('usage: PROMETHEUS=URL BINNACLE=URL node render.mjs FOLDER');
  process.exit(2);
}
const token = BINNACLE_TOKEN_FILE && fs.readFileSync(BINNACLE_TOKEN_FILE, 'utf8').trim();
const mayBeEmpty = JSON.parse(fs.readFileSync(path.join(HERE, 'may-be-empty.json'), 'utf8'));

const board = (uid) => {
  const fault = Object.entries(faults).find(([name]) => encodeURIComponent(name) === uid);
  const file = path.join(BOARDS, `${uid}.json`);
  return fault ? JSON.stringify(fault[1]) : fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : undefined;
};

/** The label of the series for which an expression is highest. */
async function foremost(expression, label) {
  const answer = await (await fetch(`${PROMETHEUS}/api/v1/query?query=${encodeURIComponent(`topk(1, ${expression})`)}`)).json();
  return answer.data.result[0]?.metric[label];
}

/** What a reader would choose first on each dashboard, where the first of the list would show little. */
async function choices() {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const start = (Date.now() - 120_000) * 1000; // microseconds; within every time range
  const search = `service=gateway&minDuration=50ms&limit=20&start=${start}`;
  const traces = await (await fetch(`${BINNACLE}/jaeger/api/traces?${search}`, { headers })).json();
  const largest = traces.data.sort((one, other) => other.spans.length - one.spans.length)[0];
  const lines = 'sum by (name) (increase(docker_logs_lines_total[5m])) and on (name) container_spec_cpu_quota';
  return {
    'docker-container': { container: (await foremost(lines, 'name')) ?? '' },
    'service-red': { service: 'gateway' },
    request: { id: largest?.traceID ?? '' },
  };
}

/** Opens a dashboard, waits until its panels have their data, and returns what became of them. */
async function open(browser, origin, uid, chosen) {
  const page = await browser.newPage({ viewport: { width: WIDTH, height: 1000 } });
  const thrown = [];
  page.on('pageerror', (error) => thrown.push(error.message));
  const parameters = new URLSearchParams({ board: uid, from: SCENES_FROM, ...chosen });
  await page.goto(`${origin}/?${parameters}`);
  const settled = async () => {
    const isBroken = (await page.$('#page-error')) !== null;
    const fates = isBroken ? [] : await page.evaluate(() => window.fates?.() ?? []);
    const isDone = (fate) => ['Done', 'Error'].includes(fate.state) || fate.errors.length > 0;
    return { isBroken, fates, isSettled: isBroken || (fates.length > 0 && fates.every(isDone)) };
  };
  const deadline = Date.now() + PATIENCE;
  let state = await settled();
  while (!state.isSettled && thrown.length === 0 && Date.now() < deadline) {
    await page.waitForTimeout(250);
    state = await settled();
  }
  await page.waitForTimeout(DRAWING);
  state = await settled();
  if (state.isBroken) {
    thrown.push(await page.innerText('#page-error'));
  }
  return { page, thrown, fates: state.fates };
}

/** Complaints about a dashboard. */
function complaints(uid, { thrown, fates }) {
  const all = thrown.map((message) => `${uid}: the page fails: ${message.slice(0, 400)}`);
  if (fates.length === 0) {
    all.push(`${uid}: no panels`);
  }
  for (const fate of fates) {
    const name = `${uid} / ${fate.title}`;
    if (fate.errors.length > 0) {
      all.push(`${name}: ${fate.errors.join('; ')}`);
    } else if (fate.state !== 'Done') {
      all.push(`${name}: still ${fate.state} after ${PATIENCE} ms`);
    } else if (fate.rows === 0 && !(name in mayBeEmpty)) {
      all.push(`${name}: empty`);
    }
  }
  return all;
}

/** The whole dashboard as a picture. */
async function picture(page, file) {
  const height = await page.$eval('#dashboard', (element) => Math.ceil(element.scrollHeight));
  await page.setViewportSize({ width: WIDTH, height: height + 16 });
  await page.waitForTimeout(DRAWING);
  await page.screenshot({ path: file });
}

const server = await serve({ page: path.join(HERE, 'dist'), boards: board, prometheus: PROMETHEUS, binnacle: BINNACLE, token });
const origin = `http://127.0.0.1:${server.address().port}`;
const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, args: flags });
const failures = [];
fs.mkdirSync(folder, { recursive: true });

for (const name of Object.keys(faults)) {
  const opened = await open(browser, origin, encodeURIComponent(name), {});
  const found = complaints('fault', opened);
  console.log(`fault: ${name}: ${found.length > 0 ? `found (${found[0].split('\n')[0].slice(0, 120)})` : 'NOT FOUND'}`);
  if (found.length === 0) {
    failures.push(`the fault "${name}" is not found`);
  }
  await opened.page.close();
}

const deadline = Date.now() + DATA_PATIENCE;
let panels = 0;
for (const uid of fs.readdirSync(BOARDS).filter((name) => name.endsWith('.json')).map((name) => path.basename(name, '.json'))) {
  const tried = async () => open(browser, origin, uid, (await choices())[uid] ?? {});
  let opened = await tried();
  while (complaints(uid, opened).length > 0 && Date.now() < deadline) {
    await opened.page.close();
    opened = await tried();
  }
  const found = complaints(uid, opened);
  await picture(opened.page, path.join(folder, `${uid}.png`));
  const empty = opened.fates.filter((fate) => fate.rows === 0).map((fate) => fate.title);
  console.log(`${uid}: ${opened.fates.length} panels, ${found.length} complaints${empty.length ? `, empty: ${empty.join(', ')}` : ''}`);
  failures.push(...found);
  panels += opened.fates.length;
  await opened.page.close();
}
await browser.close();
server.close();

console.log(`${panels} panels; screenshots are in ${folder}`);
for (const failure of failures) {
  console.error(`FAILED ${failure}`);
}
process.exit(failures.length > 0 ? 1 : 0);
