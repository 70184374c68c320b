/* A relay: what a wire is where the kernel has no netem.  It runs from the image of init.c: no C
   library, no relocations, no thread-local storage.

   Descriptor 3 is a socket over which its weather comes (struct pn_weather); when that is closed,
   or the process at 4 ends, it ends.  5 and 6 are packet sockets with PACKET_VNET_HDR, so that
   frames larger than the MTU and unfinished checksums pass as they are.  What comes in at one goes
   out at the other, later, or never. */
#include "clone.h"
#include "kernel.h"

#include <poll.h>
#include <time.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

enum {
    CONTROL_FD = 3, MOTHER_FD = 4, FIRST_FD = 5,
    FRAME = 1 << 17,  /* more than the largest frame and its header */
    RING = 16 << 20,  /* bytes on the way in one direction; more is lost, as in any queue */
    AT_ONCE = 64,
    SIGSET_BYTES = 8,
};

struct frame { uint64_t due; uint32_t length, size; };

/* A ring of frames, oldest at `tail`; a frame never wraps: a size of 0 says "go on at 0". */
struct lane { char *ring; uint64_t head, tail, used, last; };

FREESTANDING static uint64_t now(void)
{
    struct timespec t;
    sys2(__NR_clock_gettime, CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

FREESTANDING static uint64_t dice(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

FREESTANDING static struct frame *oldest(struct lane *lane)
{
    struct frame *frame = (struct frame *)(lane->ring + lane->tail);
    if (lane->used && (RING - lane->tail < sizeof *frame || frame->size == 0)) {
        lane->used -= RING - lane->tail;
        lane->tail = 0;
        frame = (struct frame *)lane->ring;
    }
    return lane->used ? frame : 0;
}

/* Where the next frame can be received, or null. */
FREESTANDING static struct frame *room(struct lane *lane)
{
    if (RING - lane->head < FRAME) {
        uint64_t rest = RING - lane->head;
        if (RING - lane->used < rest + FRAME)
            return 0;
        if (rest >= sizeof(struct frame))
            ((struct frame *)(lane->ring + lane->head))->size = 0;
        lane->head = 0;
        lane->used += rest;
    }
    return RING - lane->used < FRAME ? 0 : (struct frame *)(lane->ring + lane->head);
}

FREESTANDING static void receive(int fd, struct lane *lane, const struct pn_weather *weather, uint64_t *state)
{
    static char nowhere[1];

    for (int i = 0; i < AT_ONCE; i++) {
        struct frame *frame = room(lane);
        char *where = frame ? (char *)(frame + 1) : nowhere;
        long length = sys6(__NR_recvfrom, fd, (long)where, frame ? FRAME - sizeof *frame : 0,
                           MSG_DONTWAIT | MSG_TRUNC, 0, 0);
        if (length < 0)
            return;
        int lost = weather->loss && (dice(state) >> 32) < weather->loss;
        if (!frame || lost || length > (long)(FRAME - sizeof *frame))
            continue;
        uint64_t due = now() + weather->delay;
        if (weather->jitter)
            due += dice(state) % (2 * weather->jitter + 1) - weather->jitter;
        if (due < lane->last) /* it stays in its place */
            due = lane->last;
        frame->due = lane->last = due;
        frame->length = length;
        frame->size = (sizeof *frame + length + 15) & ~15u;
        lane->head += frame->size;
        lane->used += frame->size;
    }
}

/* Send what is due; nanoseconds until the next is, or -1. */
FREESTANDING static int64_t deliver(int fd, struct lane *lane)
{
    struct frame *frame;

    while ((frame = oldest(lane))) {
        uint64_t t = now();
        if (frame->due > t)
            return frame->due - t;
        if (sys6(__NR_sendto, fd, (long)(frame + 1), frame->length, MSG_DONTWAIT, 0, 0) == -EAGAIN)
            return 1000000;
        lane->tail += frame->size;
        lane->used -= frame->size;
    }
    lane->head = lane->tail = 0;
    return -1;
}

/* What is on the way when the weather improves arrives no later than what follows. */
FREESTANDING static void hurry(struct lane *lane, uint64_t latest)
{
    uint64_t position = lane->tail, left = lane->used;

    while (left > 0) {
        struct frame *frame = (struct frame *)(lane->ring + position);
        if (RING - position < sizeof *frame || frame->size == 0) {
            left -= RING - position;
            position = 0;
            continue;
        }
        if (frame->due > latest)
            frame->due = latest;
        position += frame->size;
        left -= frame->size;
    }
    if (lane->last > latest)
        lane->last = latest;
}

__attribute__((visibility("hidden"))) FREESTANDING void pn_run_relay(void)
{
    uint64_t all = ~(1ULL << (SIGTERM - 1)), state = 0; /* whoever stops the machine may stop us */
    struct pn_weather weather;
    struct lane lanes[2];
    struct pollfd waits[4];

    sys4(__NR_rt_sigprocmask, SIG_SETMASK, &all, 0, SIGSET_BYTES);
    sys2(__NR_prctl, PR_SET_NAME, "namespaces-wire");
    sys3(__NR_getrandom, &state, sizeof state, 0);
    state |= 1;
    weather.delay = weather.jitter = weather.loss = 0;
    for (int i = 0; i < 2; i++) {
        long ring = sys6(__NR_mmap, 0, RING, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (ring < 0)
            sys1(__NR_exit_group, 1);
        lanes[i].ring = (char *)ring;
        lanes[i].head = lanes[i].tail = lanes[i].used = lanes[i].last = 0;
    }
    for (int i = 0; i < 4; i++) {
        waits[i].fd = CONTROL_FD + i;
        waits[i].events = POLLIN;
    }
    for (;;) {
        int64_t wait = -1;
        struct timespec t;
        for (int i = 0; i < 2; i++) {
            int64_t next = deliver(FIRST_FD + 1 - i, &lanes[i]);
            if (next >= 0 && (wait < 0 || next < wait))
                wait = next;
        }
        t.tv_sec = wait / 1000000000;
        t.tv_nsec = wait % 1000000000;
        for (int i = 0; i < 4; i++)
            waits[i].revents = 0;
        if (sys5(__NR_ppoll, waits, 4, wait < 0 ? 0 : &t, 0, 0) < 0)
            continue;
        if (waits[1].revents)
            sys1(__NR_exit_group, 0);
        if (waits[0].revents) {
            if (sys6(__NR_recvfrom, CONTROL_FD, (long)&weather, sizeof weather, MSG_DONTWAIT, 0, 0) <= 0)
                sys1(__NR_exit_group, 0);
            for (int i = 0; i < 2; i++)
                hurry(&lanes[i], now() + weather.delay + weather.jitter);
            sys6(__NR_sendto, CONTROL_FD, (long)&weather, 1, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0); /* it is in force */
        }
        for (int i = 0; i < 2; i++)
            if (waits[2 + i].revents)
                receive(FIRST_FD + i, &lanes[i], &weather, &state);
    }
}

/* Start a relay between two packet sockets, nobody's child; it ends with `control` or with us. */
int pn_relay_spawn(int image, int control, int first, int second)
{
    int mother = sys2(__NR_pidfd_open, sys0(__NR_getpid), 0);

    if (mother < 0)
        return mother;
    int fds[4] = {control, mother, first, second};
    int answer = pn_spawn_apart(image, fds, 4, "relay");
    sys1(__NR_close, mother);
    return answer;
}
