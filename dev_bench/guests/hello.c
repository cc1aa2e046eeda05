// A hello world; with an argument it waits for the end of its input.
#include <stdio.h>

int main(int argc, char **argv) {
    (void)argv;
    puts("hello");
    fflush(stdout);
    if (argc > 1)
        getchar();
    return 0;
}
