/*
 * far.c - a rank of t/far.sh: the far link over MPI, between the ranks of MPI_COMM_WORLD. Rank 0 prints TAP.
 *
 *   far FILE     a file of 4096 zeros that the ranks map, to say things to one another without MPI
 *
 * Every message's head says who sent it to whom, as which one, and how long its body is; head and body are filled
 * by that. So a receiver knows what must come next from each sender, to the last byte.
 */
#include <fcntl.h>
#include <mpi.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "libmemo/memo.h"
#include "libmemo/wire/mpi_send.h"
#include "libmemo/wire/pmi.h"
#include "t/tap.h"

enum { RANKS = 8, TAG = 1, END = 1, REFUSED = 2, KNOWN_HEAD = 77777, BIG = 64 << 20, PIECE = 8000 };

typedef struct label {
    uint32_t from, to, flags, head_size;
    uint64_t index, body_size;
} label_t;

/* What this rank knows of the link with another. */
typedef struct with {
    uint64_t sent, received;
    bool ended; /* it has sent its last */
} with_t;

static int rank, ranks, failures;
static uint64_t state;
static far_t *link_now;
static MPI_Comm comm;
static with_t with[RANKS];
static _Atomic uint64_t *board; /* the file */
static uint64_t dropped, places[RANKS];

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static uint64_t below(uint64_t n)
{
    return (next_random() >> 11) % n;
}

static void expect(bool good, const char *what, uint64_t a, uint64_t b)
{
    if (!good) {
        failures++;
        fprintf(stderr, "# rank %d: %s (%" PRIu64 ", %" PRIu64 ")\n", rank, what, a, b);
    }
}

/* Bytes that say which message they are of, and where in it they stand. */
static void fill(unsigned char *bytes, size_t size, const label_t *label, uint64_t salt)
{
    uint64_t step = (label->from * 31u + label->to + label->index * 1000003u + salt) | 1, value = step;

    for (size_t i = 0; i < size; i++, value += step * 0x9e3779b97f4a7c15u) {
        bytes[i] = (unsigned char)(value >> 56);
    }
}

static bool filled(const unsigned char *bytes, size_t size, const label_t *label, uint64_t salt)
{
    unsigned char *want = malloc(size + 1);
    fill(want, size, label, salt);
    bool good = memcmp(bytes, want, size) == 0;
    free(want);
    return good;
}

/* ---- what the link calls ----------------------------------------------------------------------------------- */

static label_t label_of(const void *head, size_t head_size)
{
    label_t label = {0};

    expect(head_size >= sizeof label, "a head has its label", head_size, 0);
    if (head_size >= sizeof label) {
        memcpy(&label, head, sizeof label);
    }
    return label;
}

enum { GUARD = 16 };

/* A place has a guard behind it. */
static void free_place(unsigned char *body, size_t size)
{
    for (size_t i = 0; body && i < GUARD; i++) {
        expect(body[size + i] == 0xa5, "nothing is written behind a place", size, i);
    }
    free(body);
}

static void *place(void *arg, uint32_t peer, const void *head, size_t head_size, size_t body_size)
{
    label_t label = label_of(head, head_size);

    expect(arg == &comm, "the user's arg", 0, 0);
    expect(label.from == peer && label.body_size == body_size && body_size > 0, "asked for a place for what comes",
           label.body_size, body_size);
    places[peer]++;
    if (label.flags & REFUSED) {
        return NULL;
    }
    unsigned char *body = malloc(body_size + GUARD);
    memset(body + body_size, 0xa5, GUARD);
    return body;
}

static void deliver(void *arg, uint32_t peer, const void *head, size_t head_size, void *body, size_t body_size)
{
    label_t label = label_of(head, head_size);

    expect(arg == &comm && !link_now->ops->poll(link_now), "polling does nothing here", 0, 0);
    expect(label.from == peer && label.to == (uint32_t)rank, "from whom, to whom", label.from, label.to);
    expect(label.index == with[peer].received, "in order", label.index, with[peer].received);
    expect(label.head_size == head_size && label.body_size == body_size, "as long as it was", head_size, body_size);
    expect(!with[peer].ended, "nothing after the last", peer, label.index);
    expect(filled((const unsigned char *)head + sizeof label, head_size - sizeof label, &label, 1), "the head",
           peer, label.index);
    if (body_size == 0 || label.flags & REFUSED) {
        expect(body == NULL, "no body where there is none", peer, label.index);
    } else {
        expect(filled(body, body_size, &label, 2), "the body", peer, label.index);
    }
    free_place(body, body_size);
    with[peer].received++;
    with[peer].ended = label.flags & END;
}

static void drop(void *arg, uint32_t peer, void *body, size_t body_size)
{
    expect(arg == &comm && body && body_size > 0, "what is dropped", peer, body_size);
    free_place(body, body_size);
    dropped++;
}

/* ---- steps ------------------------------------------------------------------------------------------------- */

static bool poll_once(void)
{
    bool moved = link_now->ops->poll(link_now);

    if (!moved) {
        sched_yield();
    }
    return moved;
}

static int send_one(uint32_t to, uint32_t flags, size_t head_size, size_t body_size)
{
    label_t label = {(uint32_t)rank, to, flags, (uint32_t)head_size, with[to].sent, body_size};
    unsigned char *head = malloc(head_size + 1), *body = body_size > 0 ? malloc(body_size) : NULL;

    memcpy(head, &label, sizeof label);
    fill(head + sizeof label, head_size - sizeof label, &label, 1);
    if (body) {
        fill(body, body_size, &label, 2);
    }
    int result = link_now->ops->send(link_now, to, head, head_size, body, body_size);
    with[to].sent += result == MEMO_OK;
    memset(head, 0xdd, head_size); /* it is ours again */
    if (body) {
        memset(body, 0xdd, body_size);
    }
    free(head);
    free(body);
    return result;
}

static size_t any_body(void)
{
    static const size_t most[] = {1, 100, 1000, PIECE + 200, 3 * PIECE, 70000, 300000, 3000000};
    size_t kind = below(100) < 2 ? below(8) : below(100) < 15 ? below(6) : below(4);

    return below(most[kind]);
}

static size_t any_head(void)
{
    return sizeof(label_t) + (below(40) == 0 ? below(40000) : below(200));
}

/* All ranks come here; the link goes on meanwhile. */
static void meet(void)
{
    MPI_Request request;
    int all = 0;

    for (MPI_Ibarrier(MPI_COMM_WORLD, &request); !all; MPI_Test(&request, &all, MPI_STATUS_IGNORE)) {
        if (link_now) {
            poll_once();
        } else {
            sched_yield();
        }
    }
}

static void send_away(void)
{
    while (link_now->ops->sending(link_now)) {
        poll_once();
    }
}

static void begin(void)
{
    static const far_user_t user = {.place = place, .deliver = deliver, .drop = drop, .arg = &comm};
    int own[RANKS];

    for (int i = 0; i < ranks; i++) {
        own[i] = i;
        with[i] = (with_t){0};
        places[i] = 0;
    }
    dropped = 0;
    MPI_Comm_dup(MPI_COMM_WORLD, &comm);
    link_now = mpi_send_open(comm, own, (uint32_t)ranks, (uint32_t)rank, &user);
    if (!link_now) {
        tap_bail("no link");
    }
    meet();
}

static void end(const char *name)
{
    int all = 0;

    meet();
    link_now->ops->close(link_now);
    link_now = NULL;
    meet(); /* the communicator stays: what was left under way on it must not come to the next */
    MPI_Allreduce(&failures, &all, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    failures = 0;
    if (rank == 0) {
        tap_is_int(all, 0, "%s", name);
    }
}

static void wait_for_ends(int first)
{
    for (int i = first; i < ranks; i++) {
        while (!with[i].ended) {
            poll_once();
        }
    }
}

static void end_all(void)
{
    for (int i = 0; i < ranks; i++) {
        expect(send_one((uint32_t)i, END, sizeof(label_t), 0) == MEMO_OK, "sent", 0, 0);
    }
    wait_for_ends(0);
    send_away();
}

/* Waits until so many ranks have written so on the board: no MPI, no polling. */
static void wait_on_board(int line, uint64_t count)
{
    while (atomic_load(&board[line]) < count) {
        sched_yield();
    }
}

static void write_on_board(int line)
{
    atomic_fetch_add(&board[line], 1);
}

/* ---- what is tested ---------------------------------------------------------------------------------------- */

static void all_to_all(void)
{
    begin();
    for (int i = 0; i < 1500; i++) {
        uint32_t flags = below(7) == 0 ? REFUSED : 0;
        expect(send_one((uint32_t)below((uint64_t)ranks), flags, any_head(), any_body()) == MEMO_OK, "sent", 0, 0);
        for (uint64_t k = below(4); k > 0; k--) {
            poll_once();
        }
        if (below(200) == 0) {
            usleep((useconds_t)below(3000));
        }
    }
    end_all();
    end("everybody to everybody, 0 to 3 MB: all of it comes, in order");
}

/* Rank 0 does not read until all others have handed over everything, and have talked among themselves besides. */
static void sleeping_receiver(void)
{
    begin();
    if (rank == 0) {
        wait_on_board(0, (uint64_t)ranks - 1);
    } else {
        for (int i = 0; i < 1000; i++) {
            expect(send_one(0, 0, sizeof(label_t) + 20, i % 50 == 0 ? 200000 : below(300)) == MEMO_OK, "sent", 0,
                   0);
        }
        for (int i = 1; i < ranks; i++) {
            expect(send_one((uint32_t)i, END, sizeof(label_t), 20000) == MEMO_OK, "sent", 0, 0);
        }
        wait_for_ends(1);
        write_on_board(0);
    }
    expect(send_one(0, END, sizeof(label_t), 0) == MEMO_OK, "sent", 0, 0);
    if (rank == 0) {
        wait_for_ends(0);
    }
    send_away();
    end("a receiver that sleeps holds up nobody, and finds everything in order");
}

/* malloc, for this program and what it links: a size that fails so many times, or the next one from this thread. */
extern void *__libc_malloc(size_t size);
static atomic_int refuse_known, refuse_next;

void *malloc(size_t size)
{
    if ((size == KNOWN_HEAD && atomic_load(&refuse_known) > 0 && atomic_fetch_sub(&refuse_known, 1) > 0) ||
        (atomic_load(&refuse_next) > 0 && atomic_fetch_sub(&refuse_next, 1) > 0)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(size);
}

static int send_without_memory(uint32_t to)
{
    label_t label = {0};

    atomic_store(&refuse_next, 1);
    int result = link_now->ops->send(link_now, to, &label, sizeof label, NULL, 0);
    atomic_store(&refuse_next, 0);
    return result;
}

static void no_memory(void)
{
    uint32_t to = (uint32_t)((rank + 1) % ranks);

    atomic_store(&refuse_known, 5); /* others may be ahead of us: their messages may come before we send any */
    begin();
    for (int i = 0; i < 30; i++) {
        expect(send_without_memory(to) == MEMO_ENOMEM, "no memory is said", 0, 0);
        expect(send_one(to, 0, i % 3 == 0 ? KNOWN_HEAD : sizeof(label_t), below(9000)) == MEMO_OK, "sent", 0, 0);
    }
    for (int i = 0; i < 500; i++) {
        poll_once();
    }
    end_all();
    expect(atomic_load(&refuse_known) <= 0, "memory was short", 0, 0);
    atomic_store(&refuse_known, 0);
    end("without memory nothing is sent, and nothing that was sent is lost");
}

/* Rank 1 begins to send more than the network holds, and dies: it is alive, but the others forget it. */
static void forgotten(void)
{
    begin();
    if (rank == 1) {
        expect(send_one(0, 0, sizeof(label_t), BIG) == MEMO_OK, "sent", 0, 0);
        expect(link_now->ops->sending(link_now), "it cannot have left", 0, 0);
        write_on_board(1);
        wait_on_board(2, 1);
        for (int i = 0; i < 100; i++) {
            expect(send_one(0, 0, sizeof(label_t), 100) == MEMO_OK, "sent", 0, 0);
        }
    } else if (rank == 0) {
        wait_on_board(1, 1);
        while (places[1] == 0) {
            poll_once();
        }
        while (send_one(1, 0, sizeof(label_t), 1 << 20) == MEMO_OK && with[1].sent < 20) {
        }
        link_now->ops->forget(link_now, 1);
        link_now->ops->forget(link_now, 1);
        expect(dropped == 1, "the place comes back, once", dropped, 0);
        expect(!link_now->ops->sending(link_now), "nothing is sent to the forgotten", 0, 0);
        expect(send_one(1, 0, sizeof(label_t), 0) == MEMO_EPEER, "nor can be", 0, 0);
        write_on_board(2);
    }
    if (rank != 1) {
        for (int i = 0; i < ranks; i++) {
            expect(i == 1 || send_one((uint32_t)i, END, sizeof(label_t), 50000) == MEMO_OK, "sent", 0, 0);
        }
        for (int i = 0; i < ranks; i++) {
            while (i != 1 && !with[i].ended) {
                poll_once();
            }
        }
        send_away();
        expect(with[1].received == 0, "nothing comes from the forgotten", with[1].received, 0);
    }
    end("who is forgotten is neither heard nor sent to, and the others go on");
}

/* ---- pieces by hand ---------------------------------------------------------------------------------------- */

static void put32(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        to[i] = (unsigned char)(value >> (8 * i));
    }
}

/* A message of one piece, as mpi_send.c specifies it. Answers its size. */
static int piece_by_hand(unsigned char *piece, uint32_t sequence, uint32_t to, size_t body_size)
{
    label_t label = {(uint32_t)rank, to, 0, sizeof label, sequence, body_size};

    put32(piece, sequence);
    put32(piece + 4, sizeof label);
    put32(piece + 8, (uint32_t)body_size);
    put32(piece + 12, 0);
    memcpy(piece + 16, &label, sizeof label);
    fill(piece + 16 + sizeof label, body_size, &label, 2);
    return (int)(16 + sizeof label + body_size);
}

/* Fifteen pieces before the one whose turn it is: the last slot serves the others meanwhile. */
static void early_pieces(void)
{
    unsigned char piece[PIECE];

    begin();
    if (rank == 1) {
        for (uint32_t i = 1; i <= 15; i++) {
            MPI_Send(piece, piece_by_hand(piece, 16 - i, 0, 10 * i), MPI_BYTE, 0, TAG, comm);
        }
        write_on_board(3);
        wait_on_board(4, 1);
        MPI_Send(piece, piece_by_hand(piece, 0, 0, 5), MPI_BYTE, 0, TAG, comm);
    } else if (rank == ranks - 1) {
        wait_on_board(3, 1);
        for (int i = 0; i < 30; i++) {
            expect(send_one(0, 0, sizeof(label_t), 3000) == MEMO_OK, "sent", 0, 0);
        }
        send_away();
    } else if (rank == 0) {
        wait_on_board(3, 1);
        while (ranks > 2 && with[ranks - 1].received < 30) {
            poll_once();
        }
        expect(with[1].received == 0, "not before their turn", with[1].received, 0);
        write_on_board(4);
        while (with[1].received < 16) {
            poll_once();
        }
    }
    end("pieces that come too early wait for their turn, the others' do not wait for them");
}

/* What no peer sends: whoever does is forgotten, and nothing else happens. */
static void nonsense(void)
{
    static const char *const names[] = {
        "of 3 bytes",           "of 20,000 bytes",      "with an old sequence",
        "longer than it says",  "shorter than it says", "that goes on with nothing",
        "with an endless head", "with an endless body", "that goes on, and is empty"};
    unsigned char piece[20000] = {0};

    for (int kind = 0; kind < 9; kind++) {
        char name[80];
        begin();
        if (rank == 1) {
            int size = piece_by_hand(piece, kind == 2 ? UINT32_MAX : 0, 0, 500);
            size = kind == 0   ? 3
                   : kind == 1 ? 20000
                   : kind == 3 ? size + 1
                   : kind == 4 ? size - 1
                   : kind == 8 ? 8
                               : size;
            if (kind >= 5) {
                put32(piece + (kind == 7 ? 12 : 4), kind == 5 || kind == 8 ? 0 : UINT32_MAX);
            }
            MPI_Send(piece, size, MPI_BYTE, 0, TAG, comm);
            MPI_Send(piece, piece_by_hand(piece, 0, 0, 50), MPI_BYTE, 0, TAG, comm);
        } else {
            expect(send_one(0, END, sizeof(label_t), 50000) == MEMO_OK, "sent", 0, 0);
            send_away();
        }
        if (rank == 0) {
            while (send_one(1, REFUSED, sizeof(label_t), 0) == MEMO_OK) {
                poll_once();
            }
            for (int i = 0; i < ranks; i++) {
                while (i != 1 && !with[i].ended) {
                    poll_once();
                }
            }
            expect(with[1].received == 0, "nonsense is not delivered", with[1].received, 0);
        }
        snprintf(name, sizeof name, "a piece %s is refused", names[kind]);
        end(name);
    }
}

static void say_finalize_or_finalize(int status)
{
    /* MPICH 4.0's MPI_Finalize may hang over TCP: all are here, and no more is to be said to one another. */
    const char *transports = getenv("UCX_TLS");

    if (transports && strstr(transports, "tcp") && pmi_descriptor() >= 0) {
        fflush(NULL);
        pmi_say_finalize(pmi_descriptor());
        _exit(status);
    }
    MPI_Finalize();
    exit(status);
}

int main(int argc, char **argv)
{
    int provided, file = argc > 1 ? open(argv[1], O_RDWR) : -1;
    uint64_t seed = 0;

    tap_timeout(100);
    MPI_Init_thread(&argc, &argv, MPI_THREAD_SERIALIZED, &provided);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    board = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (board == MAP_FAILED || ranks > RANKS || ranks < 2) {
        tap_bail("needs a file of 4096 bytes, and 2 to %d ranks", RANKS);
    }
    if (rank == 0) {
        seed = tap_seed();
    }
    MPI_Bcast(&seed, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
    state = (seed ^ (uint64_t)rank * 0x9e3779b97f4a7c15u) | 1;
    all_to_all();
    sleeping_receiver();
    no_memory();
    forgotten();
    early_pieces();
    nonsense();
    int status = rank == 0 ? tap_done() : 0;
    MPI_Barrier(MPI_COMM_WORLD);
    say_finalize_or_finalize(status);
}
