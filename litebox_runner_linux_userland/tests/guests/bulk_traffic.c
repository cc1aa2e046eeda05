// Many connections that answer by and by, beside one after the other that carries much, both ways, for some time.
//@ helper
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHECK(call) ({ long r_ = (long)(call); if (r_ < 0) { perror(#call); exit(1); } r_; })
#define PIECE (64 << 10)
#define CHUNK (64ull << 20)

static struct sockaddr_in server = {.sin_family = AF_INET};
static double until;
static unsigned long long carried;
static atomic_int over;

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static int open_with(const void *first, size_t len)
{
    int fd = CHECK(socket(AF_INET, SOCK_STREAM, 0));
    CHECK(connect(fd, (void *)&server, sizeof server));
    CHECK(write(fd, first, len));
    return fd;
}

static unsigned long long sum_of(const unsigned char *bytes, size_t len)
{
    unsigned long long sum = 0;
    for (size_t i = 0; i < len; i += 97)
        sum += bytes[i] * (i + 1);
    return sum;
}

// Sends a chunk, and reads how many bytes came.
static void up(unsigned char *piece)
{
    char told[64] = "", expected[64];
    int fd = open_with("u", 1);
    for (unsigned long long done = 0; done < CHUNK; done += PIECE)
        for (size_t at = 0; at < PIECE;)
            at += CHECK(write(fd, piece + at, PIECE - at));
    CHECK(shutdown(fd, SHUT_WR));
    CHECK(recv(fd, told, sizeof told - 1, MSG_WAITALL));
    sprintf(expected, "%llu", CHUNK);
    if (strcmp(told, expected)) {
        printf("%s bytes came instead of %s\n", told, expected);
        exit(1);
    }
    close(fd);
}

// Reads a chunk of pieces that are all the same.
static void down(unsigned char *piece)
{
    static unsigned char got[PIECE];
    int fd = open_with("d", 1);
    unsigned long long sum = 0, wanted = 0;
    for (unsigned long long done = 0; done < CHUNK; done += PIECE) {
        if (CHECK(recv(fd, got, PIECE, MSG_WAITALL)) != PIECE) {
            printf("the end after %llu bytes\n", done);
            exit(1);
        }
        sum += sum_of(got, PIECE);
        wanted += sum_of(piece, PIECE);
    }
    if (sum != wanted || CHECK(read(fd, got, 1)) != 0) {
        printf("other bytes came\n");
        exit(1);
    }
    close(fd);
}

static void *carry(void *none)
{
    static unsigned char piece[PIECE];
    for (size_t i = 0; i < PIECE; i++)
        piece[i] = i * 7 + (i >> 8);
    do {
        up(piece);
        down(piece);
        carried += 2 * CHUNK;
    } while (now() < until);
    over = 1;
    return none;
}

int main(int argc, char **argv)
{
    if (argc != 5 || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1)
        return 2;
    server.sin_port = htons(atoi(argv[2]));
    int count = atoi(argv[3]), rounds = 0;
    int *all = calloc(count, sizeof *all);
    for (int i = 0; i < count; i++)
        all[i] = open_with("e", 1);
    double begin = now();
    pthread_t carrier;
    until = begin + atof(argv[4]);
    CHECK(pthread_create(&carrier, NULL, carry, NULL));
    do {
        for (int i = 0; i < count; i++) {
            char byte = i + rounds, back;
            CHECK(write(all[i], &byte, 1));
            if (CHECK(read(all[i], &back, 1)) != 1 || back != byte) {
                printf("connection %d did not answer in round %d\n", i, rounds);
                return 1;
            }
        }
        rounds++;
    } while (!over);
    CHECK(pthread_join(carrier, NULL));
    fprintf(stderr, "%.0f Mbit/s, %d rounds\n", carried * 8 / (now() - begin) / 1e6, rounds);
    printf("%d connections, all carried\n", count);
    return 0;
}
