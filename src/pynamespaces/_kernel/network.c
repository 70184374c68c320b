/* A network device's addresses, by rtnetlink(7).  Async-signal-safe: raw system calls and the stack only. */
#include "kernel.h"

#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <linux/sockios.h>
#include <sys/socket.h>

static long device_index(int fd, const char *name)
{
    struct ifreq request = {0};

    for (size_t i = 0; name[i] && i + 1 < sizeof request.ifr_name; i++)
        request.ifr_name[i] = name[i];
    long answer = sys3(__NR_ioctl, fd, SIOCGIFINDEX, &request);
    return answer < 0 ? answer : request.ifr_ifindex;
}

static void attribute(struct nlmsghdr *head, int type, const char *data, size_t size)
{
    struct rtattr *next = (struct rtattr *)((char *)head + NLMSG_ALIGN(head->nlmsg_len));

    next->rta_type = type;
    next->rta_len = RTA_LENGTH(size);
    __builtin_memcpy(RTA_DATA(next), data, size);
    head->nlmsg_len = NLMSG_ALIGN(head->nlmsg_len) + RTA_ALIGN(next->rta_len);
}

/* An address of a device in the calling thread's network; fine if it has it already.  An IPv6 one can be used at
   once: who would have the same, on a device of ours (IFA_F_NODAD)? */
long pn_add_address(const char *device, int family, int prefix, const char *bytes)
{
    struct {
        struct nlmsghdr head;
        struct ifaddrmsg address;
        char attributes[64];
    } ask = {
        .head = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)), .nlmsg_type = RTM_NEWADDR,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL},
        .address = {.ifa_family = family, .ifa_prefixlen = prefix},
    };
    union { struct nlmsghdr head; char space[512]; } answer = {0};
    size_t size = family == AF_INET6 ? 16 : 4;

    long fd = sys3(__NR_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return fd;
    long said = device_index(fd, device);
    if (said >= 0) {
        ask.address.ifa_index = said;
        if (family == AF_INET6)
            ask.address.ifa_flags = IFA_F_NODAD;
        attribute(&ask.head, IFA_LOCAL, bytes, size);
        attribute(&ask.head, IFA_ADDRESS, bytes, size);
        said = sys6(__NR_sendto, fd, (long)&ask, ask.head.nlmsg_len, 0, 0, 0);
        if (said >= 0)
            said = sys6(__NR_recvfrom, fd, (long)&answer, sizeof answer, 0, 0, 0);
        if (said >= 0) {
            const struct nlmsgerr *error = NLMSG_DATA(&answer.head);
            said = answer.head.nlmsg_type == NLMSG_ERROR ? error->error : -EPROTO;
        }
    }
    sys1(__NR_close, fd);
    return said == -EEXIST ? 0 : said;
}
