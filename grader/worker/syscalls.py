"""The system calls that a test's process may not make, and why.

What one test does must not be seen in the next, nor reach the process that forks them
both, which has the same user: so no files, no programs, no sockets, and nothing that
the kernel keeps of another process, of a file, or for the machine. What a process sets
for itself alone ends with it and stays allowed.
"""

import os

# name -> numbers of the call on x86_64 and aarch64; None: there is no such call.
Numbers = tuple[int | None, int | None]
FORBIDDEN: dict[str, Numbers] = {
    # processes
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "setns": (308, 268),
    "unshare": (272, 97),
    # signals to other processes
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
    # which processor, and how much of it: of other processes, too
    "setpriority": (141, 140),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "ioprio_set": (251, 30),
    # where memory lies: of other processes and of shared pages, too
    "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450),
    "mbind": (237, 235),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # network and other ways to talk
    "socket": (41, 198),
    "socketpair": (53, 199),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semctl": (66, 191),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgctl": (71, 187),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # files that outlive the test
    "creat": (85, None),
    "truncate": (76, 45),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "link": (86, None),
    "linkat": (265, 37),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "rmdir": (84, None),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    # what is written beside files: rights, owners, times, marks
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    # who reads which file, and which are in memory
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "fanotify_init": (300, 262),
    "mincore": (27, 232),
    "preadv2": (327, 286),
    "cachestat": (451, 451),
    # the kernel
    "personality": (135, 92),
    "mount": (165, 40),
    "open_by_handle_at": (304, 265),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
}
# Calls whose arguments no filter can read; C libraries fall back to the older ones.
UNKNOWN: dict[str, Numbers] = {"clone3": (435, 435), "openat2": (437, 437)}
# Allowed only for this process: name -> numbers. The first argument is a process.
OWN_ONLY: dict[str, Numbers] = {
    "kill": (62, 129),
    "tgkill": (234, 131),
    "prlimit64": (302, 261),
    "sched_setaffinity": (203, 122),
}
CLONE: Numbers = (56, 220)
CLONE_THREAD = 0x00010000
O_TMPFILE = 0x00400000
MAKES_FILE = os.O_CREAT | O_TMPFILE
# Allowed only without these bits: name -> (numbers, which argument holds the flags).
OPEN: dict[str, tuple[Numbers, int]] = {
    "open": ((2, None), 1),
    "openat": ((257, 56), 2),
}
# Allowed but for values of an argument: name -> (numbers, which argument, values).
SOME: dict[str, tuple[Numbers, int, dict[str, int]]] = {
    "fcntl": (
        (72, 25),
        1,
        {  # who gets a signal when something happens to a file; marks on files
            "F_SETOWN": 8,
            "F_SETSIG": 10,
            "F_SETOWN_EX": 15,
            "F_SETLEASE": 1024,
            "F_NOTIFY": 1026,
            "F_SET_RW_HINT": 1036,
            "F_SET_FILE_RW_HINT": 1038,
        },
    ),
    "ioctl": (
        (16, 29),
        1,
        {  # the same by its older names
            "FIOSETOWN": 0x8901,
            "SIOCSPGRP": 0x8902,
            "FS_IOC_SETFLAGS": 0x40086602,
            "FS_IOC_FSSETXATTR": 0x401C5820,
            "TIOCSTI": 0x5412,
        },
    ),
    "prctl": ((157, 167), 0, {"PR_SCHED_CORE": 62}),
}
