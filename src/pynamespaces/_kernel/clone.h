/* clone3(2) of a child on a stack of its own: it runs `run(data)` and exits with its answer.
   The C libraries' wrappers cannot do this for a child that shares our memory. */
#ifndef PN_CLONE_H
#define PN_CLONE_H

#include "sys.h"

/* No stack protector (it reads TLS) and no sanitizer in what runs without a C library. */
#if defined(__clang__)
#define FREESTANDING __attribute__((no_sanitize("address", "undefined"), no_stack_protector))
#else
#define FREESTANDING __attribute__((no_sanitize("address", "undefined"), optimize("no-stack-protector", \
                     "no-tree-loop-distribute-patterns", "O2"), noinline))
#endif

/* struct clone_args of 5.7 (88 bytes), spelt out: older headers lack its tail. */
struct pn_clone_args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
} __attribute__((aligned(8)));

typedef int pn_child(void *data);

static inline __attribute__((always_inline)) long
clone_and_run(struct pn_clone_args *args, pn_child *run, void *data)
{
#if defined(__x86_64__)
    long answer;
    register pn_child *r12 __asm__("r12") = run;
    register void *r13 __asm__("r13") = data;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %%r13, %%rdi\n\t"
                     "call *%%r12\n\t"
                     "mov %%eax, %%edi\n\t"
                     "mov %[exit], %%eax\n\t"
                     "syscall\n\t"
                     "hlt\n"
                     "1:"
                     : "=a"(answer)
                     : "a"((long)__NR_clone3), "D"(args), "S"(sizeof *args), "r"(r12), "r"(r13),
                       [exit] "i"(__NR_exit)
                     : "rcx", "r11", "memory", "cc");
    return answer;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = __NR_clone3;
    register long x0 __asm__("x0") = (long)args;
    register long x1 __asm__("x1") = sizeof *args;
    register pn_child *x20 __asm__("x20") = run;
    register void *x21 __asm__("x21") = data;
    __asm__ volatile("svc 0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, xzr\n\t"
                     "mov x0, x21\n\t"
                     "blr x20\n\t"
                     "mov x8, %[exit]\n\t"
                     "svc 0\n\t"
                     "brk 0\n"
                     "1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x20), "r"(x21), [exit] "i"(__NR_exit)
                     : "x30", "memory", "cc");
    return x0;
#elif defined(__riscv)
    register long a7 __asm__("a7") = __NR_clone3;
    register long a0 __asm__("a0") = (long)args;
    register long a1 __asm__("a1") = sizeof *args;
    register pn_child *s2 __asm__("s2") = run;
    register void *s3 __asm__("s3") = data;
    __asm__ volatile("ecall\n\t"
                     "bnez a0, 1f\n\t"
                     "mv s0, zero\n\t"
                     "mv a0, s3\n\t"
                     "jalr s2\n\t"
                     "li a7, %[exit]\n\t"
                     "ecall\n\t"
                     "ebreak\n"
                     "1:"
                     : "+r"(a0)
                     : "r"(a7), "r"(a1), "r"(s2), "r"(s3), [exit] "i"(__NR_exit)
                     : "ra", "memory");
    return a0;
#endif
}

/* Reap a child of ours that nobody else knows; its wait status. */
static inline int await_child(int child)
{
    int status = 0;
    while (sys4(__NR_wait4, child, &status, 0x40000000 /* __WALL */, 0) == -EINTR)
        ;
    return status;
}

#endif
