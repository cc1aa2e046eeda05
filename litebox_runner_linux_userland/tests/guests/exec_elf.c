//@ volumes: memory cow rw
// Executables that are wrong in one place: what execve(2) says, or what becomes of who called it.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// exit(7)
static const unsigned char code[] = {0xb8, 60, 0, 0, 0, 0xbf, 7, 0, 0, 0, 0x0f, 0x05};

static struct {
    Elf64_Ehdr head;
    Elf64_Phdr rows[3];
    char interpreter[32];
    unsigned char code[sizeof code];
} file;

static void begin(int type) {
    unsigned long base = type == ET_EXEC ? 0x10000000 : 0;
    memset(&file, 0, sizeof file);
    memcpy(file.head.e_ident, ELFMAG, SELFMAG);
    file.head.e_ident[EI_CLASS] = ELFCLASS64;
    file.head.e_ident[EI_DATA] = ELFDATA2LSB;
    file.head.e_ident[EI_VERSION] = EV_CURRENT;
    file.head.e_type = type;
    file.head.e_machine = EM_X86_64;
    file.head.e_version = EV_CURRENT;
    file.head.e_phoff = (char *)file.rows - (char *)&file;
    file.head.e_ehsize = sizeof(Elf64_Ehdr);
    file.head.e_phentsize = sizeof(Elf64_Phdr);
    file.head.e_phnum = 3;
    file.head.e_entry = base + ((char *)file.code - (char *)&file);
    memcpy(file.code, code, sizeof code);
    file.rows[0] = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = base, .p_filesz = sizeof file,
                                .p_memsz = sizeof file, .p_align = 4096};
}

static void run(const char *what) {
    int fd = open("program", O_CREAT | O_TRUNC | O_WRONLY, 0755), status;
    if (write(fd, &file, sizeof file) != sizeof file || close(fd))
        perror("program");
    pid_t child = fork();
    if (child == 0) {
        execl("./program", "program", NULL);
        _exit(errno == EACCES ? 100 : errno == ENOENT ? 101 : errno == ENOEXEC ? 102 : errno == ELIBBAD ? 103
              : errno == EIO ? 104 : errno == EINVAL ? 105 : errno == ENOMEM ? 106 : 110);
    }
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status))
        printf("%s: killed by %s\n", what, strsignal(WTERMSIG(status)));
    else
        printf("%s: %d\n", what, WEXITSTATUS(status));
    unlink("program");
}

static void interpreter(const char *what, const char *path, unsigned long size) {
    begin(ET_DYN);
    file.rows[1] = (Elf64_Phdr){.p_type = PT_INTERP, .p_offset = (char *)file.interpreter - (char *)&file,
                                .p_filesz = size};
    memcpy(file.interpreter, path, strlen(path) + 1);
    run(what);
}

static void put(const char *path, const char *text, mode_t mode) {
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, mode);
    if (write(fd, text, strlen(text)) < 0 || close(fd))
        perror(path);
    chmod(path, mode);
}

int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    for (int type = ET_EXEC; type <= ET_DYN; type++) {
        printf("type %d\n", type);
        unsigned long base = type == ET_EXEC ? 0x10000000 : 0;
        Elf64_Phdr *more = &file.rows[1];
        begin(type);
        run("as it should be");
        begin(type);
        *more = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_vaddr = base + 0x2000, .p_offset = 0x123,
                             .p_memsz = 0x1000, .p_align = 4096};
        run("no bytes, at an offset that does not fit");
        begin(type);
        *more = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_vaddr = base + 0x2010, .p_offset = ~0UL,
                             .p_memsz = 0x1000, .p_align = 4096};
        run("no bytes, at an offset that no file has");
        begin(type);
        *more = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R, .p_vaddr = base + 0x2000, .p_offset = 0x123,
                             .p_filesz = 16, .p_memsz = 16, .p_align = 4096};
        run("bytes at an offset that does not fit");
        begin(type);
        *more = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R, .p_vaddr = base + 0x2000, .p_filesz = 32,
                             .p_memsz = 16, .p_align = 4096};
        run("more bytes in the file than in memory");
        begin(type);
        *more = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_vaddr = base + 0x2000,
                             .p_memsz = 0x7fffffffffffUL, .p_align = 4096};
        run("larger than memory");
        begin(type);
        *more = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R, .p_vaddr = 0x900000000000UL, .p_filesz = 16,
                             .p_memsz = 16, .p_align = 4096};
        run("above memory");
        begin(type);
        file.rows[0].p_type = PT_NULL;
        run("nothing to load");
        begin(type);
        file.head.e_entry = 0x900000000000UL;
        run("begins above memory");
        begin(type);
        file.head.e_phnum = 0;
        run("no headers");
        begin(type);
        file.head.e_phoff = 1 << 20;
        run("headers behind the end");
    }
    put("short", "short", 0755);
    put("text", "This is no program at all, but it is longer than the head of one: 64 bytes, and some more.", 0755);
    put("closed", "This is no program at all, but it is longer than the head of one: 64 bytes, and some more.", 0644);
    mkdir("directory", 0755);
    interpreter("interpreter: none there", "./nothing", 10);
    interpreter("interpreter: a directory", "./directory", 12);
    interpreter("interpreter: not executable", "./closed", 9);
    interpreter("interpreter: short", "./short", 8);
    interpreter("interpreter: no program", "./text", 7);
    interpreter("interpreter: a path without end", "./text", 6);
    interpreter("interpreter: an empty path", "", 2);
    interpreter("interpreter: a path of one byte", "", 1);
    interpreter("interpreter: an early end", "./text\0xx", 10);
    interpreter("interpreter: a device", "/dev/null", 10);
    unlink("short");
    unlink("text");
    unlink("closed");
    rmdir("directory");
    return 0;
}
