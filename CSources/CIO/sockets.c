#include "CIO.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int resolve(const char *host, uint16_t port, int flags, struct addrinfo **found) {
    char service[8];
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    snprintf(service, sizeof service, "%u", port);
    return getaddrinfo(host, service, &hints, found) == 0 ? 0 : -EADDRNOTAVAIL;
}

static uint16_t port_of(int socket) {
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (getsockname(socket, (struct sockaddr *)&address, &length) != 0) return 0;
    if (address.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

int hutong_listen(const char *host, uint16_t port, int backlog, uint16_t *bound_port) {
    struct addrinfo *found = NULL;
    int result = resolve(host, port, AI_PASSIVE, &found);
    if (result < 0) return result;
    int listener = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    if (listener >= 0) setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (listener < 0 || bind(listener, found->ai_addr, found->ai_addrlen) != 0 || listen(listener, backlog) != 0) {
        result = -errno;
        if (listener >= 0) close(listener);
        freeaddrinfo(found);
        return result;
    }
    freeaddrinfo(found);
    *bound_port = port_of(listener);
    return listener;
}

// A signal does not end the attempt: it goes on by itself. Returns 0 or a negative errno.
static int connect_whole(int made, const struct sockaddr *address, socklen_t length, int milliseconds) {
    if (connect(made, address, length) == 0) return 0;
    if (errno != EINTR) return -errno;
    struct pollfd wait = {made, POLLOUT, 0};
    int ready;
    do ready = poll(&wait, 1, milliseconds); while (ready < 0 && errno == EINTR);
    if (ready == 0) return -ETIMEDOUT;
    int error = 0;
    socklen_t size = sizeof error;
    if (ready < 0 || getsockopt(made, SOL_SOCKET, SO_ERROR, &error, &size) < 0) return -errno;
    return -error;
}

int hutong_connect(const char *host, uint16_t port) {
    struct addrinfo *found = NULL;
    int result = resolve(host, port, 0, &found);
    if (result < 0) return result;
    result = -ECONNREFUSED;
    for (struct addrinfo *each = found; each != NULL; each = each->ai_next) {
        int made = socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (made < 0) continue;
        // What does not answer is not waited for as long as the kernel would.
        struct timeval limit = {3, 0}, none = {0, 0};
        setsockopt(made, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        result = connect_whole(made, each->ai_addr, each->ai_addrlen, 3000);
        if (result == 0) {
            setsockopt(made, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none);
            result = made;
            break;
        }
        close(made);
    }
    freeaddrinfo(found);
    return result;
}

int hutong_set_no_delay(int socket) {
    int on = 1, idle = 60, interval = 10, count = 6;
    setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    return setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 ? 0 : -errno;
}

int hutong_set_impatient(int socket, int milliseconds) {
    int idle = milliseconds / 2000 > 0 ? milliseconds / 2000 : 1, interval = 1, count = 3;
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    return setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds) == 0 ? 0 : -errno;
}

void hutong_peer_name(int socket, char *into, size_t capacity) {
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    char host[64], service[8];
    if (getpeername(socket, (struct sockaddr *)&address, &length) != 0
        || getnameinfo((struct sockaddr *)&address, length, host, sizeof host, service, sizeof service,
                       NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        snprintf(into, capacity, "unknown");
        return;
    }
    snprintf(into, capacity, "%s:%s", host, service);
}

uint64_t hutong_peer_address(int socket) {
    // IPv4 addresses get a prefix that no IPv6 network has: ::/8 is reserved.
    const uint64_t four = (uint64_t)0xffff << 32;
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (getpeername(socket, (struct sockaddr *)&address, &length) != 0) return 0;
    if (address.ss_family == AF_INET) return four | ntohl(((struct sockaddr_in *)&address)->sin_addr.s_addr);
    if (address.ss_family != AF_INET6) return 0;
    const uint8_t *bytes = ((struct sockaddr_in6 *)&address)->sin6_addr.s6_addr;
    const int mapped = IN6_IS_ADDR_V4MAPPED(&((struct sockaddr_in6 *)&address)->sin6_addr);
    uint64_t key = 0;
    for (int at = 0; at < 8; at++) key = key << 8 | bytes[mapped ? at + 8 : at];
    return key; // the mapped form's second half is ffff and the address: the prefix from above
}

void hutong_discard_unsent(int socket) {
    const struct linger none = {.l_onoff = 1, .l_linger = 0};
    setsockopt(socket, SOL_SOCKET, SO_LINGER, &none, sizeof none);
}

uint64_t hutong_raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {limit.rlim_max, limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
    }
    return limit.rlim_cur;
}
