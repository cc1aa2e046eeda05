# What a shell and its tools have, in one go. PATH leads to 32-bit tools first.
set -u
cd "$(mktemp -d)"
echo "$MACHTYPE" | cut -d- -f1
# Words, arrays, patterns.
declare -A ages=([ann]=31 [bob]=42)
list=(one "two three" four)
echo "${#list[@]} ${list[1]} ${list[@]: -1} ${ages[bob]} $(printf '%s\n' "${!ages[@]}" | sort | tr '\n' ,)"
text=hello.tar.gz; echo "${text%%.*} ${text#*.} ${text/tar/zip} ${text^^} ${#text} ${text:6:3}"
shopt -s extglob
case abab in +(ab)) echo extended;; *) echo no;; esac
[[ 2026-11-30 =~ ^([0-9]+)-([0-9]+) ]] && echo "${BASH_REMATCH[1]}/${BASH_REMATCH[2]}"
echo {a,b}{1..3} $((1 << 40)) $((-7 / 2)) $((0x7fffffffffffffff + 1)) $((10#08 + 1))
# Functions, locals, recursion, traps.
fac() { local n=$1; (( n < 2 )) && { echo 1; return; }; echo $(( n * $(fac $((n - 1))) )); }
fac 15
trap 'echo usr1' USR1; kill -USR1 $$; trap - USR1
(trap 'echo leaving' EXIT; exit 3); echo "status $?"
# Pipes, substitution, documents, descriptors.
seq 1 1000 | sort -rn | head -3 | paste -sd+ | tee sum | bc 2>/dev/null || cat sum
diff <(seq 3) <(seq 2) | tr '\n' ' '; echo
cat <<X | sed s/value/VALUE/
a value $((6 * 7))
X
exec 5<>both; echo written >&5; exec 5>&-; cat both
mapfile -t lines < <(seq 5); echo "${lines[*]}"
coproc { read -r asked; echo "answer $asked"; }
echo question >&"${COPROC[1]}"; read -r said <&"${COPROC[0]}"; echo "$said"; wait
false | true | (exit 4); echo "${PIPESTATUS[@]}"
# Jobs.
(exit 7) & wait $!; echo "job $?"
sleep 30 & kill -9 $!; wait $! 2>/dev/null; echo "killed $?"
for i in 1 2 3 4; do (echo "$i" > "job$i") & done; wait; cat job?
# Tools.
seq 1 20000 | sha256sum | cut -c1-16; seq 1 20000 | md5sum | cut -c1-16; head -c 3000000 /dev/zero | cksum
mkdir -p d/e/f; touch -d @1000000000 d/e/x; ln -s ../x d/e/f/link; ln d/e/x d/hard
stat -c '%n %a %s %h %Y' d/e/x; stat -c '%n %a %s %h %F' d/e/f/link; readlink -f d/e/f/link | xargs basename; ls -1R d
printf '3 c\n1 a\n2 b\n' | sort -k2 -r | join -1 1 -2 1 - <(printf '1 x\n2 y\n' | sort -r) 2>/dev/null | head -1
dd if=/dev/zero of=sparse bs=1 count=1 seek=5G 2>/dev/null; stat -c %s sparse; truncate -s 3 sparse; wc -c < sparse
cp -a d copied; mv copied moved; rm -r d; find moved -type f | sort; du -s --apparent-size --block-size=1 moved/hard | cut -f1
split -l 3 <(seq 9) part; cat partac; od -An -tx4 -N8 part* | head -1; nl partaa | tail -1
timeout 0.1 sleep 10; echo "timed out $?"; nice -n 3 nice; env -i A=b env; date -u -d @1700000000 +%FT%T; date -u -d @4000000000 +%F
touch -d @1 old; [ -x /bin/sh ] && [ old -ot partaa ] && [ ! -L old ] && echo tests
expr 3 \* 4; factor 1234567890123; numfmt --to=iec 1234567; printf '%q %b %5.2f\n' 'a b' 'x\ty' 3.14159
ulimit -n 200; ulimit -n; umask 027; touch masked; stat -c %a masked
getopts_of() { while getopts ab:c o; do printf '%s%s ' "$o" "${OPTARG-}"; done; echo; }
getopts_of -a -b value -c
while read -r -t 5 -n 3 part; do printf '<%s>' "$part"; done <<< abcdefg; echo
exec sh -c 'echo replaced by a 64-bit shell'
