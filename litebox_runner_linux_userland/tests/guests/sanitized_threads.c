//@ 64-bit only: ThreadSanitizer has no 32-bit programs
// A program of ThreadSanitizer's: its tables lie at addresses that are built in, and it looks at every mapping.
//@ variants: dynamic
//@ flags: -pthread -fsanitize=thread
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long sum;

static void *adds(void *number)
{
    long *own = malloc(sizeof *own);
    *own = (long)number;
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&lock);
        sum += *own;
        pthread_mutex_unlock(&lock);
    }
    free(own);
    return NULL;
}
int main(void)
{
    pthread_t threads[4];
    for (long i = 0; i < 4; i++) pthread_create(&threads[i], NULL, adds, (void *)i);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    void *map = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("%ld, high %d\n", sum, (unsigned long)map >> 40 >= 0x7e);
    return 0;
}
