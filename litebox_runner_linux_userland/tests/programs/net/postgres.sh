# postgres over TCP, and pgbench as a load. It does not run as root.
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1)
port=$(free_port)
as=()
if [ "$(id -u)" = 0 ]; then
    chown nobody .
    as=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
fi
"${as[@]}" "$bin/initdb" -D data -A trust -U somebody --no-sync >/dev/null
serve "$port" "${as[@]}" "$bin/postgres" -D data -p "$port" -h 127.0.0.1 -k '' -F
export PGHOST=127.0.0.1 PGPORT=$port PGUSER=somebody PGDATABASE=postgres
until "$bin/pg_isready" -q; do sleep 0.05; done
"$bin/psql" -qAt -c 'create table t (n int); insert into t select generate_series(1, 1000); select sum(n) from t'
"$bin/pgbench" -q -i -s 1 2>/dev/null
"$bin/pgbench" -c 4 -j 2 -t 25 2>/dev/null | grep -E 'processed|failed'
