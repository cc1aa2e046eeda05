set -e
cd "$(mktemp -d)"
mkdir -p tree/sub; seq 1 30000 > tree/numbers; head -c 100000 /dev/zero > tree/zeros; ln -s ../numbers tree/sub/link; ln tree/numbers tree/hard
touch -d @1500000000 tree/numbers tree/zeros; chmod 640 tree/zeros
for z in gz xz; do
    flag=z; [ $z = gz ] || flag=J
    tar -c$flag -f all.tar.$z --sort=name --mtime=@1500000000 --owner=0 --group=0 tree
    rm -rf out; mkdir out; tar -x$flag -f all.tar.$z -C out; diff -r tree out/tree && echo same $z
    stat -c '%a %s %Y %h' out/tree/zeros out/tree/numbers; tar -t$flag -f all.tar.$z
done
rm tree/hard; gzip -9kn tree/numbers; md5sum < tree/numbers.gz; gzip -t tree/numbers.gz && gzip -dc tree/numbers.gz | md5sum
xz -9e -T1 -k tree/zeros; wc -c < tree/zeros.xz; xz -T2 --block-size=50000 -c tree/numbers | xz -dc | md5sum; xz -l tree/zeros.xz | wc -l
printf broken > bad.xz; xz -t bad.xz 2>/dev/null || echo refused
