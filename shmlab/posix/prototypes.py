"""The C prototypes of the calls that the lessons make, as their man pages print them.

Text and nothing else: what a walkthrough puts above a call. Kept out of ``shmlab.posix`` itself, because a
worker that makes the calls has no use for it. Imported by :mod:`shmlab.processes.walk`.
"""

PROTOTYPES = {
    # POSIX shared memory: shm_open(3), ftruncate(2), posix_fallocate(3), mmap(2), msync(2), close(2).
    "shm_open": "int shm_open(const char *name, int oflag, mode_t mode);",
    "ftruncate": "int ftruncate(int fd, off_t length);",
    "posix_fallocate": "int posix_fallocate(int fd, off_t offset, off_t len);",
    "fstat": "int fstat(int fd, struct stat *statbuf);",
    "mmap": "void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);",
    "mprotect": "int mprotect(void *addr, size_t len, int prot);",
    "msync": "int msync(void *addr, size_t length, int flags);",
    "munmap": "int munmap(void *addr, size_t length);",
    "close": "int close(int fd);",
    "shm_unlink": "int shm_unlink(const char *name);",
    "open": "int open(const char *pathname, int flags, mode_t mode);",
    "unlink": "int unlink(const char *pathname);",
    "read": "ssize_t read(int fd, void *buf, size_t count);",
    "write": "ssize_t write(int fd, const void *buf, size_t count);",
    "umask": "mode_t umask(mode_t mask);",
    # Processes: fork(2), execve(2), wait(2), exit(3), kill(2).
    "fork": "pid_t fork(void);",
    "execve": "int execve(const char *pathname, char *const argv[], char *const envp[]);",
    "wait": "pid_t wait(int *wstatus);",
    "waitpid": "pid_t waitpid(pid_t pid, int *wstatus, int options);",
    "kill": "int kill(pid_t pid, int sig);",
    "exit": "void exit(int status);",
    "_exit": "void _exit(int status);",
    # Named semaphores: sem_overview(7).
    "sem_open": "sem_t *sem_open(const char *name, int oflag, mode_t mode, unsigned int value);",
    "sem_wait": "int sem_wait(sem_t *sem);",
    "sem_trywait": "int sem_trywait(sem_t *sem);",
    "sem_timedwait": "int sem_timedwait(sem_t *sem, const struct timespec *abs_timeout);",
    "sem_post": "int sem_post(sem_t *sem);",
    "sem_getvalue": "int sem_getvalue(sem_t *sem, int *sval);",
    "sem_close": "int sem_close(sem_t *sem);",
    "sem_unlink": "int sem_unlink(const char *name);",
    # System V: ftok(3), shmget(2), shmop(2), shmctl(2), semget(2), semop(2), semctl(2).
    "ftok": "key_t ftok(const char *pathname, int proj_id);",
    "shmget": "int shmget(key_t key, size_t size, int shmflg);",
    "shmat": "void *shmat(int shmid, const void *shmaddr, int shmflg);",
    "shmdt": "int shmdt(const void *shmaddr);",
    "shmctl": "int shmctl(int shmid, int cmd, struct shmid_ds *buf);",
    "semget": "int semget(key_t key, int nsems, int semflg);",
    "semop": "int semop(int semid, struct sembuf *sops, size_t nsops);",
    "semtimedop": (
        "int semtimedop(int semid, struct sembuf *sops, size_t nsops, const struct timespec *timeout);"
    ),
    "semctl": "int semctl(int semid, int semnum, int cmd, ...);",
}
"""From a call's name to its C prototype."""


def prototype(label: str) -> str:
    """Return the prototype of the call that *label* names with its first word; "" when it names none."""
    words = label.replace("(", " ").split()
    return PROTOTYPES.get(words[0], "") if words else ""
