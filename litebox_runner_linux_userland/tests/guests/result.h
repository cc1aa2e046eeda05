// What a call returned, as text: a number, or the name of its error. Good for four calls in one printf.
#include <errno.h>
#include <stdio.h>
#include <string.h>

static __attribute__((unused)) const char *result(long r)
{
    static char text[4][32];
    static int next;
    char *t = text[next++ % 4];
    if (r >= 0) snprintf(t, 32, "%ld", r);
    else snprintf(t, 32, "%s", strerrorname_np(errno));
    return t;
}
// Prints what a call returned behind what stands on the line already. Calls that follow each other are one `say` each:
// C promises no order of arguments.
static __attribute__((unused)) void say(long r) { printf(" %s", result(r)); }
