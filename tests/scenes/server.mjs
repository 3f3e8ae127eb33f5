// Serves the built page, the dashboards, and what the page asks of Prometheus and of Binnacle.
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' };

/** `boards(uid)` is a dashboard as text, or undefined. Resolves to the server, which listens on loopback. */
export function serve({ page, boards, prometheus, binnacle, token }) {
  const passOn = async (base, url, headers, response) => {
    const answer = await fetch(base + url, { headers });
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/plain' });
    response.end(Buffer.from(await answer.arrayBuffer()));
  };
  const file = (name, response) => {
    const full = path.join(page, path.normalize(name));
    if (!fs.existsSync(full)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'content-type': TYPES[path.extname(full)] ?? 'application/octet-stream' });
    fs.createReadStream(full).pipe(response);
  };
  const server = http.createServer(async (request, response) => {
    try {
      const [, first, rest] = /^\/([^/?]*)(.*)$/.exec(request.url);
      if (first === 'metrics-source') {
        await passOn(prometheus, rest, {}, response);
      } else if (first === 'logs-source') {
        await passOn(binnacle, rest, token ? { authorization: `Bearer ${token}` } : {}, response);
      } else if (first === 'boards') {
        const text = boards(/^\/(.*)\.json$/.exec(rest)?.[1] ?? '');
        response.writeHead(text ? 200 : 404, { 'content-type': 'application/json' }).end(text ?? '');
      } else {
        file(first ? request.url.split('?')[0] : 'index.html', response);
      }
    } catch (error) {
      response.writeHead(502).end(String(error));
    }
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}
