/* The part of the binary's first process that is ours; `ld --wrap` puts it into PyInstaller's bootloader.
 *
 * PyInstaller's one file is two processes. The first unpacks the program into a folder (TMPDIR, else /tmp …), starts the
 * second there, hands signals on to it, and removes the folder. What it calls for that, from libc or for its messages,
 * comes through here (release/binary.py has the list). With it, these hold:
 *
 * - The folder is on a file system that programs may run from; where there is none, one line says what to set.
 * - Any end but SIGKILL of the first process removes the folder. What such an end left is removed by the next start.
 * - systemd-tmpfiles, which removes old files from /tmp after some days, leaves the folder alone.
 * - A Ctrl-C reaches the second process once: the terminal sends it to both, so it is not handed on.
 * - A shell's `&` and `fg` stop and continue both.
 * - A kill of the first process ends the second one with it.
 * - As the first process of a container, to which the kernel brings no signal that would merely end it, it ends by exit,
 *   with the status that a shell gives such an end.
 * - Sockets that systemd gave to another process (LISTEN_PID) are not taken for this one's.
 * - Descriptors 0 to 2 stay closed for the second process where they were closed for the first.
 *
 * Source: PyInstaller 6.22, bootloader/src/pyi_main.c, pyi_utils_posix.c; tmpfiles.d(5), "Age"; ld(1), --wrap.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOLDER_BEGINNING "_MEI"
#define FOLDER_LENGTH 18 /* its beginning, eight digits of the process's id, six of mkdtemp's */
#define MARK ".clawgate"
#define CURE "set TMPDIR to a folder that you may write to and run programs from"

typedef void (*handler_type)(int);

char *__real_mkdtemp(char *template);
pid_t __real_fork(void);
pid_t __real_waitpid(pid_t pid, int *status, int options);
int __real_raise(int number);
/* Weak, because the checks of the compiler that come before the build link this file without PyInstaller's. */
extern int pyi_recursive_rmdir(const char *path) __attribute__((weak));

static char folder[PATH_MAX];
static char refused[1024]; /* the folders that were tried, each with its reason */
static sigset_t mask_before;
static pid_t first_pid;
static int has_begun; /* the second process is there */
static handler_type hand_on;

static void remove_folder(void) {
    if (getpid() == first_pid && !has_begun) {
        pyi_recursive_rmdir(folder);
    }
}

/* Hold the folder: everything that has this descriptor, the later processes too, keeps others from removing it. */
static void hold_folder(void) {
    char mark[PATH_MAX + sizeof MARK];
    int opened = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int lock = fcntl(opened, F_DUPFD, STDERR_FILENO + 1); /* Python would take a lower one for stdin */
    if (opened >= 0) {
        close(opened);
    }
    if (lock < 0 || flock(lock, LOCK_SH) != 0) {
        return; /* unmarked: nobody may take it for abandoned */
    }
    snprintf(mark, sizeof mark, "%s/" MARK, folder);
    lock = open(mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (lock >= 0) {
        close(lock);
    }
}

/* Remove this user's marked folders that no process holds. */
static void remove_abandoned(const char *parent) {
    DIR *entries = opendir(parent);
    struct dirent *entry;
    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        char path[PATH_MAX];
        struct stat about;
        int fd;
        if (strlen(entry->d_name) != FOLDER_LENGTH || strncmp(entry->d_name, FOLDER_BEGINNING, 4) != 0
            || snprintf(path, sizeof path, "%s/%s", parent, entry->d_name) >= (int)sizeof path) {
            continue;
        }
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) {
            continue;
        }
        if (fstat(fd, &about) == 0 && about.st_uid == geteuid() && faccessat(fd, MARK, F_OK, 0) == 0
            && flock(fd, LOCK_EX | LOCK_NB) == 0) {
            pyi_recursive_rmdir(path);
        }
        close(fd);
    }
    if (entries != NULL) {
        closedir(entries);
    }
}

static char *refuse(const char *parent, const char *why) {
    size_t length = strlen(refused);
    snprintf(refused + length, sizeof refused - length, "%s%.200s: %.200s", length ? "; " : "", parent, why);
    return NULL;
}

/* Make the folder, unless programs cannot run from there; PyInstaller then tries the next place. No signal ends this
 * process from now on until there is a second one. */
char *__wrap_mkdtemp(char *template) {
    char parent[PATH_MAX];
    struct statvfs system;
    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(template, '/') - template), template);
    if (statvfs(*parent ? parent : "/", &system) != 0) {
        return refuse(parent, strerror(errno));
    }
    if (system.f_flag & ST_NOEXEC) {
        return refuse(parent, "no program may run from there (noexec)");
    }
    if (first_pid == 0) {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, &mask_before);
        first_pid = getpid();
    }
    remove_abandoned(parent);
    if (__real_mkdtemp(template) == NULL) {
        return refuse(parent, strerror(errno));
    }
    snprintf(folder, sizeof folder, "%s", template);
    atexit(remove_folder);
    hold_folder();
    return template;
}

/* End by a signal, as it would end a process by default. */
static void end_by(int number) {
    sigset_t none;
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(number, &action, NULL);
    if (getpid() == 1) {
        _exit(128 + number);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    __real_raise(number);
}

/* End by a signal that came while the program was unpacked. */
static void end_where_asked(void) {
    sigset_t asked;
    int number;
    sigpending(&asked);
    for (number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigismember(&asked, number) == 1 && sigismember(&mask_before, number) == 0
            && (number == SIGINT || number == SIGTERM || number == SIGHUP || number == SIGQUIT)
            && sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_DFL) {
            remove_folder();
            end_by(number);
        }
    }
}

/* PyInstaller puts the second process's id into LISTEN_PID, whatever was there: in a shell below a service that systemd
 * has given sockets to, as some terminals are, it is that service's. */
static void drop_sockets_of_others(void) {
    const char *pid = getenv("LISTEN_PID");
    if (pid != NULL && strtol(pid, NULL, 10) != getpid()) {
        unsetenv("LISTEN_PID");
    }
}

pid_t __wrap_fork(void) {
    pid_t pid;
    end_where_asked();
    drop_sockets_of_others();
    pid = __real_fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* as a kill of the only process would end it */
        if (getppid() != first_pid) {
            _exit(1);
        }
        sigprocmask(SIG_SETMASK, &mask_before, NULL);
    }
    has_begun = pid > 0;
    return pid;
}

/* A terminal tells all its processes of a key or a new size, so the second one has heard it already. Of its own end a
 * terminal tells the leader of its session alone. */
static void on_signal(int number, siginfo_t *info, void *context) {
    int is_for_all = number == SIGINT || number == SIGQUIT || number == SIGWINCH || number == SIGTTIN || number == SIGTTOU
                     || (number == SIGHUP && getsid(0) != getpid());
    (void)context;
    if (info->si_code != SI_KERNEL || !is_for_all) {
        hand_on(number);
    }
}

handler_type __wrap_signal(int number, handler_type handler) {
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    if (handler != SIG_DFL) { /* the default is for after the end, when no signal comes through any more */
        hand_on = handler;
        sigaction(number, &action, NULL);
    }
    return SIG_DFL;
}

/* Wait for the second process. Where a terminal has stopped it, because it runs in the background and would read, this
 * one stops too: the shell sees this one alone, and continues at `fg` only what it has seen stop. */
static pid_t wait_for_end(pid_t pid, int *status, int options) {
    pid_t ended;
    while ((ended = __real_waitpid(pid, status, options | WUNTRACED)) > 0 && WIFSTOPPED(*status)) {
        if (WSTOPSIG(*status) == SIGTTIN || WSTOPSIG(*status) == SIGTTOU) {
            __real_raise(SIGSTOP);
            kill(pid, SIGCONT);
        }
    }
    return ended;
}

/* Let signals come while the second process runs; afterwards none may keep this one from removing the folder. */
pid_t __wrap_waitpid(pid_t pid, int *status, int options) {
    sigset_t all;
    pid_t ended;
    sigprocmask(SIG_SETMASK, &mask_before, NULL);
    ended = wait_for_end(pid, status, options);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    return ended;
}

/* End by the signal that has ended the second process. */
int __wrap_raise(int number) {
    end_by(number);
    return 0;
}

/* Say in one line what is wrong. Before there is a second process, this one ends with it: PyInstaller would go on to tell
 * of the same in other words, and leave the folder behind. */
static void say(int code, const char *format, va_list values) {
    char message[2048];
    int length = vsnprintf(message, sizeof message, format, values);
    if (length > 0 && length < (int)sizeof message && message[length - 1] == '\n') {
        message[length - 1] = '\0';
    }
    if (*folder && !has_begun) {
        const char *why = code == ENOSPC || code == EDQUOT ? strerror(code) : message;
        fprintf(stderr, "clawgate: cannot unpack into %.*s: %s; " CURE "\n", (int)(strrchr(folder, '/') - folder), folder, why);
        exit(1);
    }
    if (*refused && !has_begun) {
        fprintf(stderr, "clawgate: there is no folder to unpack into (%s); " CURE "\n", refused);
        exit(1);
    }
    if (strncmp(format, "Could not load", 14) == 0) {
        fprintf(stderr, "clawgate: this file is damaged: get it again, and check it with `sha256sum -c`\n");
        exit(1);
    }
    fprintf(stderr, "clawgate: %s\n", message);
}

void __wrap_pyi_error_message(const char *format, ...) {
    int code = errno;
    va_list values;
    va_start(values, format);
    say(code, format, values);
    va_end(values);
}

void __wrap_pyi_perror_message(const char *function, int code, const char *format, ...) {
    va_list values;
    (void)function;
    va_start(values, format);
    say(code, format, values);
    va_end(values);
}
