# Links a guest with musl for i386: the packages' root, the source, the result, -static or -pie.
set -e
root=$1 source=$2 result=$3 kind=$4
lib=$root/usr/lib/i386-linux-musl
start=crt1.o libc=-lc
if [ "$kind" = -pie ]; then
    start=Scrt1.o libc=$root/lib/i386-linux-musl/libc.so
fi
exec gcc -m32 -msse2 -O1 -w -D_GNU_SOURCE -pthread "$kind" -nostdinc -isystem "$root/usr/include/i386-linux-musl" \
    -isystem "$(gcc -print-file-name=include)" -nostdlib -Wl,-dynamic-linker,"$root/lib/ld-musl-i386.so.1" -o "$result" \
    "$lib/$start" "$lib/crti.o" "$source" -L"$lib" -Wl,--start-group "$libc" "$(gcc -m32 -print-libgcc-file-name)" \
    -Wl,--end-group "$lib/crtn.o"
