/**
 * Which system calls a container may make: facts only, grouped by what they are for. A call that no group names is
 * refused. Left out on purpose are kernel modules, clocks, swap, keyrings, io_uring, userfaultfd, obsolete calls, and
 * everything that reaches beyond the container's namespaces; some of those come back with the capability that the
 * kernel asks for anyway. Names unknown to a machine or to an older libseccomp are skipped by the runtimes.
 */
const words = (text: string): ReadonlyArray<string> => text.trim().split(/\s+/)

/** Allowed to every container. */
export const always: ReadonlyArray<string> = [
  // names and metadata of files
  ...words(`access faccessat faccessat2 chdir fchdir getcwd chmod fchmod fchmodat fchmodat2 chown chown32 fchown
    fchown32 fchownat lchown lchown32 link linkat symlink symlinkat readlink readlinkat unlink unlinkat rename renameat
    renameat2 mkdir mkdirat rmdir mknod mknodat stat stat64 fstat fstat64 fstatat64 lstat lstat64 newfstatat statx
    statfs statfs64 fstatfs fstatfs64 statmount listmount umask utime utimes utimensat utimensat_time64 futimesat
    name_to_handle_at file_getattr file_setattr`),
  ...words(`getxattr getxattrat lgetxattr fgetxattr setxattr setxattrat lsetxattr fsetxattr listxattr listxattrat
    llistxattr flistxattr removexattr removexattrat lremovexattr fremovexattr`),
  // open files and their content
  ...words(`open openat openat2 creat close close_range dup dup2 dup3 fcntl fcntl64 flock lseek _llseek read readv
    pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 readahead fadvise64 fadvise64_64 fallocate truncate
    truncate64 ftruncate ftruncate64 fsync fdatasync sync syncfs sync_file_range copy_file_range sendfile sendfile64
    splice tee vmsplice getdents getdents64 ioctl cachestat`),
  // waiting for files
  ...words(`poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 epoll_create epoll_create1 epoll_ctl
    epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd signalfd4 pipe pipe2
    inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark io_setup io_destroy io_submit io_cancel
    io_getevents io_pgetevents io_pgetevents_time64`),
  // memory
  ...words(`brk mmap mmap2 munmap mprotect mremap remap_file_pages madvise mincore msync mlock mlock2 mlockall munlock
    munlockall membarrier memfd_create memfd_secret pkey_alloc pkey_free pkey_mprotect map_shadow_stack mseal
    process_mrelease`),
  // processes and threads
  ...words(`execve execveat exit exit_group fork vfork wait4 waitid waitpid getpid getppid gettid getpgid getpgrp
    setpgid getsid setsid set_tid_address set_robust_list get_robust_list set_thread_area get_thread_area rseq prctl
    seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self futex futex_time64 futex_wait futex_waitv
    futex_wake futex_requeue capget capset pidfd_open pidfd_send_signal process_vm_readv process_vm_writev ptrace
    uretprobe`),
  // users and groups
  ...words(`getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid getresuid32 getresgid
    getresgid32 getgroups getgroups32 setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32
    setresuid setresuid32 setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 setgroups setgroups32`),
  // scheduling and limits
  ...words(`sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam
    sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval
    sched_rr_get_interval_time64 getpriority setpriority ioprio_get ioprio_set getrlimit ugetrlimit setrlimit prlimit64
    getrusage getcpu`),
  // signals
  ...words(`kill tkill tgkill pause alarm restart_syscall sigprocmask sigreturn sigaltstack rt_sigaction rt_sigpending
    rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
    rt_tgsigqueueinfo`),
  // time
  ...words(`time times gettimeofday clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
    clock_nanosleep_time64 clock_adjtime clock_adjtime64 adjtimex nanosleep getitimer setitimer timer_create
    timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
    timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64`),
  // sockets; `socket` itself has a rule of its own
  ...words(`socketpair bind connect listen accept accept4 shutdown getsockname getpeername getsockopt setsockopt send
    sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64 socketcall`),
  // System V and POSIX interprocess communication
  ...words(`ipc msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget
    mq_open mq_unlink mq_notify mq_getsetattr mq_timedreceive mq_timedreceive_time64 mq_timedsend
    mq_timedsend_time64`),
  // the machine
  ...words(`uname sysinfo getrandom`)
]

/** Allowed on one kind of machine. */
export const onArchitecture: { readonly [name: string]: ReadonlyArray<string> } = {
  x64: words(`arch_prctl modify_ldt`),
  arm64: words(`arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls`)
}

/** Allowed to a container that has the capability in its bounding set. */
export const withCapability: { readonly [capability: string]: ReadonlyArray<string> } = {
  CAP_BPF: words(`bpf`),
  CAP_DAC_READ_SEARCH: words(`open_by_handle_at`),
  CAP_PERFMON: words(`perf_event_open`),
  CAP_SYS_ADMIN: words(`bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie
    lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open
    quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare`),
  CAP_SYS_BOOT: words(`reboot`),
  CAP_SYS_CHROOT: words(`chroot`),
  CAP_SYS_MODULE: words(`init_module finit_module delete_module`),
  CAP_SYS_NICE: words(`get_mempolicy mbind set_mempolicy set_mempolicy_home_node`),
  CAP_SYS_PACCT: words(`acct`),
  CAP_SYS_PTRACE: words(`kcmp pidfd_getfd process_madvise`),
  CAP_SYS_RAWIO: words(`iopl ioperm`),
  CAP_SYS_TIME: words(`settimeofday stime clock_settime clock_settime64`),
  CAP_SYS_TTY_CONFIG: words(`vhangup`),
  CAP_SYSLOG: words(`syslog`)
}
