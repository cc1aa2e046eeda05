set -e
cat > one.c <<'C'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
static __thread int own;
static void *work(void *arg) { own = (int)(long)arg; sleep(0); return (void *)(long)(own * own); }
long long divide(long long, long long);
int main(int argc, char **argv) {
    long sum = 0;
    pthread_t t[8];
    for (long i = 0; i < 8; i++) pthread_create(&t[i], 0, work, (void *)i);
    for (int i = 0; i < 8; i++) { void *r; pthread_join(t[i], &r); sum += (long)r; }
    struct timespec now;
    printf("%zu %ld %lld %.3f %d %s\n", sizeof(long), sum, divide(1LL << 40, 7), strtod("2.5", 0) / 3, clock_gettime(CLOCK_REALTIME, &now), argv[argc - 1]);
    return 7;
}
C
echo 'long long divide(long long a, long long b) { return a / b; }' > two.c
for width in 32 64; do
    gcc -m$width -O2 -fPIC -shared two.c -o libtwo.so
    gcc -m$width -O2 -pthread one.c -L. -ltwo -Wl,-rpath,'$ORIGIN' -o dynamic; ./dynamic with || echo $?
    gcc -m$width -O1 -pthread -static one.c two.c -o static; ./static without || echo $?
    gcc -m$width -S -o - two.c | grep -c divdi3 || true
    printf 'int printf(const char *, ...);\nint main(void) { printf("%%d bits\\n", __SIZEOF_POINTER__ * 8); }' | gcc -m$width -g -x c - -o piped
    ./piped; objdump -f piped | sed -n 's/^architecture: \([^,]*\),.*/\1/p'
done
