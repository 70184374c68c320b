from typing import Final, TypeAlias

from _cffi_backend import _CDataBase

_Out: TypeAlias = _CDataBase
_Text: TypeAlias = bytes | _CDataBase

__all__ = [
    "AT_EMPTY_PATH",
    "AT_FDCWD",
    "AT_RECURSIVE",
    "CAP_NET_ADMIN",
    "CAP_SYS_ADMIN",
    "CAP_SYS_CHROOT",
    "CAP_SYS_TIME",
    "CLONE_FS",
    "CLONE_NEWCGROUP",
    "CLONE_NEWIPC",
    "CLONE_NEWNET",
    "CLONE_NEWNS",
    "CLONE_NEWPID",
    "CLONE_NEWTIME",
    "CLONE_NEWUSER",
    "CLONE_NEWUTS",
    "CLONE_THREAD",
    "FSCONFIG_CMD_CREATE",
    "FSCONFIG_SET_FLAG",
    "FSCONFIG_SET_STRING",
    "IFF_NO_PI",
    "IFF_TAP",
    "IFF_TUN",
    "IFF_VNET_HDR",
    "MNT_DETACH",
    "MOUNT_ATTR_NOATIME",
    "MOUNT_ATTR_NODEV",
    "MOUNT_ATTR_NODIRATIME",
    "MOUNT_ATTR_NOEXEC",
    "MOUNT_ATTR_NOSUID",
    "MOUNT_ATTR_NOSYMFOLLOW",
    "MOUNT_ATTR_RDONLY",
    "MOUNT_ATTR__ATIME",
    "MOVE_MOUNT_F_EMPTY_PATH",
    "MOVE_MOUNT_T_EMPTY_PATH",
    "MS_BIND",
    "MS_NODEV",
    "MS_NOEXEC",
    "MS_NOSUID",
    "MS_PRIVATE",
    "MS_RDONLY",
    "MS_REC",
    "MS_REMOUNT",
    "MS_SHARED",
    "MS_SLAVE",
    "MS_UNBINDABLE",
    "OPEN_TREE_CLONE",
    "PIDFD_THREAD",
    "PN_COPY",
    "PN_DIRECT",
    "PN_ERRAND_HOLD",
    "PN_ERRAND_NONE",
    "PN_ERRAND_OPEN",
    "PN_ERRAND_SOCKET",
    "PN_ERRAND_TAP",
    "PN_FAILED_CLONE",
    "PN_FAILED_CWD",
    "PN_FAILED_EXEC",
    "PN_FAILED_GID",
    "PN_FAILED_GROUP",
    "PN_FAILED_GROUPS",
    "PN_FAILED_INIT",
    "PN_FAILED_SESSION",
    "PN_FAILED_STDIO",
    "PN_FAILED_UID",
    "PN_HELD_PIDFD",
    "PN_HELD_SOCKET",
    "PN_HELPER",
    "PN_HERE",
    "PN_IF_ALLOWED",
    "PN_INIT_END",
    "PN_INIT_KEEP",
    "PN_INIT_RELEASE",
    "PN_LOG",
    "PN_MOUNT_AS_ROOT",
    "PN_MOUNT_CREATE",
    "PN_MOUNT_IN_ROOT",
    "PN_MOUNT_MISSING_OK",
    "PN_MOUNT_OWN_SHIFT",
    "PN_MOUNT_PLAIN",
    "PN_MOUNT_RECURSIVE",
    "PN_MOUNT_USERXATTR",
    "PN_SCAN_FACTS",
    "PN_STACK",
    "PN_STEP_ADDRESS",
    "PN_STEP_BIND",
    "PN_STEP_CAPABILITIES",
    "PN_STEP_CLOCKS",
    "PN_STEP_DEVICES",
    "PN_STEP_DOMAINNAME",
    "PN_STEP_FILE",
    "PN_STEP_FS",
    "PN_STEP_HOSTNAME",
    "PN_STEP_INIT",
    "PN_STEP_JOIN",
    "PN_STEP_LOOPBACK",
    "PN_STEP_MAP_IDS",
    "PN_STEP_MASK",
    "PN_STEP_MKDIR",
    "PN_STEP_NO_NEW_PRIVS",
    "PN_STEP_OVERLAY",
    "PN_STEP_PIVOT",
    "PN_STEP_PROPAGATE",
    "PN_STEP_RLIMIT",
    "PN_STEP_SET_IDS",
    "PN_STEP_SYMLINK",
    "PN_STEP_UNSHARE",
    "PN_STEP_WRITE",
    "PR_GET_DUMPABLE",
    "PR_GET_SECCOMP",
    "PR_SET_DUMPABLE",
    "PR_SET_PDEATHSIG",
    "STATMOUNT_FS_TYPE",
    "STATMOUNT_MNT_BASIC",
    "STATMOUNT_MNT_OPTS",
    "STATMOUNT_MNT_POINT",
    "STATMOUNT_MNT_ROOT",
    "STATMOUNT_SB_BASIC",
    "STATMOUNT_SB_SOURCE",
    "UMOUNT_NOFOLLOW",
    "pn_chroot",
    "pn_close",
    "pn_current",
    "pn_differ",
    "pn_enter",
    "pn_errand",
    "pn_fchdir",
    "pn_fsconfig",
    "pn_fsmount",
    "pn_fsopen",
    "pn_has_capability",
    "pn_homes",
    "pn_identity",
    "pn_init_spawn",
    "pn_is_nsfs",
    "pn_keeper_spawn",
    "pn_launch_go",
    "pn_launch_start",
    "pn_leave",
    "pn_listmount",
    "pn_listns",
    "pn_loopback_up",
    "pn_mnt_next",
    "pn_mount",
    "pn_mount_id",
    "pn_mount_namespace_id",
    "pn_mount_setattr",
    "pn_move_mount",
    "pn_nsfs_owner",
    "pn_nsfs_owner_uid",
    "pn_nsfs_parent",
    "pn_nsfs_translate",
    "pn_nsfs_type",
    "pn_of",
    "pn_of_now",
    "pn_open_by_id",
    "pn_open_tree",
    "pn_openat",
    "pn_pidfd_alive",
    "pn_pidfd_getfd",
    "pn_pidfd_open",
    "pn_pidfd_reap",
    "pn_pidfd_send_signal",
    "pn_prctl",
    "pn_relations",
    "pn_relay_spawn",
    "pn_return",
    "pn_scan_fds",
    "pn_scan_list",
    "pn_scan_mounts",
    "pn_scan_socket",
    "pn_scan_tasks",
    "pn_setdomainname",
    "pn_sethostname",
    "pn_setns",
    "pn_socket_netns",
    "pn_statmount",
    "pn_step",
    "pn_step_in_child",
    "pn_umount",
    "pn_unshare",
    "pn_visit",
    "pn_watcher_spawn",
    "pn_yield",
]

CLONE_NEWNS: Final[int]
CLONE_NEWCGROUP: Final[int]
CLONE_NEWUTS: Final[int]
CLONE_NEWIPC: Final[int]
CLONE_NEWUSER: Final[int]
CLONE_NEWPID: Final[int]
CLONE_NEWNET: Final[int]
CLONE_NEWTIME: Final[int]
CLONE_FS: Final[int]
CLONE_THREAD: Final[int]
PIDFD_THREAD: Final[int]
MS_RDONLY: Final[int]
MS_NOSUID: Final[int]
MS_NODEV: Final[int]
MS_NOEXEC: Final[int]
MS_REMOUNT: Final[int]
MS_BIND: Final[int]
MS_REC: Final[int]
MS_UNBINDABLE: Final[int]
MS_PRIVATE: Final[int]
MS_SLAVE: Final[int]
MS_SHARED: Final[int]
MNT_DETACH: Final[int]
UMOUNT_NOFOLLOW: Final[int]
OPEN_TREE_CLONE: Final[int]
MOVE_MOUNT_F_EMPTY_PATH: Final[int]
MOVE_MOUNT_T_EMPTY_PATH: Final[int]
FSCONFIG_SET_FLAG: Final[int]
FSCONFIG_SET_STRING: Final[int]
FSCONFIG_CMD_CREATE: Final[int]
MOUNT_ATTR_RDONLY: Final[int]
MOUNT_ATTR_NOSUID: Final[int]
MOUNT_ATTR_NODEV: Final[int]
MOUNT_ATTR_NOEXEC: Final[int]
MOUNT_ATTR_NOATIME: Final[int]
MOUNT_ATTR__ATIME: Final[int]
MOUNT_ATTR_NODIRATIME: Final[int]
MOUNT_ATTR_NOSYMFOLLOW: Final[int]
AT_FDCWD: Final[int]
AT_EMPTY_PATH: Final[int]
AT_RECURSIVE: Final[int]
CAP_SYS_ADMIN: Final[int]
CAP_SYS_CHROOT: Final[int]
CAP_NET_ADMIN: Final[int]
CAP_SYS_TIME: Final[int]
PR_GET_DUMPABLE: Final[int]
PR_SET_DUMPABLE: Final[int]
PR_GET_SECCOMP: Final[int]
PR_SET_PDEATHSIG: Final[int]
PN_HERE: Final[int]
STATMOUNT_FS_TYPE: Final[int]
STATMOUNT_MNT_OPTS: Final[int]
STATMOUNT_MNT_POINT: Final[int]
STATMOUNT_MNT_ROOT: Final[int]
STATMOUNT_SB_SOURCE: Final[int]
STATMOUNT_SB_BASIC: Final[int]
STATMOUNT_MNT_BASIC: Final[int]
PN_STEP_JOIN: Final[int]
PN_STEP_UNSHARE: Final[int]
PN_STEP_WRITE: Final[int]
PN_STEP_MAP_IDS: Final[int]
PN_STEP_CLOCKS: Final[int]
PN_STEP_HOSTNAME: Final[int]
PN_STEP_DOMAINNAME: Final[int]
PN_STEP_LOOPBACK: Final[int]
PN_STEP_PROPAGATE: Final[int]
PN_STEP_FS: Final[int]
PN_STEP_DEVICES: Final[int]
PN_STEP_ADDRESS: Final[int]
PN_STEP_BIND: Final[int]
PN_STEP_OVERLAY: Final[int]
PN_STEP_FILE: Final[int]
PN_STEP_MASK: Final[int]
PN_STEP_MKDIR: Final[int]
PN_STEP_SYMLINK: Final[int]
PN_STEP_PIVOT: Final[int]
PN_STEP_INIT: Final[int]
PN_STEP_SET_IDS: Final[int]
PN_STEP_CAPABILITIES: Final[int]
PN_STEP_NO_NEW_PRIVS: Final[int]
PN_STEP_RLIMIT: Final[int]
PN_MOUNT_IN_ROOT: Final[int]
PN_MOUNT_AS_ROOT: Final[int]
PN_MOUNT_CREATE: Final[int]
PN_MOUNT_RECURSIVE: Final[int]
PN_MOUNT_MISSING_OK: Final[int]
PN_MOUNT_PLAIN: Final[int]
PN_MOUNT_USERXATTR: Final[int]
PN_MOUNT_OWN_SHIFT: Final[int]
PN_LOG: Final[int]
PN_INIT_KEEP: Final[int]
PN_INIT_RELEASE: Final[int]
PN_IF_ALLOWED: Final[int]
PN_INIT_END: Final[int]
PN_ERRAND_NONE: Final[int]
PN_ERRAND_HOLD: Final[int]
PN_ERRAND_SOCKET: Final[int]
PN_ERRAND_OPEN: Final[int]
PN_ERRAND_TAP: Final[int]
IFF_TUN: Final[int]
IFF_TAP: Final[int]
IFF_NO_PI: Final[int]
IFF_VNET_HDR: Final[int]
PN_STACK: Final[int]
PN_DIRECT: Final[int]
PN_HELPER: Final[int]
PN_COPY: Final[int]
PN_FAILED_CLONE: Final[int]
PN_FAILED_INIT: Final[int]
PN_FAILED_STDIO: Final[int]
PN_FAILED_CWD: Final[int]
PN_FAILED_SESSION: Final[int]
PN_FAILED_GROUP: Final[int]
PN_FAILED_GROUPS: Final[int]
PN_FAILED_GID: Final[int]
PN_FAILED_UID: Final[int]
PN_FAILED_EXEC: Final[int]
PN_SCAN_FACTS: Final[int]
PN_HELD_SOCKET: Final[int]
PN_HELD_PIDFD: Final[int]

def pn_unshare(flags: int, /) -> int: ...
def pn_setns(fd: int, kinds: int, /) -> int: ...
def pn_current(kind: int, now: int, /) -> int: ...
def pn_homes(kinds: int, targets: _Text, fds: _Out, /) -> int: ...
def pn_enter(targets: _Text, count: int, homes: _Out, /) -> int: ...
def pn_leave(ways: _Text, count: int, /) -> int: ...
def pn_differ(kinds: int, targets: _Text, /) -> int: ...
def pn_visit(kind: int, fd: int, dev: int, ino: int, /) -> int: ...
def pn_return(home: int, kind: int, /) -> int: ...
def pn_of(pidfd: int, kind: int, /) -> int: ...
def pn_of_now(pidfd: int, kind: int, /) -> int: ...
def pn_nsfs_type(fd: int, /) -> int: ...
def pn_nsfs_owner(fd: int, /) -> int: ...
def pn_nsfs_parent(fd: int, /) -> int: ...
def pn_nsfs_owner_uid(fd: int, /) -> int: ...
def pn_nsfs_translate(fd: int, direction: int, pid: int, /) -> int: ...
def pn_identity(fd: int, out: _Out, /) -> int: ...
def pn_is_nsfs(fd: int, /) -> int: ...
def pn_pidfd_open(pid: int, flags: int, /) -> int: ...
def pn_pidfd_getfd(pidfd: int, fd: int, /) -> int: ...
def pn_pidfd_send_signal(pidfd: int, signal: int, /) -> int: ...
def pn_pidfd_alive(pidfd: int, milliseconds: int, /) -> int: ...
def pn_pidfd_reap(pidfd: int, /) -> int: ...
def pn_socket_netns(socket: int, /) -> int: ...
def pn_openat(dirfd: int, path: _Text, flags: int, mode: int, /) -> int: ...
def pn_close(fd: int, /) -> int: ...
def pn_fchdir(fd: int, /) -> int: ...
def pn_chroot(path: _Text, /) -> int: ...
def pn_mount(source: _Text, target: _Text, fstype: _Text, flags: int, data: _Text, /) -> int: ...
def pn_umount(target: _Text, flags: int, /) -> int: ...
def pn_open_tree(dirfd: int, path: _Text, flags: int, /) -> int: ...
def pn_move_mount(from_: int, from_path: _Text, to: int, to_path: _Text, flags: int, /) -> int: ...
def pn_mount_setattr(
    dirfd: int, path: _Text, flags: int, set_: int, clear: int, propagation: int, userns: int, /
) -> int: ...
def pn_fsopen(fstype: _Text, flags: int, /) -> int: ...
def pn_fsconfig(fd: int, command: int, key: _Text, value: _Text, aux: int, /) -> int: ...
def pn_fsmount(fd: int, flags: int, attributes: int, /) -> int: ...
def pn_sethostname(name: _Text, length: int, /) -> int: ...
def pn_setdomainname(name: _Text, length: int, /) -> int: ...
def pn_loopback_up() -> int: ...
def pn_has_capability(capability: int, /) -> int: ...
def pn_yield() -> int: ...
def pn_prctl(option: int, a: int, b: int, c: int, /) -> int: ...
def pn_listmount(namespace: int, last: int, ids: _Out, count: int, /) -> int: ...
def pn_statmount(namespace: int, mount: int, mask: int, out: _Out, size: int, /) -> int: ...
def pn_mount_namespace_id(fd: int, out: _Out, /) -> int: ...
def pn_mount_id(fd: int, out: _Out, /) -> int: ...
def pn_step(op: int, fd: int, fd2: int, flags: int, a: _Text, b: _Text, c: _Text, d: _Text, log: _Out, /) -> int: ...
def pn_step_in_child(
    op: int, fd: int, fd2: int, flags: int, a: _Text, b: _Text, c: _Text, d: _Text, log: _Out, /
) -> int: ...
def pn_init_spawn(image: int, kinds: int, below: int, pidfd: _Out, /) -> int: ...
def pn_relay_spawn(image: int, control: int, first: int, second: int, /) -> int: ...
def pn_keeper_spawn(image: int, fds: _Text, count: int, /) -> int: ...
def pn_launch_start(launch: _Out, /) -> int: ...
def pn_launch_go(launch: _Out, abandon: int, /) -> int: ...
def pn_watcher_spawn(image: int, mother: int, watched: int, /) -> int: ...
def pn_errand(errand: _Out, /) -> int: ...
def pn_scan_list(directory: int, path: _Text, numbers: _Out, count: int, /) -> int: ...
def pn_scan_tasks(proc: int, pids: _Out, tids: _Out, count: int, wanted: int, workers: int, tasks: _Out, /) -> int: ...
def pn_scan_fds(
    proc: int, pids: _Out, tids: _Out, count: int, workers: int, held: _Out, capacity: int, errors: _Out, /
) -> int: ...
def pn_scan_mounts(namespace: int, text: _Out, size: int, /) -> int: ...
def pn_scan_socket(pidfd: int, fd: int, /) -> int: ...
def pn_relations(fd: int, out: _Out, /) -> int: ...
def pn_mnt_next(fd: int, previous: int, /) -> int: ...
def pn_listns(last: int, kind: int, ids: _Out, count: int, /) -> int: ...
def pn_open_by_id(id_: int, kind: int, inode: int, /) -> int: ...
