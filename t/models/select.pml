/* Clients and servers of the MPI backends: what latch.pml and chain.pml have in common.
 *
 * There are two servers, each with one folder of its own number, and NC clients, each of which makes up to three calls,
 * named by -DX0= to -DX2= for the first, -DY0=, -DZ0= and -DW0= and on for the others. A server and a client each do what a message makes
 * them do in one step, as engine and stub do. Messages between two are in order, and otherwise take as long as they like.
 *
 * What is checked, in every interleaving:
 *   - every call ends. A call that waits is given up when nothing else can go on: then nothing may lie in its folders, and
 *     nobody may be stuck in a call that does not wait. With IMPATIENT any call but a put may be cancelled at any time;
 *   - no memo is lost or taken twice: at the end each is owned by whoever took it, or lies in its folder unlatched;
 *   - at the end no latch, no lock, no get structure, and no answer still owed is left;
 *   - C6, C8, C9: a skip that answered NONE had an instant at which its folder (each of its folders; all at once) was empty.
 *
 * The last is judged exactly, afterwards. A memo that is latched at some instant has been taken by then if the latch is
 * accepted, and has not if it is released: nobody knows yet. So for each skip the instants of its call are remembered at
 * which its folders held nothing but latched memos, each as the set of these memos (bits in `instants`). When a memo is
 * taken it leaves those sets; when it is seen unlatched, the instants at which it was latched were none. A memo may pass
 * from one latch to the next waiter without being seen: then it counts as taken all along, provided that the call that gets it
 * had begun at that instant. Therefore the set has a bit for each other client too: it was in a call. One that a copy
 * saw was there until the copy's call began. NONE is right if an empty set is among them when all is over.
 */

#define NS 2                    /* servers, and folders */
#ifndef NC
#define NC 3                    /* clients, at most 4 */
#endif
#ifndef NM
#define NM 2                    /* memos put in all; NM + NC at most 6 */
#endif

/* Calls. The first ten name their folder. */
#define NOTHING 0
#define PUT0 1
#define PUT1 2
#define GET0 3
#define GET1 4
#define SKIP0 5
#define SKIP1 6
#define COPY0 7
#define COPY1 8
#define COPYSKIP0 9
#define COPYSKIP1 10
#define ALT 11
#define ALTSKIP 12
#define COPYALT 13
#define COPYALTSKIP 14
#define STRICT 15
#define COPYSTRICT 16

#ifndef X0
#define X0 NOTHING
#endif
#ifndef X1
#define X1 NOTHING
#endif
#ifndef X2
#define X2 NOTHING
#endif
#ifndef Y0
#define Y0 NOTHING
#endif
#ifndef Y1
#define Y1 NOTHING
#endif
#ifndef Y2
#define Y2 NOTHING
#endif
#ifndef Z0
#define Z0 NOTHING
#endif
#ifndef Z1
#define Z1 NOTHING
#endif
#ifndef Z2
#define Z2 NOTHING
#endif
#ifndef W0
#define W0 NOTHING
#endif
#ifndef W1
#define W1 NOTHING
#endif
#ifndef W2
#define W2 NOTHING
#endif
#define OF_THREE(k, a, b, c) ((k) == 0 -> a : ((k) == 1 -> b : ((k) == 2 -> c : NOTHING)))
#define CALL(c, k) ((c) == 0 -> OF_THREE(k, X0, X1, X2) : ((c) == 1 -> OF_THREE(k, Y0, Y1, Y2) : \
                    ((c) == 2 -> OF_THREE(k, Z0, Z1, Z2) : OF_THREE(k, W0, W1, W2))))

#define FOLDER(call)    (((call) - 1) & 1)
#define IS_PUT(call)    ((call) == PUT0 || (call) == PUT1)
#define IS_STRICT(call) ((call) == STRICT || (call) == COPYSTRICT)
#define IS_COPY(call)   (((call) >= COPY0 && (call) <= COPYSKIP1) || (call) == COPYALT || (call) == COPYALTSKIP || \
                         (call) == COPYSTRICT)
#define IS_SINGLE(call) ((call) <= COPYSKIP1)
#define IS_WAIT(call)   ((call) == GET0 || (call) == GET1 || (call) == COPY0 || (call) == COPY1 || (call) == ALT || \
                         (call) == COPYALT)

/* Messages, client to server */
#define PUT 1
#define SELECT 2
#define LATCH 3
#define LINK 4
#define UNLINK 5
#define ACCEPT 6
#define RELEASE 7
#define CANCEL 8
#define CHAIN 9
/* server to client */
#define ANSWER 10
#define NONE 11
#define CANCELED 12
#define HELD 13
#define EMPTY 14
/* server to server */
#define NEXT 15
#define UNLOCK 16

/* How a select is meant: bits. */
#define MAY_SKIP 1
#define A_COPY 2
#define HOW(call) ((IS_WAIT(call) -> 0 : MAY_SKIP) + (IS_COPY(call) -> A_COPY : 0))

/* What a server knows of a client's request. Those up to CHAINING are linked. */
#define IDLE 0
#define GET 1                   /* SELECT */
#define GET_SKIP 2
#define ALT_WAIT 3              /* LATCH */
#define ALT_SKIP 4
#define LINKING 5               /* LINK, not answered yet */
#define LINKED 6                /* and answered: EMPTY */
#define UNLINKING 7             /* UNLINK, not answered yet */
#define CHAINING 8              /* CHAIN or NEXT */
#define HOLDS 9                 /* HELD */
#define HOLDS_UNTOLD 10         /* a memo is latched for it, which it is told when it asks (a mutant's) */
#define PASSED_ON 11            /* the chain is at the next server */

/* Where a memo is, unless in a folder: 1 + folder */
#define NOWHERE 0
#define TRAVELS 8
#define OWNED 9
#define LOST 10

/* A server may hear of a client's next call through another server before the client's RELEASE of the last one. */
#ifdef CHAINS
#define PER 2
#else
#define PER 1
#endif
#define REQUESTS      (NC * PER)
#define REQUEST(c, n) ((c) * PER + (n) % PER)
#define CLIENT(r)     ((r) / PER)
#define AT(f, r)      ((f) * REQUESTS + (r))

chan to_server[NC * NS] = [6] of { byte, byte, byte };          /* type, how, number; at c * NS + s */
chan to_client[NS * NC] = [6] of { byte, byte, byte };          /* type, number, memo; at s * NC + c */

byte place[NM + 1];
byte holder[NM + 1];            /* 1 + the request it is latched for */
byte made;                      /* memos put so far */

byte state[NS * REQUESTS];
bool copies[NS * REQUESTS];
byte number[NS * REQUESTS];     /* of the client's call */
byte has[NS * REQUESTS];        /* the memo latched for it */
byte queue[NS * REQUESTS];      /* of folder f, at AT(f, 0) and on: 1 + request, first come first */

#ifdef CHAINS
chan to_other[NS] = [6] of { byte, byte, byte, byte };          /* between servers: type, how, number, client */
chan deferred[NS] = [8] of { byte, byte, byte, byte };          /* by a lock: the same */
byte lock[NS];                  /* 1 + client */
bool is_last[NS * REQUESTS];        /* the chain ends at this server */
#endif

/* observers: no party acts on them */
int instants[NC * NS];          /* of a strict skip at c * NS; of another, each folder's */
byte watched[NC * NS];          /* folders, a bit each, that it is about */
bool calling[NC];
bool owing[NC];                 /* in a call that must end by itself */
byte over;                      /* clients */

/* used within one step only */
hidden byte o, i, j, m, w, f, r, x;
hidden byte latched, started;
hidden byte seen;

/* ------------------------------------------------------------- instants */

#define SETS     (1 << NM)
#define BIT(n)   (1 << (n))
/* the bit of client c in the sets of observer o / NS */
#define OTHER(c) (BIT(((c) + NC - o / NS) % NC) >> 1)

/* What is the case between this step and the next. */
inline instant()
{
    m = 1;
    do
    :: m <= made -> if
        :: place[m] <= NS && place[m] != NOWHERE && holder[m] == 0 -> seen_free(m)
        :: else
        fi;
        m++
    :: else -> break
    od;
    o = 0;
    do
    :: o < NC * NS ->
        if
        :: watched[o] != 0 && calling[o / NS] && instants[o] != 1 ->
            seen = 0;
            latched = 0;
            started = 0;
            m = 1;
            do
            :: m <= made ->
                if
                :: place[m] != NOWHERE && place[m] <= NS && (watched[o] & BIT(place[m] - 1)) ->
                    seen = seen || holder[m] == 0;
                    latched = latched | BIT(m - 1)
                :: else
                fi;
                m++
            :: else -> break
            od;
            i = 0;
            do
            :: i < NC -> started = started | (calling[i] -> OTHER(i) : 0); i++
            :: else -> break
            od;
            if
            :: seen
            :: !seen && latched == 0 -> instants[o] = 1
            :: !seen && latched != 0 -> instants[o] = instants[o] | BIT(latched + SETS * started)
            fi
        :: else
        fi;
        o++
    :: else -> break
    od;
    o = 0; i = 0; m = 0; latched = 0; started = 0; seen = 0
}

/* Goes through the instants that are not decided yet; `what` is done for set j of observer o. */
#define EACH_SET(what) \
    o = 0; \
    do \
    :: o < NC * NS -> \
        if \
        :: instants[o] != 0 && instants[o] != 1 -> \
            j = 1; \
            do \
            :: j < SETS * BIT(NC - 1) -> \
                if \
                :: instants[o] & BIT(j) -> what \
                :: else \
                fi; \
                j++ \
            :: else -> break \
            od; \
            if \
            :: instants[o] & 1 -> instants[o] = 1 \
            :: else \
            fi \
        :: else \
        fi; \
        o++ \
    :: else -> break \
    od; \
    o = 0; j = 0

#define HAS_MEMO(mm) (j & BIT((mm) - 1))
#define HAS_BEGUN(c) ((j / SETS) & OTHER(c))
#define DROP         instants[o] = instants[o] & ~BIT(j)

/* mm lies unlatched in its folder */
inline seen_free(mm)
{
    EACH_SET(if :: HAS_MEMO(mm) -> DROP :: else fi)
}

/* client c took it */
inline seen_taken(mm, c)
{
    EACH_SET(
        if
        :: HAS_MEMO(mm) ->
            DROP;
            if
            :: HAS_BEGUN(c) && true ->
                x = j - BIT(mm - 1);
                x = ((x % SETS) == 0 -> 0 : x);
                instants[o] = instants[o] | BIT(x)
            :: else
            fi
        :: else
        fi)
}

/* client c was given a copy of it */
inline seen_copied(mm, c)
{
    EACH_SET(if :: HAS_MEMO(mm) && c != o / NS && !HAS_BEGUN(c) -> DROP :: else fi)
}

/* client c begins a call: it was in none, as far as this call is concerned */
inline seen_begin(c)
{
    EACH_SET(
        if
        :: HAS_BEGUN(c) -> DROP; instants[o] = instants[o] | BIT(j - SETS * OTHER(c))
        :: else
        fi)
}

/* ------------------------------------------------------------- folders */

inline enqueue(ff, r)
{
    i = 0;
    do
    :: queue[AT(ff, i)] != 0 -> i++
    :: else -> break
    od;
    queue[AT(ff, i)] = 1 + r;
    i = 0
}

inline dequeue(ff, r)
{
    i = 0;
    do
    :: i < REQUESTS && queue[AT(ff, i)] != 1 + r -> i++
    :: else -> break
    od;
    assert(i < REQUESTS);
    do
    :: i < REQUESTS - 1 -> queue[AT(ff, i)] = queue[AT(ff, i + 1)]; i++
    :: else -> break
    od;
    queue[AT(ff, REQUESTS - 1)] = 0;
    i = 0
}

/* The request is over here. */
inline forget(ff, r)
{
    state[AT(ff, r)] = IDLE;
    number[AT(ff, r)] = 0;
    copies[AT(ff, r)] = false;
    has[AT(ff, r)] = 0
}

#define TELL(ff, r, type, mm) to_client[(ff) * NC + CLIENT(r)]!type,number[AT(ff, r)],mm

#ifdef CHAINS

inline chain_over(ff, r)
{
    lock[ff] = 0;
    if
#ifndef MUTANT_EARLIER_NOT_UNLOCKED
    :: is_last[AT(ff, r)] -> to_other[1 - ff]!UNLOCK,0,number[AT(ff, r)],CLIENT(r)
#endif
    :: else
    fi;
    is_last[AT(ff, r)] = false
}

/* Nothing is here for the chain, and it is first in the queue no more. */
inline chain_on(ff, r)
{
    if
    :: is_last[AT(ff, r)] -> TELL(ff, r, NONE, 0); chain_over(ff, r); forget(ff, r)
    :: else ->
        to_other[1 - ff]!NEXT,(copies[AT(ff, r)] -> A_COPY : 0),number[AT(ff, r)],CLIENT(r);
        state[AT(ff, r)] = PASSED_ON;
#ifdef MUTANT_UNLOCKED_EARLY
        lock[ff] = 0
#endif
    fi
}

#define CHAIN_OVER(ff, r) if :: state[AT(ff, r)] == CHAINING -> chain_over(ff, r) :: else fi;
#else
#define CHAIN_OVER(ff, r)
#endif

/* Memo mm is latched for request r, or a clone made for it to hold, and r told so if it waits for an answer. */
inline hold(ff, r)
{
    if
#ifdef MUTANT_LATCHED_SILENTLY
    :: state[AT(ff, r)] == LINKED -> state[AT(ff, r)] = HOLDS_UNTOLD
#endif
    :: else -> state[AT(ff, r)] = HOLDS; TELL(ff, r, HELD, 0)
    fi
}

#define TAKES_AT_ONCE(ff, r) (state[AT(ff, r)] == GET || state[AT(ff, r)] == GET_SKIP || state[AT(ff, r)] == CHAINING)

inline give_clone(ff, r, mm)
{
    seen_copied(mm, CLIENT(r));
    dequeue(ff, r);
    if
    :: TAKES_AT_ONCE(ff, r) -> TELL(ff, r, ANSWER, 0); CHAIN_OVER(ff, r) forget(ff, r)
    :: else -> hold(ff, r)
    fi
}

inline give(ff, r, mm)
{
    assert(place[mm] == 1 + ff && holder[mm] == 0);
    dequeue(ff, r);
    if
    :: TAKES_AT_ONCE(ff, r) ->
        place[mm] = TRAVELS;
        seen_taken(mm, CLIENT(r));
        TELL(ff, r, ANSWER, mm);
        CHAIN_OVER(ff, r)
        forget(ff, r)
    :: else ->
        holder[mm] = 1 + r;
        has[AT(ff, r)] = mm;
#ifdef MUTANT_LATCH_MOVES
        place[mm] = LOST;
#endif
        hold(ff, r)
    fi
}

inline find_free(ff)
{
    m = 1;
    do
    :: m <= made && !(place[m] == 1 + ff && holder[m] == 0) -> m++
    :: else -> break
    od
}

inline find_any(ff)
{
    m = 1;
    do
    :: m <= made && place[m] != 1 + ff -> m++
    :: else -> break
    od
}

#ifdef MUTANT_COPY_READS_LATCHED
#define FIND_TO_COPY(ff) find_any(ff)
#else
#define FIND_TO_COPY(ff) find_free(ff)
#endif

inline say_empty(ff, r)
{
    if
    :: state[AT(ff, r)] == GET_SKIP -> dequeue(ff, r); TELL(ff, r, NONE, 0); forget(ff, r)
    :: state[AT(ff, r)] == ALT_SKIP || state[AT(ff, r)] == UNLINKING -> dequeue(ff, r); TELL(ff, r, EMPTY, 0); forget(ff, r)
    :: state[AT(ff, r)] == LINKING -> TELL(ff, r, EMPTY, 0); state[AT(ff, r)] = LINKED; x++
#ifdef CHAINS
    :: state[AT(ff, r)] == CHAINING -> dequeue(ff, r); chain_on(ff, r)
#endif
    :: else -> x++
    fi
}

/* Which of those linked is told that the folder is empty, when it has only latched memos: none. */
#ifdef MUTANT_SKIP_TAKES_LATCHED_FOR_ABSENT
#define LATCHED_IS_ABSENT(r) (state[AT(f, r)] == GET_SKIP || state[AT(f, r)] == ALT_SKIP)
#elif defined(MUTANT_UNLINK_NOT_WITHHELD)
#define LATCHED_IS_ABSENT(r) (state[AT(f, r)] == UNLINKING)
#elif defined(MUTANT_CHAIN_TAKES_LATCHED_FOR_ABSENT)
#define LATCHED_IS_ABSENT(r) (state[AT(f, r)] == CHAINING)
#else
#define LATCHED_IS_ABSENT(r) false
#endif

/* Gives what is in folder f to those who are linked there: each copy a clone, then the rest first come first served. */
inline serve()
{
    FIND_TO_COPY(f);
    x = 0;
    do
    :: m <= made && x < REQUESTS && queue[AT(f, x)] != 0 ->
        w = queue[AT(f, x)] - 1;
        if
        :: copies[AT(f, w)] -> give_clone(f, w, m)
        :: else -> x++
        fi
    :: else -> break
    od;
    find_free(f);
    x = 0;
    do
    :: m <= made && x < REQUESTS && queue[AT(f, x)] != 0 ->
        w = queue[AT(f, x)] - 1;
        if
        :: copies[AT(f, w)] -> x++
        :: else -> give(f, w, m); x = 0; find_free(f)
        fi
    :: else -> break
    od;
    find_any(f);
    x = 0;
    do
    :: x < REQUESTS && queue[AT(f, x)] != 0 ->
        w = queue[AT(f, x)] - 1;
        if
        :: m > made || LATCHED_IS_ABSENT(w) -> say_empty(f, w)
        :: else -> x++
        fi
    :: else -> break
    od;
    x = 0; m = 0; w = 0
}

/* ------------------------------------------------------------- servers */

inline ask(what)
{
    assert(state[AT(s, r)] == IDLE);
    state[AT(s, r)] = what;
    number[AT(s, r)] = n;
    copies[AT(s, r)] = how & A_COPY;
    enqueue(s, r)
}

inline unlatch()
{
    if
    :: has[AT(s, r)] != 0 -> holder[has[AT(s, r)]] = 0
    :: else
    fi
}

inline release()
{
    if
    :: state[AT(s, r)] == IDLE || number[AT(s, r)] != n
#ifdef MUTANT_ANSWER_NOT_DISCARDED
    :: else -> if
        :: state[AT(s, r)] == HOLDS || state[AT(s, r)] == HOLDS_UNTOLD -> unlatch(); forget(s, r)
        :: else
        fi
#else
    :: else -> if
        :: state[AT(s, r)] < HOLDS -> dequeue(s, r)
        :: else -> unlatch()
        fi;
        forget(s, r)
#endif
    fi
}

inline accept()
{
    assert(state[AT(s, r)] == HOLDS && number[AT(s, r)] == n);
    if
    :: has[AT(s, r)] != 0 ->
        m = has[AT(s, r)];
#ifndef MUTANT_LATCH_MOVES
        assert(place[m] == 1 + s && holder[m] == 1 + r);
#endif
        place[m] = TRAVELS;
        holder[m] = 0;
        w = m;
        seen_taken(w, CLIENT(r));
        TELL(s, r, ANSWER, w);
        m = 0; w = 0
    :: else -> TELL(s, r, ANSWER, 0)
    fi;
    forget(s, r)
}

/* One that has been told HELD meanwhile has its answer. */
inline unlink()
{
    if
    :: state[AT(s, r)] == LINKED -> state[AT(s, r)] = UNLINKING
#ifdef MUTANT_UNLINK_DROPS_WHAT_IS_HELD
    :: state[AT(s, r)] == HOLDS -> TELL(s, r, EMPTY, 0); unlatch(); forget(s, r)
#endif
#ifdef MUTANT_LATCHED_SILENTLY
    :: state[AT(s, r)] == HOLDS_UNTOLD -> state[AT(s, r)] = HOLDS; TELL(s, r, HELD, 0)
#endif
    :: else
    fi
}

#ifdef CHAINS
#ifdef MUTANT_RELEASE_DEFERRED
#define PASSES(t) ((t) == UNLOCK)
#elif defined(MUTANT_PUT_PASSES)
#define PASSES(t) ((t) == UNLOCK || (t) == ACCEPT || (t) == RELEASE || (t) == PUT)
#else
#define PASSES(t) ((t) == UNLOCK || (t) == ACCEPT || (t) == RELEASE)
#endif
#define IS_DEFERRED(t) (lock[s] != 0 && !PASSES(t))

inline discard_deferred()
{
#ifndef MUTANT_DEFERRED_NOT_DISCARDED
    if
    :: t == RELEASE && deferred[s]??[LATCH, _, eval(n), eval(c)] -> deferred[s]??LATCH,_,eval(n),eval(c)
    :: else
    fi
#endif
    skip
}
#else
#define IS_DEFERRED(t) false
inline discard_deferred() { skip }
#endif

#ifdef CHAINS
inline begin_chain()
{
    lock[s] = 1 + c;
    ask(CHAINING)
}
#endif

inline handle()
{
    f = s;
    r = REQUEST(c, n);
    discard_deferred();
    if
    :: t == PUT ->
        made++;
        place[made] = 1 + s;
        to_client[s * NC + c]!ANSWER,n,0
    :: t == SELECT && !(how & MAY_SKIP) -> ask(GET)
    :: t == SELECT && (how & MAY_SKIP) -> ask(GET_SKIP)
    :: t == LATCH && !(how & MAY_SKIP) -> ask(ALT_WAIT)
    :: t == LATCH && (how & MAY_SKIP) -> ask(ALT_SKIP)
    :: t == LINK -> ask(LINKING)
    :: t == UNLINK -> unlink()
    :: t == ACCEPT -> accept()
    :: t == RELEASE -> release()
    :: t == CANCEL ->
        if
        :: state[AT(s, r)] == IDLE || number[AT(s, r)] != n
        :: else -> dequeue(s, r); TELL(s, r, CANCELED, 0); forget(s, r)
        fi
#ifdef CHAINS
    :: t == CHAIN -> begin_chain()
    :: t == NEXT -> begin_chain(); is_last[AT(s, r)] = true
    :: t == UNLOCK -> lock[s] = (lock[s] == 1 + c -> 0 : lock[s]); forget(s, r)
#endif
    fi;
#ifdef MUTANT_RELEASED_NOT_OFFERED
    if
    :: t == RELEASE
    :: else -> serve()
    fi;
#else
    serve();
#endif
#ifdef LINK_NOT_WITHHELD
    if
    :: state[AT(s, r)] == LINKING -> state[AT(s, r)] = LINKED; TELL(s, r, EMPTY, 0)
    :: else
    fi;
#endif
    r = 0;
    instant()
}

#ifdef CHAINS
#define MAY_RECEIVE(q) (nempty(q) && (lock[s] != 0 || empty(deferred[s])))
#else
#define MAY_RECEIVE(q) nempty(q)
#endif

proctype server(byte s)
{
    byte c, t, how, n;

end:
    do
    :: atomic {
            if
            :: MAY_RECEIVE(to_server[0 * NS + s]) -> to_server[0 * NS + s]?t,how,n; c = 0
            :: MAY_RECEIVE(to_server[1 * NS + s]) -> to_server[1 * NS + s]?t,how,n; c = 1
#if NC > 2
            :: MAY_RECEIVE(to_server[2 * NS + s]) -> to_server[2 * NS + s]?t,how,n; c = 2
#endif
#if NC > 3
            :: MAY_RECEIVE(to_server[3 * NS + s]) -> to_server[3 * NS + s]?t,how,n; c = 3
#endif
#ifdef CHAINS
            :: MAY_RECEIVE(to_other[s]) -> to_other[s]?t,how,n,c
            :: lock[s] == 0 && nempty(deferred[s]) -> deferred[s]?t,how,n,c
#endif
            fi;
            d_step {
                if
#ifdef CHAINS
                :: IS_DEFERRED(t) -> deferred[s]!t,how,n,c
#endif
                :: else -> handle()
                fi;
                t = 0; how = 0; n = 0; c = 0
            }
        }
    od
}

/* ------------------------------------------------------------- clients */

/* What a client waits for. */
#define BETWEEN 0
#define FOR_ANSWER 1
#define FOR_FIRST 2             /* HELD or EMPTY: to LATCH or LINK */
#define FOR_SECOND 3            /* to UNLINK */
#define FOR_LAST 4              /* ANSWER to ACCEPT or CANCEL: the call ends by itself now */

/* Numbers of calls are from 1: 0 is none. */
#define SEND(s, type) to_server[c * NS + (s)]!type,HOW(call),k + 1

inline judge(oo)
{
    assert(watched[oo] == 0 || instants[oo] == 1);
    watched[oo] = 0;
    instants[oo] = 0
}

inline begin()
{
    call = CALL(c, k);
    seen_begin(c);
    judge(c * NS);
    judge(c * NS + 1);
    calling[c] = true;
    owing[c] = !IS_WAIT(call);
    if
    :: IS_PUT(call) -> phase = FOR_ANSWER; SEND(FOLDER(call), PUT)
    :: !IS_PUT(call) && IS_SINGLE(call) -> phase = FOR_ANSWER; SEND(FOLDER(call), SELECT)
#ifdef CHAINS
    :: IS_STRICT(call) ->
        phase = FOR_ANSWER;
#ifdef MUTANT_OWN_ORDER
        SEND(c & 1, CHAIN)
#else
        SEND(0, CHAIN)
#endif
#else
    :: IS_STRICT(call) -> phase = FOR_FIRST; SEND(0, LINK); SEND(1, LINK)
#endif
    :: !IS_SINGLE(call) && !IS_STRICT(call) -> phase = FOR_FIRST; SEND(0, LATCH); SEND(1, LATCH)
    fi;
    if
    :: IS_PUT(call) || IS_WAIT(call)
    :: IS_STRICT(call) -> watched[c * NS] = 3
    :: else -> if
        :: IS_SINGLE(call) -> watched[c * NS + FOLDER(call)] = BIT(FOLDER(call))
        :: else -> watched[c * NS] = 1; watched[c * NS + 1] = 2
        fi
    fi;
    instant()
}

/* The call is over; if its result is not NONE there is nothing to judge. */
inline finish(is_none)
{
    if
    :: is_none
    :: else -> watched[c * NS] = 0; watched[c * NS + 1] = 0; instants[c * NS] = 0; instants[c * NS + 1] = 0
    fi;
    calling[c] = false;
    owing[c] = false;
    phase = BETWEEN;
    call = NOTHING;
    answers = 0;
    held = 0;
    k++
}

inline accept_held(s)
{
    SEND(s, ACCEPT);
    SEND(1 - (s), RELEASE);
    owing[c] = true;
    phase = FOR_LAST
}

inline all_empty()
{
    if
#if defined(CHAINS) || defined(MUTANT_NO_SECOND_PHASE)
#ifdef MUTANT_NO_SECOND_PHASE
    :: IS_STRICT(call) -> SEND(0, RELEASE); SEND(1, RELEASE); finish(true)
#endif
#else
    :: phase == FOR_FIRST && IS_STRICT(call) -> phase = FOR_SECOND; answers = 0; SEND(0, UNLINK); SEND(1, UNLINK)
#endif
    :: else -> finish(true)
    fi
}

#ifdef MUTANT_NO_NUMBERS
#define IS_MINE(n) true
#else
#define IS_MINE(n) ((n) == k + 1)
#endif

inline react(s)
{
    if
    :: !IS_MINE(n)
    :: IS_MINE(n) && t == ANSWER && (phase == FOR_ANSWER || phase == FOR_LAST) ->
        if
        :: mm != 0 -> assert(place[mm] == TRAVELS); place[mm] = OWNED
        :: else
        fi;
        finish(false)
    :: IS_MINE(n) && t == NONE -> finish(true)
    :: IS_MINE(n) && t == CANCELED -> finish(false)
#ifdef MUTANT_WAITS_FOR_ALL
    :: IS_MINE(n) && (t == HELD || t == EMPTY) ->
        answers++;
        held = (t == HELD && held == 0 -> 1 + s : held);
        if
        :: answers == NS && held != 0 -> accept_held(held - 1)
        :: answers == NS && held == 0 -> all_empty()
        :: else
        fi
#elif defined(MUTANT_ACCEPTS_TWO)
    :: IS_MINE(n) && t == HELD && phase != BETWEEN ->
        if
        :: phase == FOR_LAST -> SEND(s, ACCEPT)
        :: else -> SEND(s, ACCEPT); owing[c] = true; phase = FOR_LAST
        fi
#endif
#ifndef MUTANT_WAITS_FOR_ALL
#ifdef MUTANT_HELD_AFTER_EMPTY_IGNORED
    :: IS_MINE(n) && t == HELD && (phase == FOR_FIRST || phase == FOR_SECOND) && (held & BIT(s))
    :: IS_MINE(n) && t == HELD && (phase == FOR_FIRST || phase == FOR_SECOND) && !(held & BIT(s)) -> accept_held(s)
    :: IS_MINE(n) && t == EMPTY && (phase == FOR_FIRST || phase == FOR_SECOND) ->
        held = held | BIT(s);
#else
    :: IS_MINE(n) && t == HELD && (phase == FOR_FIRST || phase == FOR_SECOND) -> accept_held(s)
    :: IS_MINE(n) && t == EMPTY && (phase == FOR_FIRST || phase == FOR_SECOND) ->
#endif
        answers++;
        if
        :: answers == NS -> all_empty()
        :: else
        fi
#endif
    :: else                     /* another server has been accepted */
    fi;
    instant();
    t = 0; n = 0; mm = 0
}

/* Nothing else can go on: there is nothing that it could have, and nobody is stuck. */
inline nothing_for_it()
{
    m = 1;
    do
    :: m <= made ->
        assert(place[m] > NS || !(IS_SINGLE(call) -> place[m] == 1 + FOLDER(call) : true));
        m++
    :: else -> break
    od;
    assert(!owing[0] && !owing[1]);
#if NC > 2
    assert(!owing[2]);
#endif
#if NC > 3
    assert(!owing[3]);
#endif
    m = 0
}

inline give_up()
{
    if
    :: IS_SINGLE(call) -> SEND(FOLDER(call), CANCEL); owing[c] = true; phase = FOR_LAST
    :: else -> SEND(0, RELEASE); SEND(1, RELEASE); finish(false)
    fi;
    instant()
}

#define UNDER_WAY (phase != BETWEEN && phase != FOR_LAST)
#ifdef CHAINS
#define MAY_CANCEL (UNDER_WAY && !IS_PUT(call) && !IS_STRICT(call))
#else
#define MAY_CANCEL (UNDER_WAY && !IS_PUT(call))
#endif

proctype client(byte c)
{
    byte k, call, phase, answers, held, t, n, mm;             /* answers: EMPTY; held: a mutant's */

    do
    :: d_step { phase == BETWEEN && CALL(c, k) != NOTHING -> begin() }
    :: atomic { phase == BETWEEN && CALL(c, k) == NOTHING -> over++; break }
    :: d_step { to_client[c]?t,n,mm -> react(0) }
    :: d_step { to_client[NC + c]?t,n,mm -> react(1) }
#ifdef IMPATIENT
    :: d_step { MAY_CANCEL -> give_up() }
#else
    :: atomic { UNDER_WAY && IS_WAIT(call) && timeout -> d_step { nothing_for_it(); give_up() } }
#endif
    od
}

/* ----------------------------------------------------------- all of it */

/* Nothing is owed, held, locked or lost. */
inline settled()
{
    i = 0;
    do
    :: i < NS * NC -> judge(i); i++
    :: else -> break
    od;
    i = 0;
    do
    :: i < NS * REQUESTS -> assert(state[i] == IDLE && queue[i] == 0); i++
    :: else -> break
    od;
    m = 1;
    do
    :: m <= made -> assert(place[m] == OWNED || place[m] <= NS && holder[m] == 0); m++
    :: else -> break
    od;
#ifdef CHAINS
    assert(lock[0] == 0 && lock[1] == 0);
    assert(empty(deferred[0]) && empty(deferred[1]));
#endif
    i = 0; m = 0
}

init
{
    atomic { run server(0); run server(1); run client(0); run client(1);
#if NC > 2
        run client(2);
#endif
#if NC > 3
        run client(3)
#endif
    };
    atomic { over == NC && timeout -> d_step { settled() } }
}
