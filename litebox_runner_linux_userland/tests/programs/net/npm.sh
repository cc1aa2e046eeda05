# npm installs packages from a registry that a local server plays, and node loads them.
export HOME=$PWD npm_config_update_notifier=false npm_config_audit=false npm_config_fund=false npm_config_loglevel=error
mkdir -p site/leaf site/branch served
cat >site/leaf/package.json <<'JSON'
{ "name": "leaf", "version": "1.2.3", "main": "it.js" }
JSON
echo 'module.exports = n => n * 2;' >site/leaf/it.js
cat >site/branch/package.json <<'JSON'
{ "name": "branch", "version": "0.1.0", "main": "it.js", "dependencies": { "leaf": "^1.0.0" },
  "scripts": { "postinstall": "node -e \"require('fs').writeFileSync('built', 'yes')\"" } }
JSON
echo 'module.exports = n => require("leaf")(n) + 1;' >site/branch/it.js
(cd served && npm pack --silent ../site/leaf ../site/branch)
cat >registry.js <<'JS'
const http = require('http'), fs = require('fs'), { createHash } = require('crypto');
const port = Number(process.argv[2]);
http.createServer((request, response) => {
  const name = decodeURIComponent(request.url.slice(1));
  if (name.endsWith('.tgz')) return response.end(fs.readFileSync('served/' + name));
  if (!fs.existsSync(`site/${name}/package.json`)) { response.statusCode = 404; return response.end('{}'); }
  const about = JSON.parse(fs.readFileSync(`site/${name}/package.json`));
  const file = `${name}-${about.version}.tgz`;
  const integrity = 'sha512-' + createHash('sha512').update(fs.readFileSync('served/' + file)).digest('base64');
  about.dist = { tarball: `http://127.0.0.1:${port}/${file}`, integrity };
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ name, 'dist-tags': { latest: about.version }, versions: { [about.version]: about } }));
}).listen(port, '127.0.0.1');
JS
port=$(free_port)
serve "$port" node registry.js "$port"
export npm_config_registry=http://127.0.0.1:$port/
mkdir project && cd project
echo '{ "name": "project", "version": "1.0.0" }' >package.json
npm install --silent branch && echo installed
ls node_modules node_modules/branch
node -p 'require("branch")(20)'
npm ls --all | sed 1d
rm -r node_modules
npm ci --silent && node -p 'require("branch")(1)'
npm install --silent nothing-of-this-name 2>/dev/null || echo "not there: $?"
