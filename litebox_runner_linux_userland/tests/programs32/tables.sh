set -e
cd "$(mktemp -d)"
sqlite3 base <<'SQL'
create table people(id integer primary key, name text unique, born real); create index by_born on people(born);
with recursive n(i) as (values(1) union all select i + 1 from n where i < 3000)
insert into people select i, 'name ' || (i * 7919 % 3001), i * 1.5 from n;
begin; delete from people where id % 3 = 0; rollback; begin; update people set born = -born where id < 10; commit;
select count(*), sum(born), min(name), max(id) from people; select name from people where born between 100 and 105;
pragma journal_mode = wal; insert into people values(9223372036854775807, 'last', 1e300); pragma integrity_check;
select typeof(id), id, printf('%.3e', born) from people where name = 'last'; vacuum; pragma page_count;
SQL
for i in 1 2 3 4; do sqlite3 -cmd '.timeout 60000' base "insert into people(name) values('writer $i')" & done; wait
sqlite3 base "select count(*) from people where name like 'writer%'" "select hex(sha) from (select substr(group_concat(name), 1, 9) sha from people)"
sqlite3 base .dump | sqlite3 copy; sqlite3 copy 'select count(*) from people'; sqlite3 base 'select nothing' 2>&1 || echo refused
