/* The mount steps: new file systems, binds, overlays, files, masks, and a new root.

   A mount is made detached (fsopen, open_tree), furnished, and put on a target that is held
   by descriptor.  Below a root under construction, which is the cwd then, every target is
   resolved within it (openat2, RESOLVE_IN_ROOT) and no symbolic link leads out.  Where the
   kernel or a filter has not the new calls, mount(2) does the same by /proc/self/fd.
   Async-signal-safe: raw system calls and the stack only. */
#include "kernel.h"

#include <limits.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <sys/vfs.h>

#ifndef MS_BIND
#define MS_RDONLY 1
#define MS_NOSUID 2
#define MS_NODEV 4
#define MS_NOEXEC 8
#define MS_REMOUNT 32
#define MS_NOATIME 1024
#define MS_NODIRATIME 2048
#define MS_BIND 4096
#define MS_REC 16384
#define MS_RELATIME (1 << 21)
#endif

enum { ATTEMPTS = 128, OPTION = 256, PROC_FD = 32 };

static void say(char *log, const char *text)
{
    if (!log)
        return;
    size_t n = 0;
    for (; text[n] && n < PN_LOG - 1; n++)
        log[n] = text[n];
    log[n] = 0;
}

static int absent(long answer) { return answer == -ENOSYS || answer == -EPERM; }

static void close_fd(long fd)
{
    if (fd >= 0)
        sys1(__NR_close, fd);
}

static char *proc_fd(char *out, int fd)
{
    static const char head[] = "/proc/self/fd/";
    char digits[12];
    size_t n = 0, d = 0;
    for (; head[n]; n++)
        out[n] = head[n];
    do
        digits[d++] = '0' + fd % 10;
    while ((fd /= 10) > 0);
    while (d)
        out[n++] = digits[--d];
    out[n] = 0;
    return out;
}

/* The file type bits, or -errno. */
static long file_type(int fd)
{
    struct statx found;
    long answer = sys5(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &found);
    return answer < 0 ? answer : found.stx_mode & S_IFMT;
}

/* Linux 5.8 tells; before it, yes. */
static int is_mount_root(int fd)
{
    struct statx found;
    long answer = sys5(__NR_statx, fd, "", AT_EMPTY_PATH, 0, &found);
    return answer >= 0 && (!(found.stx_attributes_mask & 0x2000 /* STATX_ATTR_MOUNT_ROOT */) ||
                           found.stx_attributes & 0x2000);
}

/* On the same mount? */
static int same_mount(int one, int other)
{
    unsigned long long a[2], b[2];
    return pn_mount_id(one, a) >= 0 && pn_mount_id(other, b) >= 0 && a[0] == b[0];
}

/* One name in a directory (O_PATH): no link to follow, no mount to cross. */
static long one_below(int directory, const char *name)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
    long fd = -EAGAIN;
    for (int i = 0; i < ATTEMPTS && fd == -EAGAIN; i++)
        fd = sys4(__NR_openat2, directory, name, &how, sizeof how);
    if (!absent(fd))
        return fd;
    fd = sys4(__NR_openat, directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd >= 0 && (file_type(fd) == S_IFLNK || !same_mount(directory, fd))) {
        long type = file_type(fd);
        close_fd(fd);
        return type == S_IFLNK ? -ELOOP : -EXDEV;
    }
    return fd;
}

/* Without openat2: one component after the other, and no symbolic link at all. */
static long walk(const char *path)
{
    long at = sys4(__NR_openat, AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    char name[NAME_MAX + 1];

    while (at >= 0) {
        while (*path == '/')
            path++;
        if (!*path)
            return at;
        size_t n = 0;
        for (; path[n] && path[n] != '/'; n++) {
            if (n == NAME_MAX) {
                close_fd(at);
                return -ENAMETOOLONG;
            }
            name[n] = path[n];
        }
        name[n] = 0;
        path += n;
        if (n == 2 && name[0] == '.' && name[1] == '.') {
            close_fd(at);
            return -EXDEV;
        }
        long next = sys4(__NR_openat, at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
        close_fd(at);
        if (next >= 0 && file_type(next) == S_IFLNK) {
            close_fd(next);
            return -ELOOP;
        }
        at = next;
    }
    return at;
}

/* A path as a descriptor (O_PATH): within the cwd as root, or as everybody sees it. */
static long resolve(const char *path, unsigned long long flags)
{
    if (!(flags & PN_MOUNT_IN_ROOT))
        return sys4(__NR_openat, AT_FDCWD, path, O_PATH | O_CLOEXEC, 0);
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    long fd = -EAGAIN; /* a rename on the way: the kernel asks to try again */
    for (int i = 0; i < ATTEMPTS && fd == -EAGAIN; i++)
        fd = sys4(__NR_openat2, AT_FDCWD, path, &how, sizeof how);
    return absent(fd) ? walk(path) : fd;
}

/* The directory of a path, and its last name. */
static long resolve_parent(const char *path, unsigned long long flags, const char **name)
{
    char parent[PATH_MAX];
    size_t end = length(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    while (end > 0 && path[end - 1] != '/')
        end--;
    if (end >= PATH_MAX)
        return -ENAMETOOLONG;
    for (size_t i = 0; i < end; i++)
        parent[i] = path[i];
    parent[end] = 0;
    *name = path + end;
    return resolve(end ? parent : ".", flags);
}

static long make_in(int directory, const char *name, int is_directory, unsigned mode)
{
    if (is_directory)
        return sys3(__NR_mkdirat, directory, name, mode);
    long fd = sys4(__NR_openat, directory, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, mode);
    close_fd(fd);
    return fd < 0 ? fd : 0;
}

static long make_one(const char *path, unsigned long long flags, int directory)
{
    const char *name;
    long parent = resolve_parent(path, flags, &name);
    if (parent < 0)
        return parent;
    long answer = make_in(parent, name, directory, directory ? 0755 : 0644);
    close_fd(parent);
    return answer;
}

/* The directory of a path in a file system of the plan's own, whose mount point is the path's
   beginning; missing ones are made.  No link and no mount is on the way from there: what is
   made or written below cannot land in what the plan only borrowed.  The last name is "" for
   the mount point itself. */
static long own_parent(const char *path, unsigned long long flags, const char **name)
{
    char part[PATH_MAX];
    size_t n = flags >> PN_MOUNT_OWN_SHIFT;
    if (n >= PATH_MAX)
        return -ENAMETOOLONG;
    __builtin_memcpy(part, path, n);
    part[n] = 0;
    long at = resolve(part, flags);
    if (at >= 0 && !is_mount_root(at)) { /* somebody swaps what is on the way */
        close_fd(at);
        return -EXDEV;
    }
    for (path += n; at >= 0;) {
        while (*path == '/')
            path++;
        for (n = 0; path[n] && path[n] != '/' && n < PATH_MAX - 1; n++)
            part[n] = path[n];
        part[n] = 0;
        if (!path[n]) {
            *name = path;
            return at;
        }
        path += n;
        long next = one_below(at, part);
        if (next == -ENOENT && (next = make_in(at, part, 1, 0755)) >= 0)
            next = one_below(at, part);
        close_fd(at);
        at = next;
    }
    return at;
}

static long own_or_make(const char *path, unsigned long long flags, int directory)
{
    const char *name;
    long parent = own_parent(path, flags, &name);
    if (parent < 0 || !*name)
        return parent;
    long fd = one_below(parent, name);
    if (fd == -ENOENT && (fd = make_in(parent, name, directory, directory ? 0755 : 0644)) >= 0)
        fd = one_below(parent, name);
    close_fd(parent);
    return fd;
}

/* A path as a descriptor; what is missing of it is made, where that was asked for. */
static long resolve_or_make(const char *path, unsigned long long flags, int directory)
{
    long fd = resolve(path, flags);
    if (fd != -ENOENT || !(flags & PN_MOUNT_CREATE))
        return fd;
    if (flags >> PN_MOUNT_OWN_SHIFT)
        return own_or_make(path, flags, directory);
    char part[PATH_MAX];
    for (size_t i = 0; i < PATH_MAX - 1; i++) {
        part[i] = path[i];
        int end = !path[i] || (path[i] == '/' && !path[i + 1]);
        if (i > 0 && (end || path[i] == '/')) {
            part[i] = 0;
            long found = resolve(part, flags);
            if (found == -ENOENT)
                found = make_one(part, flags, !end || directory);
            else
                close_fd(found);
            if (found < 0)
                return found;
            part[i] = path[i];
        }
        if (end)
            return resolve(path, flags);
    }
    return -ENAMETOOLONG;
}

static long say_target(char *log, long answer)
{
    say(log, answer == -ELOOP || answer == -EXDEV
                 ? "a symbolic link or another mount is on the way to the target, where nothing is made"
                 : "the target");
    return answer;
}

/* Put a detached mount on its target; one that is to be the root on "/", where we go then. */
static long attach(long tree, const struct pn_step *step, char *log)
{
    long type = file_type(tree);
    if (type < 0)
        return type;
    if (step->flags & PN_MOUNT_AS_ROOT) {
        if (type != S_IFDIR) {
            say(log, "a root is a directory");
            return -ENOTDIR;
        }
        long answer = sys5(__NR_move_mount, tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH);
        return answer < 0 ? answer : sys1(__NR_fchdir, tree);
    }
    long target = resolve_or_make(step->b, step->flags, type == S_IFDIR);
    if (target < 0)
        return say_target(log, target);
    long answer = file_type(target);
    if (answer >= 0 && (answer == S_IFDIR) != (type == S_IFDIR)) {
        say(log, type == S_IFDIR ? "the target is no directory, what is mounted is one"
                                 : "the target is a directory, what is mounted is none");
        answer = type == S_IFDIR ? -ENOTDIR : -EISDIR;
    } else if (answer >= 0)
        answer = sys5(__NR_move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    close_fd(target);
    return answer;
}

/* The same with mount(2). */
static long classic(const char *source, const struct pn_step *step, const char *type, unsigned long flags,
                    const char *data, int directory, char *log)
{
    char path[PROC_FD];
    if (step->flags & PN_MOUNT_AS_ROOT) {
        long answer = sys5(__NR_mount, source, "/", type, flags, data);
        return answer < 0 ? answer : sys1(__NR_chdir, "/.."); /* through what is mounted on the root */
    }
    long target = resolve_or_make(step->b, step->flags, directory);
    if (target < 0)
        return say_target(log, target);
    long answer = sys5(__NR_mount, source, proc_fd(path, target), type, flags, data);
    close_fd(target);
    return answer;
}

static long set_attributes(long tree, unsigned long long flags, int userns)
{
    struct mount_attr attr = {.attr_set = flags & PN_MOUNT_ATTRIBUTES};
    if (userns >= 0) {
        attr.attr_set |= MOUNT_ATTR_IDMAP;
        attr.userns_fd = userns;
    }
    if (!attr.attr_set)
        return 0;
    return sys5(__NR_mount_setattr, tree, "", AT_EMPTY_PATH | (flags & PN_MOUNT_RECURSIVE ? AT_RECURSIVE : 0),
                &attr, sizeof attr);
}

/* With mount(2) the attributes of a bind are set in a second step, which would also clear
   those that it does not name: keep what is there. */
static long remount(int fd, unsigned long attributes)
{
    char path[PROC_FD];
    struct statfs found;
    long answer = sys2(__NR_fstatfs, fd, &found);
    if (answer < 0)
        return answer;
    attributes |= found.f_flags & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME);
    if (found.f_flags & 4096 /* ST_RELATIME */)
        attributes |= MS_RELATIME;
    return sys5(__NR_mount, 0, proc_fd(path, fd), 0, MS_REMOUNT | MS_BIND | attributes, 0);
}

static long classic_bind(const struct pn_step *step, char *log)
{
    unsigned long attributes = step->flags & PN_MOUNT_ATTRIBUTES;
    long source = sys4(__NR_openat, AT_FDCWD, step->a, O_PATH | O_CLOEXEC, 0);
    if (source < 0) {
        say(log, "the source");
        return source;
    }
    int directory = file_type(source) == S_IFDIR;
    close_fd(source);
    int recursive = directory && step->flags & PN_MOUNT_RECURSIVE;
    if (step->fd2 >= 0 || (attributes && recursive)) {
        say(log, step->fd2 >= 0 ? "an idmapped bind needs mount_setattr(2), Linux 5.12"
                                : "a recursive read-only bind needs mount_setattr(2), Linux 5.12");
        return -EOPNOTSUPP;
    }
    long answer = classic(step->a, step, 0, MS_BIND | (recursive ? MS_REC : 0), 0, directory, log);
    if (answer < 0 || !attributes)
        return answer;
    long target = step->flags & PN_MOUNT_AS_ROOT ? resolve(".", 0) : resolve(step->b, step->flags);
    if (target < 0)
        return target;
    answer = remount(target, attributes);
    close_fd(target);
    return answer;
}

static long bind_tree(const struct pn_step *step, char *log)
{
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (step->flags & PN_MOUNT_RECURSIVE ? AT_RECURSIVE : 0);
    long tree = sys3(__NR_open_tree, AT_FDCWD, step->a, flags);
    if (absent(tree)) {
        long answer = classic_bind(step, log);
        return tree == -EPERM && answer == -EOPNOTSUPP ? tree : answer;
    }
    if (tree < 0) {
        say(log, "the source");
        return tree;
    }
    long answer = set_attributes(tree, step->flags, step->fd2);
    if (answer == -ENOSYS) {
        close_fd(tree);
        return classic_bind(step, log);
    }
    if (answer >= 0)
        answer = attach(tree, step, log);
    close_fd(tree);
    return answer == -ENOSYS ? classic_bind(step, log) : answer;
}

/* The file system's own words: "e tmpfs: Bad value for 'size'". */
static void read_log(long context, char *log)
{
    char line[PN_LOG];
    for (int i = 0; log && i < 8; i++) {
        long n = sys3(__NR_read, context, line, sizeof line - 1);
        if (n <= 2)
            return;
        while (n > 0 && line[n - 1] == '\n')
            n--;
        line[n] = 0;
        if (line[0] == 'e')
            say(log, line + 2);
    }
}

static long configure(long context, const char *key, const char *value)
{
    return sys5(__NR_fsconfig, context, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, value, 0);
}

/* Comma-separated options, as mount(8) has them. */
static long configure_all(long context, const char *options)
{
    char option[OPTION];
    while (options && *options) {
        size_t n = 0, equals = 0;
        for (; options[n] && options[n] != ','; n++) {
            if (n == OPTION - 1)
                return -E2BIG;
            option[n] = options[n];
            if (options[n] == '=' && !equals) {
                equals = n;
                option[n] = 0;
            }
        }
        option[n] = 0;
        long answer = configure(context, option, equals ? option + equals + 1 : 0);
        if (answer < 0)
            return answer;
        options += n + (options[n] == ',');
    }
    return 0;
}

/* A new file system that is mounted nowhere yet. */
static long new_tree(const char *type, const char *source, const char *options, unsigned attributes, char *log)
{
    long context = sys2(__NR_fsopen, type, 1 /* FSOPEN_CLOEXEC */);
    if (context < 0)
        return context;
    long answer = configure(context, "source", source ? source : type);
    if (answer >= 0)
        answer = configure_all(context, options);
    if (answer >= 0)
        answer = sys5(__NR_fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0);
    if (answer >= 0)
        answer = sys3(__NR_fsmount, context, 1 /* FSMOUNT_CLOEXEC */, attributes);
    if (answer < 0)
        read_log(context, log);
    close_fd(context);
    return answer;
}

static long mount_fs(const struct pn_step *step, char *log)
{
    unsigned attributes = step->flags & PN_MOUNT_ATTRIBUTES;
    long tree = new_tree(step->c, step->a, step->d, attributes, log), answer = tree;
    if (tree >= 0) {
        answer = attach(tree, step, log);
        close_fd(tree);
    }
    if (answer == -ENOSYS || (tree == -EPERM && !(log && *log)))
        return classic(step->a ? step->a : step->c, step, step->c, attributes, step->d, 1, log);
    return answer;
}

enum { DEVICES = 16 };

/* A tmpfs with device nodes of the old place in it: held before the tmpfs covers them. */
static long mount_devices(const struct pn_step *step, char *log)
{
    int held[DEVICES], count = 0;
    long answer = 0;
    struct pn_step top = *step;
    top.a = 0, top.c = "tmpfs";

    for (const char *name = step->a; answer >= 0 && *name && count < DEVICES; name += length(name) + 1) {
        answer = held[count] = sys4(__NR_openat, AT_FDCWD, name, O_PATH | O_CLOEXEC, 0);
        if (answer >= 0)
            count++;
        else
            say(log, name);
    }
    if (answer >= 0)
        answer = mount_fs(&top, log);
    long place = answer < 0 ? answer
                            : resolve(step->flags & PN_MOUNT_AS_ROOT ? "." : step->b, step->flags);
    if (place < 0)
        answer = place;
    const char *name = step->a;
    for (int i = 0; answer >= 0 && i < count; i++, name += length(name) + 1) {
        const char *base = name;
        char from[PROC_FD], to[PROC_FD];
        for (const char *c = name; *c; c++)
            if (*c == '/')
                base = c + 1;
        long node = sys4(__NR_openat, place, base, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0444);
        answer = node;
        if (node < 0)
            break;
        long tree = sys3(__NR_open_tree, held[i], "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
        answer = tree < 0 ? tree : sys5(__NR_move_mount, tree, "", node, "",
                                        MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
        if (absent(answer))
            answer = sys5(__NR_mount, proc_fd(from, held[i]), proc_fd(to, node), 0, MS_BIND, 0);
        if (answer < 0)
            say(log, name);
        close_fd(tree);
        close_fd(node);
    }
    close_fd(place);
    while (count > 0)
        close_fd(held[--count]);
    return answer;
}

/* In a new tmpfs: work, and upper, which looks as the directory that it lies over. */
static long make_upper(long tmpfs, const char *lower, char *log)
{
    struct statx found;
    long answer = sys5(__NR_statx, AT_FDCWD, lower, 0, STATX_MODE | STATX_UID | STATX_GID, &found);
    if (answer < 0) {
        say(log, lower);
        return answer;
    }
    answer = sys3(__NR_mkdirat, tmpfs, "upper", 0700);
    if (answer >= 0)
        answer = sys3(__NR_mkdirat, tmpfs, "work", 0700);
    if (answer < 0)
        return answer;
    sys5(__NR_fchownat, tmpfs, "upper", found.stx_uid, found.stx_gid, 0); /* ids without a mapping stay ours */
    return sys3(__NR_fchmodat, tmpfs, "upper", found.stx_mode & 07777);
}

static long configure_fd(long context, const char *key, long at, const char *name, char *log)
{
    long fd = sys4(__NR_openat, at, name, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0) {
        say(log, name);
        return fd;
    }
    long answer = sys5(__NR_fsconfig, context, FSCONFIG_SET_FD, key, 0, fd);
    if (answer == -EINVAL) { /* before Linux 6.13 overlay takes paths only */
        char path[PROC_FD];
        answer = configure(context, key, proc_fd(path, fd));
    }
    close_fd(fd);
    return answer;
}

static char *append(char *out, char *end, const char *text, int escape)
{
    for (; out && *text; text++) {
        if (out + 2 >= end)
            return 0;
        if (escape && (*text == ':' || *text == ',' || *text == '\\'))
            *out++ = '\\';
        *out++ = *text;
    }
    return out;
}

/* By one string of options; a vanishing upper lies on a tmpfs below the overlay. */
static long classic_overlay(const struct pn_step *step, char *log)
{
    char options[PATH_MAX], path[PROC_FD], *end = options + sizeof options, *out = options;
    long upper = -1;

    out = append(out, end, step->flags & PN_MOUNT_USERXATTR ? "userxattr,lowerdir=" : "lowerdir=", 0);
    for (const char *lower = step->a; *lower; lower += length(lower) + 1) {
        if (lower != step->a)
            out = append(out, end, ":", 0);
        out = append(out, end, lower, 1);
    }
    if (step->c) {
        out = append(append(out, end, ",upperdir=", 0), end, step->c, 1);
        out = append(append(out, end, ",workdir=", 0), end, step->d, 1);
    } else if (!(step->flags & MOUNT_ATTR_RDONLY)) {
        if (step->flags & PN_MOUNT_AS_ROOT) {
            say(log, "a root with an upper that vanishes needs fsopen(2), Linux 5.2");
            return -EOPNOTSUPP;
        }
        long answer = classic("tmpfs", step, "tmpfs", 0, "mode=0755", 1, log);
        if (answer >= 0)
            answer = upper = resolve(step->b, step->flags);
        if (answer >= 0)
            answer = make_upper(upper, step->a, log);
        if (answer < 0) {
            close_fd(upper);
            return answer;
        }
        out = append(append(append(out, end, ",upperdir=", 0), end, proc_fd(path, upper), 0), end, "/upper", 0);
        out = append(append(append(out, end, ",workdir=", 0), end, path, 0), end, "/work", 0);
    }
    long answer = -ENAMETOOLONG;
    if (out) {
        *out = 0;
        answer = classic("overlay", step, "overlay", step->flags & PN_MOUNT_ATTRIBUTES, options, 1, log);
    }
    close_fd(upper);
    return answer;
}

/* A detached overlay.  *legacy: this kernel has not what it takes, mount(2) may. */
static long overlay_tree(long context, const struct pn_step *step, int *legacy, char *log)
{
    long upper = -1, answer = 0;
    if (step->flags & PN_MOUNT_USERXATTR)
        answer = configure(context, "userxattr", 0);
    if (answer >= 0)
        answer = configure(context, "source", "overlay");
    for (const char *lower = step->a; answer >= 0 && *lower; lower += length(lower) + 1) {
        answer = configure_fd(context, "lowerdir+", AT_FDCWD, lower, log);
        *legacy = answer == -EINVAL; /* lowerdir+ is of Linux 6.7 */
    }
    if (answer >= 0 && step->c) {
        answer = configure_fd(context, "upperdir", AT_FDCWD, step->c, log);
        if (answer >= 0)
            answer = configure_fd(context, "workdir", AT_FDCWD, step->d, log);
    } else if (answer >= 0 && !(step->flags & MOUNT_ATTR_RDONLY)) {
        answer = upper = new_tree("tmpfs", 0, "mode=0700", 0, log);
        if (answer >= 0)
            answer = make_upper(upper, step->a, log);
        if (answer >= 0)
            answer = configure_fd(context, "upperdir", upper, "upper", log);
        if (answer >= 0)
            answer = configure_fd(context, "workdir", upper, "work", log);
    }
    if (answer >= 0)
        answer = sys5(__NR_fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0);
    if (answer >= 0)
        answer = sys3(__NR_fsmount, context, 1, step->flags & PN_MOUNT_ATTRIBUTES);
    if (answer < 0)
        read_log(context, log);
    close_fd(upper);
    return answer;
}

/* a: the lower directories, top first, each ended by NUL, the last by two; c, d: upper and
   work, or none for an upper that vanishes. */
static long mount_overlay(const struct pn_step *step, char *log)
{
    int legacy = 0;
    long context = sys2(__NR_fsopen, "overlay", 1), answer = context;
    if (context >= 0) {
        long tree = answer = overlay_tree(context, step, &legacy, log);
        close_fd(context);
        if (tree >= 0)
            answer = attach(tree, step, log);
        close_fd(tree);
    }
    return answer == -ENOSYS || absent(context) || legacy ? classic_overlay(step, log) : answer;
}

static long write_all(long fd, const char *data, size_t size)
{
    while (size > 0) {
        long n = sys3(__NR_write, fd, data, size);
        if (n < 0 && n != -EINTR)
            return n;
        if (n > 0) {
            data += n;
            size -= n;
        }
    }
    return 0;
}

static long write_new(long directory, const char *name, const struct pn_step *step)
{
    size_t size = 0;
    __builtin_memcpy(&size, step->d, sizeof size);
    long fd = sys4(__NR_openat, directory, name,
                   O_CREAT | O_TRUNC | O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (fd < 0)
        return fd;
    long answer = write_all(fd, step->a, size);
    if (answer >= 0)
        answer = sys2(__NR_fchmod, fd, step->fd);
    close_fd(fd);
    return answer;
}

/* Written into a file system of the plan's own: no mount is needed.  -ELOOP or -EXDEV where
   the path leads out of it. */
static long plain_file(const struct pn_step *step)
{
    const char *name;
    long parent = own_parent(step->b, step->flags, &name);
    if (parent < 0)
        return parent;
    long there = one_below(parent, name), answer = there == -ENOENT ? 0 : there;
    if (there >= 0 && file_type(there) == S_IFDIR)
        answer = -EISDIR;
    close_fd(there);
    if (answer >= 0)
        answer = write_new(parent, name, step);
    close_fd(parent);
    return answer;
}

/* From a tmpfs of its own, which stands on the target's directory for as long as it takes
   where the kernel (before 6.15) cannot take a part of a detached one. */
static long modern_file(const struct pn_step *step, int target, char *log)
{
    const char *name;
    char path[PROC_FD];
    int staged = 0;
    long tmpfs = new_tree("tmpfs", 0, "mode=0755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, log);
    if (tmpfs < 0)
        return tmpfs;
    long answer = write_new(tmpfs, "file", step);
    if (answer >= 0)
        answer = sys3(__NR_open_tree, tmpfs, "file", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (answer == -EINVAL) {
        long stage = resolve_parent(step->b, step->flags, &name);
        answer = sys5(__NR_move_mount, tmpfs, "", stage, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
        staged = answer >= 0;
        close_fd(stage);
        if (staged)
            answer = sys3(__NR_open_tree, tmpfs, "file", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    }
    long tree = answer;
    if (tree >= 0) {
        answer = set_attributes(tree, step->flags, -1);
        if (answer >= 0)
            answer = sys5(__NR_move_mount, tree, "", target, "",
                          MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
        close_fd(tree);
    }
    if (staged)
        sys2(__NR_umount2, proc_fd(path, tmpfs), MNT_DETACH);
    close_fd(tmpfs);
    return answer;
}

static long classic_file(const struct pn_step *step, int target)
{
    const char *name;
    char path[PROC_FD], from[PROC_FD];
    long stage = resolve_parent(step->b, step->flags, &name);
    if (stage < 0)
        return stage;
    long answer = sys5(__NR_mount, "tmpfs", proc_fd(path, stage), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
    close_fd(stage);
    if (answer < 0)
        return answer;
    long tmpfs = resolve_parent(step->b, step->flags, &name);
    answer = tmpfs < 0 ? tmpfs : write_new(tmpfs, "file", step);
    if (answer >= 0) {
        long made = answer = sys4(__NR_openat, tmpfs, "file", O_PATH | O_CLOEXEC, 0);
        if (made >= 0)
            answer = sys5(__NR_mount, proc_fd(from, made), proc_fd(path, target), 0, MS_BIND, 0);
        close_fd(made);
    }
    if (tmpfs >= 0)
        sys2(__NR_umount2, proc_fd(path, tmpfs), MNT_DETACH);
    close_fd(tmpfs);
    if (answer >= 0 && step->flags & MOUNT_ATTR_RDONLY) {
        long mounted = answer = resolve(step->b, step->flags);
        if (mounted >= 0)
            answer = remount(mounted, MS_RDONLY | MS_NOSUID | MS_NODEV);
        close_fd(mounted);
    }
    return answer;
}

/* A file with given content over another one. */
static long mount_file(const struct pn_step *step, char *log)
{
    if (step->flags & PN_MOUNT_PLAIN) {
        long answer = plain_file(step);
        if (answer == -EISDIR)
            say(log, "the target is a directory, what is mounted is none");
        if (answer != -ELOOP && answer != -EXDEV)
            return answer;
    }
    long target = resolve_or_make(step->b, step->flags, 0);
    if (target < 0)
        return say_target(log, target);
    long answer = -EISDIR;
    if (file_type(target) == S_IFDIR)
        say(log, "the target is a directory, what is mounted is none");
    else {
        answer = modern_file(step, target, log);
        if (answer == -ENOSYS)
            answer = classic_file(step, target);
    }
    close_fd(target);
    return answer;
}

/* Over a directory an empty one that is read-only, over a file /dev/null. */
static long mask(const struct pn_step *step, char *log)
{
    long target = resolve(step->b, step->flags);
    if (target == -ENOENT && step->flags & PN_MOUNT_MISSING_OK)
        return 0;
    if (target < 0)
        return say_target(log, target);
    struct pn_step over = *step;
    if (file_type(target) == S_IFDIR) {
        over.a = 0, over.c = "tmpfs", over.d = "size=4k,nr_inodes=2,mode=0555";
        over.flags |= MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
        close_fd(target);
        return mount_fs(&over, log);
    }
    close_fd(target);
    over.a = "/dev/null";
    over.fd2 = -1;
    return bind_tree(&over, log);
}

static long make_directory(const struct pn_step *step, char *log)
{
    long fd = own_or_make(step->b, step->flags, 1);
    if (fd < 0)
        return say_target(log, fd);
    long answer = file_type(fd) == S_IFDIR ? 0 : -ENOTDIR;
    char path[PROC_FD];
    if (answer >= 0) { /* chmod of an O_PATH descriptor */
        answer = sys4(__NR_fchmodat2, fd, "", step->fd, AT_EMPTY_PATH);
        if (absent(answer))
            answer = sys3(__NR_fchmodat, AT_FDCWD, proc_fd(path, fd), step->fd);
    }
    close_fd(fd);
    return answer;
}

static long make_symlink(const struct pn_step *step, char *log)
{
    const char *name;
    long parent = own_parent(step->b, step->flags, &name);
    if (parent < 0)
        return say_target(log, parent);
    long answer = sys3(__NR_symlinkat, step->a, parent, name);
    close_fd(parent);
    return answer;
}

/* pivot_root(2) wants a root that is a mount, which "/" is not in a chroot: from the
   namespace's own root it can be had. */
static long pivot_from_chroot(void)
{
    long here = sys4(__NR_openat, AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    long root = sys4(__NR_openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    long self = pn_current(CLONE_NEWNS, 1), answer = -EINVAL;
    if (here >= 0 && root >= 0 && self >= 0 && sys2(__NR_setns, self, CLONE_NEWNS) >= 0) {
        answer = sys1(__NR_fchdir, here);
        if (answer >= 0)
            answer = sys2(__NR_pivot_root, ".", ".");
        if (answer < 0 && sys1(__NR_fchdir, root) >= 0 && sys1(__NR_chroot, ".") >= 0)
            sys1(__NR_fchdir, here);
    }
    close_fd(self);
    close_fd(root);
    close_fd(here);
    return answer;
}

/* The cwd, a mount, becomes the root, and the old root is gone with all below it. */
static long pivot(char *log)
{
    long wanted = sys4(__NR_openat, AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (wanted < 0)
        return wanted;
    long answer = sys2(__NR_pivot_root, ".", ".");
    if (answer == -EINVAL)
        answer = pivot_from_chroot();
    if (answer >= 0)
        answer = sys2(__NR_umount2, ".", MNT_DETACH);
    if (answer >= 0)
        answer = sys1(__NR_chdir, "/");
    for (int i = 0; answer >= 0 && i < 2; i++) {
        unsigned long long one[2], other[2];
        long fd = answer = sys4(__NR_openat, AT_FDCWD, i ? "." : "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
        if (answer >= 0 && (answer = pn_mount_id(fd, one)) >= 0 && (answer = pn_mount_id(wanted, other)) >= 0 &&
            (one[0] != other[0] || one[1] != other[1])) {
            say(log, "root or cwd is not the new root");
            answer = -ESTALE;
        }
        close_fd(fd);
    }
    close_fd(wanted);
    return answer < 0 ? answer : 0;
}

static int is_missing(const char *path)
{
    struct statx found;
    return sys5(__NR_statx, AT_FDCWD, path, 0, 0, &found) == -ENOENT;
}

long pn_mount_step(const struct pn_step *step, char *log)
{
    if (step->flags & PN_MOUNT_MISSING_OK && (step->op == PN_STEP_BIND || step->op == PN_STEP_OVERLAY) &&
        is_missing(step->a))
        return 0;
    switch (step->op) {
    case PN_STEP_FS:
        return mount_fs(step, log);
    case PN_STEP_DEVICES:
        return mount_devices(step, log);
    case PN_STEP_BIND:
        return bind_tree(step, log);
    case PN_STEP_OVERLAY:
        return mount_overlay(step, log);
    case PN_STEP_FILE:
        return mount_file(step, log);
    case PN_STEP_MASK:
        return mask(step, log);
    case PN_STEP_MKDIR:
        return make_directory(step, log);
    case PN_STEP_SYMLINK:
        return make_symlink(step, log);
    case PN_STEP_PIVOT:
        return pivot(log);
    }
    return -EINVAL;
}

/* The mount and the inode that a descriptor stands for. */
int pn_mount_id(int fd, unsigned long long *out)
{
    struct statx found = {0};
    int answer = sys5(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_INO | 0x1000 /* STATX_MNT_ID, Linux 5.8 */, &found);
    if (answer < 0)
        return answer;
    __builtin_memcpy(&out[0], (char *)&found + 0x90 /* stx_mnt_id */, sizeof out[0]);
    out[1] = found.stx_ino;
    return 0;
}
