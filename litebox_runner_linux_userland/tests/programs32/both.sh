# Programs of both widths, each started by one of the other, in pipes, with signals between them. $WIDE has 64 bits,
# $NARROW 32.
width() { "$@" -c 'case $MACHTYPE in i*86*) echo 32;; *) echo 64;; esac'; }
width "$WIDE"; width "$NARROW"
"$WIDE" -c '"$NARROW" -c "\"\$WIDE\" -c \"\\\"\\\$NARROW\\\" -c \\\"echo four deep; exit 9\\\"\""'; echo $?
"$NARROW" -c 'exec "$WIDE" -c "exec \"\$NARROW\" -c \"echo in one process \\\$((1 << 40)); kill -TERM \\\$\\\$\""'; echo $?
seq 1 50000 | "$NARROW" -c 'while read -r n; do echo $((n * 3)); [ $n -lt 3000 ] || break; done' | /usr/bin/tail -n 1
"$NARROW" -c '/usr/bin/seq 1 100000 | /usr/bin/sha256sum'; /usr/bin/seq 1 100000 | sha256sum
"$WIDE" -c 'trap "echo from below; exit 5" USR1; "$NARROW" -c "kill -USR1 \$PPID; sleep 0.1" & wait $!; wait'; echo $?
"$NARROW" -c 'trap "echo from below; exit 6" USR1; "$WIDE" -c "kill -USR1 \$PPID; sleep 0.1" & wait $!; wait'; echo $?
"$NARROW" -c 'ulimit -n 77; umask 022; cd /usr; X=y "$WIDE" -c "ulimit -n; umask; pwd; echo \$X"'
for i in 1 2 3 4 5 6 7 8; do "$NARROW" -c "\"\$WIDE\" -c 'exit $i'"; printf '%s ' $?; done; echo
exec 7<<< inherited; "$NARROW" -c '"$WIDE" -c "cat <&7"'
