"""The system calls a snippet may make, as a seccomp filter: what is not listed is refused with EPERM.

CPython needs these to start, compute, print, read its library, run threads and asyncio. Left out, and so refused:
new processes, connections, tracing, mounts, namespaces, keys, bpf, perf, io_uring, shared memory that outlives a
mapping, and everything that changes a file.
"""

import errno
import functools
import tempfile

ALLOWED = """
    read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 lseek
    open openat close close_range dup dup2 dup3 fcntl pipe pipe2 eventfd2
    stat fstat lstat newfstatat statx statfs fstatfs access faccessat faccessat2 readlink readlinkat
    getdents getdents64 getcwd chdir fchdir umask
    poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
    mmap munmap mprotect mremap madvise msync mincore brk membarrier
    futex futex_waitv set_robust_list get_robust_list set_tid_address rseq arch_prctl
    sched_yield sched_getaffinity getcpu getpriority
    execve exit exit_group wait4 waitid restart_syscall
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait sigaltstack
    kill tkill tgkill pause alarm setitimer getitimer
    getpid getppid gettid getpgid getpgrp getsid getuid geteuid getgid getegid getresuid getresgid getgroups
    getrlimit prlimit64 getrusage times sysinfo uname getrandom
    clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time
    recvfrom sendto shutdown getsockname getpeername getsockopt
"""

CLONE_THREAD = 0x00010000  # linux/sched.h
CLONE_NEW_NAMESPACES = 0x7E020000  # linux/sched.h: mount, cgroup, uts, ipc, user, pid, net
SIGNAL_OF_CHILD = 0xFF  # linux/sched.h, CSIGNAL; a thread has none
TERMINAL_QUERIES = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS TIOCGWINSZ FIONREAD FIONBIO FIO(N)CLEX
AF_UNIX, SOCK_STREAM, SOCK_TYPE_MASK = 1, 1, 0xF  # the flags CLOEXEC and NONBLOCK lie above the mask


@functools.cache
def seccomp_program() -> bytes:
    """Write the filter as the kernel takes it, for the architecture this runs on; others' calls kill the process.

    Raises:
        ImportError: pyseccomp is not installed.
        RuntimeError: libseccomp, which it binds, is not.
    """
    import pyseccomp

    rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    rules.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    for name in ALLOWED.split():
        rules.add_rule(pyseccomp.ALLOW, name)
    # The C library asks for a thread by clone3 first, whose flags no filter can read; ENOSYS sends it to clone.
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    forbidden = CLONE_NEW_NAMESPACES | SIGNAL_OF_CHILD
    thread = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, CLONE_THREAD | forbidden, CLONE_THREAD)
    rules.add_rule(pyseccomp.ALLOW, "clone", thread)
    for request in TERMINAL_QUERIES:
        rules.add_rule(pyseccomp.ALLOW, "ioctl", pyseccomp.Arg(1, pyseccomp.EQ, request))
    # asyncio wakes itself through a pair of connected sockets; no other socket can be made.
    family = pyseccomp.Arg(0, pyseccomp.EQ, AF_UNIX)
    stream = pyseccomp.Arg(1, pyseccomp.MASKED_EQ, SOCK_TYPE_MASK, SOCK_STREAM)
    rules.add_rule(pyseccomp.ALLOW, "socketpair", family, stream)
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
