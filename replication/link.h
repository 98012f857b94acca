/* The connection of a resource: two TCP sockets, one for data and state, one for acknowledgements
 * and pings ("meta"). Private to replication/; home reactor. */
#ifndef HALUN_REPLICATION_LINK_H
#define HALUN_REPLICATION_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "replication/message.h"
#include "replication/secure.h"
#include "target/base/limits.h"
#include "target/base/payload.h"
#include "target/base/reactor.h"

struct resource;
struct replica;

enum {
    LINK_RX_DATA = 128 << 10, /* receive buffers */
    LINK_RX_META = 32 << 10, /* what a thousand volumes say in a change of roles, at once */
    LINK_TX_SEGMENTS = 1024, /* of one send; the kernel's limit */
    LINK_PENDING = 4,       /* accepted sockets that did not say yet what they are */
    LINK_CONTROL = 256,     /* longest control packet with its header */
};

/* Something to send; embedded in its owner, who keeps head and iov until done(). done() is called
 * once, when all of it was given to the kernel or the link is gone. */
struct tx_item {
    struct tx_item *next;
    const uint8_t *head;
    uint32_t head_length;
    const struct iovec *iov;
    unsigned iov_count;
    uint64_t length; /* head and iov */
    bool patient;    /* done() need not wake anybody: it may come with the next event */
    void (*done)(struct tx_item *item);
};

/* The data of a packet that is being received into a payload. */
struct link_bulk {
    unsigned command;
    void *owner;
    struct payload *payload;
};

struct link_socket {
    struct resource *resource;
    uint8_t kind; /* SOCKET_DATA, SOCKET_META */
    int fd;
    struct tls_session *tls; /* NULL: plain */

    uint8_t *buffer;
    size_t size, start, end;
    struct io_op rx_op;
    bool rx_running, paused;
    bool more; /* the socket had more to read when the last receive ended */
    struct msghdr rx_msg;
    struct iovec rx_iov[LIMIT_SEGMENTS + 2];
    bool bulk_active;
    struct link_bulk bulk;
    size_t bulk_got;
    uint64_t last_ns; /* when something was received */

    struct tx_item *tx_first, **tx_end;
    uint64_t tx_sent; /* bytes of the first item that are out */
    bool tx_running, tx_full;
    bool tx_waits; /* something is queued that the running send does not take along */
    uint64_t tx_submission; /* of the reactor, when the running send was prepared */
    size_t tx_sealed;      /* TLS: bytes of items in records that are being sent */
    struct post seal_post; /* TLS: makes records of all that one turn of the reactor queued */
    struct io_op tx_op;
    struct msghdr tx_msg;
    struct iovec tx_iov[LINK_TX_SEGMENTS];
};

enum link_phase {
    LINK_IDLE, /* StandAlone, or not started */
    LINK_CONNECTING,
    LINK_FEATURES,
    LINK_AUTH,
    LINK_PARAMS, /* parameters sent, the peer's are coming */
    LINK_UP,
    LINK_CLOSING, /* waits for what is in the ring and for the peer's writes in progress */
};

struct pending_socket {
    struct link *link;
    struct channel channel;
    struct securing securing;
    bool running, given_up;
    struct io_op op;
    struct timer timer;
    uint8_t head[HEADER_80_LENGTH];
    unsigned got;
};

struct control;

struct link {
    enum link_phase phase;
    enum header_form form;
    uint64_t serial; /* of the connection; the next one has another */
    struct link_socket data, meta;
    bool failing;   /* drop it at the end of this turn's work */
    bool stay_down; /* and do not connect again */
    char fail_why[128];
    uint64_t phase_ns, ping_ns;
    uint64_t linger_ns; /* while LINK_CLOSING: the peer may still read; until then at the latest */
    uint64_t pings, ping_acks; /* of this connection */
    struct control *free_controls;

    /* connector */
    bool active; /* this node connects first; also keeps its own socket when two cross */
    struct sockaddr_storage own, peer;
    socklen_t address_length;
    int listen_fd;
    struct io_op accept_op, connect_op;
    bool accepting, connecting, stopping;
    struct channel connect;
    struct securing securing; /* what was connected, while `securing_own` */
    bool securing_own;
    struct timer retry;
    struct pending_socket pending[LINK_PENDING];
    struct channel data_end, meta_end; /* made, waiting for each other */
    bool data_own, meta_own;
    struct tls_context *tls; /* of the next connection; NULL: plain */
    char peer_name[LIMIT_NAME + 1];
    unsigned failures;
    uint64_t up_ns; /* since when it is up, 0: it did not come so far */

    /* authentication */
    uint8_t challenge[MESSAGE_CHALLENGE];
    bool challenge_answered, response_ok;
    bool have_protocol;
};

/* link.c */
int link_init(struct resource *r);
void link_free(struct resource *r);
/* Both sockets are there: the handshake starts. Takes them over. */
void link_begin(struct resource *r, struct channel data, struct channel meta);
/* Something is wrong with the connection: it is dropped by the outermost resource_leave().
 * printf-like. */
__attribute__((format(printf, 2, 3))) void link_fail(struct resource *r, const char *format, ...);
/* The same, and stays down (StandAlone) until told to connect. */
__attribute__((format(printf, 2, 3))) void link_refuse(struct resource *r, const char *format, ...);
/* In resource_leave(): shuts down what failed; later, when all is out of the ring, closes it. */
void link_drop(struct resource *r);
bool link_try_close(struct resource *r);
/* The peer began with TLS, this node has none: complains. */
void link_peer_has_tls(struct resource *r);
/* link_receive.c */
/* Continues to receive after -EAGAIN. */
void link_resume(struct resource *r);
/* link_send.c */
void link_push(struct link_socket *s, struct tx_item *item);
/* At the end of an event: a send that completes without an event has another turn of the reactor when somebody waits for
 * its end. */
void link_hurry(struct resource *r);
/* Sends a control packet; body is copied. */
void link_send(struct resource *r, struct link_socket *s, unsigned volume, unsigned command,
               const uint8_t *body, size_t length);
void link_ping(struct resource *r);
static inline bool link_alive(const struct link *link)
{
    return link->phase >= LINK_FEATURES && link->phase <= LINK_UP && !link->failing;
}

/* link_tls.c: control thread. -errno and a sentence in `why` (256 bytes), or 0. */
int link_tls_open(struct resource *r, char *why);
int link_tls_reload(struct replica *replica, bool apply, char *why);

/* connector.c */
int connector_listen(struct resource *r, char *why);
void connector_start(struct resource *r);
/* Stops connecting and listening; true when nothing is in the ring any more. */
bool connector_stop(struct resource *r);
/* StandAlone: no new connection is made, the sockets that exist are closed. */
void connector_pause(struct resource *r);

#endif
