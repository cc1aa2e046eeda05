set -e
cd "$(busybox mktemp -d)"
B=busybox
$B seq 1 20000 > numbers; $B md5sum numbers; $B sha512sum numbers | $B cut -c1-20; $B sort -rn numbers | $B head -n 2
$B awk '{ s += $1 * 3 } END { print s, NR }' numbers; $B sed -n '5,7s/^/line /p' numbers; $B grep -c 99 numbers
$B mkdir -p a/b/c; $B cp numbers a/b; $B ln -s ../numbers a/link; $B find a | $B sort; $B tar czf all.tgz a; $B rm -r a
$B tar xzf all.tgz; $B cmp numbers a/b/numbers && echo same; $B gzip -c numbers | $B gunzip | $B wc; $B stat -c '%a %s' numbers
$B sh -c 'trap "echo usr1" USR1; kill -USR1 $$; (exit 4); echo $?; x=$((1 << 40)); echo $x; echo $(echo a | tr a b)'
$B printf '%s %d %x\n' word 12 255; $B expr 3 + 4; $B date -u -d @1700000000 +%F; $B uname -s; $B timeout 1 $B true
$B dd if=/dev/zero of=big bs=1 count=1 seek=5G 2>/dev/null; $B stat -c %s big; $B xxd numbers | $B head -n 1
$B nohup $B sleep 0 2>/dev/null; $B xargs -n 3 echo < numbers | $B tail -n 1; $B diff numbers numbers && echo no difference
