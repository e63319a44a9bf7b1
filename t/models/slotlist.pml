/* The slot list: messages between the processes of a node, which nobody waits for the receiver of.
 *
 * This is the protocol of libmemo/node/slot.c as a Spin model. Every statement outside atomic and d_step is one
 * step; a d_step or atomic that covers several stores covers only what no other party reads at that moment (prev,
 * last and dest are read under the section's lock alone; a slot whose generation is even is read by nobody who
 * keeps what he read). Memory is sequentially consistent here: the model says nothing about weaker orders.
 *
 * What is checked, in every interleaving:
 *   - no message is lost: a request that was claimed is answered, else its receiver sleeps for ever (invalid end state);
 *   - none is read twice, and none is read from a slot that was used again: at the moment of acceptance the
 *     message must be the one for which the request was claimed (observer `want`), and the request still claimed;
 *   - no deadlock: every party ends, every lock is free at the end;
 *   - the memory comes back: at the end no slot has an execution bit, and a sweep as the next put would do it leaves all free;
 *   - nobody waits for a receiver: a put finds a slot at once. (One unread message per request: NX slots are enough.)
 *   - after a death, what the dead had accepted or had not yet accepted goes back once, and nothing that was committed is undone.
 *
 * Parties: NS senders, each with a section of its own of NX slots, making PUTS puts, each to one waiting receiver or to
 * both at once; two receiving threads, each making GETS requests one after the other. Without SHARED each thread has its
 * receiver; with SHARED both use one (two scanners, one execution bit, an owner word). With CANCEL a
 * request may be cancelled at any time. VICTIM names who dies, at any step, and the survivor repairs
 * at some time after.
 *
 * The whole (all of this at once) is too large to search; t/models.sh lists the configurations that are searched
 * completely, and says what each leaves out. With -DMUTANT_x one thing is done wrong; the search must find it.
 *
 * What the model leaves out: a second death, a section that grows, more than two receivers, the heap, the folders,
 * and the wrap-around of generations and sequence numbers.
 */

#ifndef NS
#define NS 1                    /* senders, each with a section of its own */
#endif
#ifndef NX
#define NX 3                    /* slots of a section */
#endif
#ifndef PUTS
#define PUTS 2                  /* messages that a sender tries to deliver */
#endif
#ifndef GETS0
#define GETS0 1                 /* requests that the first receiving thread makes, one after the other */
#endif
#ifndef GETS1
#define GETS1 1                 /* and the second (with STARTED: pairs of requests) */
#endif
#ifndef VICTIM
#define VICTIM 0                /* who dies: 0 nobody, 1 sender 0, 4 receiver 0 (with SHARED: both its threads) */
#endif

#ifdef SHARED
#define NR 1
#define NQ 2                    /* requests, one of each receiving thread */
#define RECEIVER_OF(q) 0
#define ADDRESSEE(x, r) slot_request[x]
#define MASK 1
#elif defined(STARTED)
#define NR 2
#define NQ 3                    /* the second thread starts two at a time */
#define RECEIVER_OF(q) ((q) -> 1 : 0)
#define ADDRESSEE(x, r) ((r) -> slot_request[x] : 0)
#define MASK ((claims & 1) | (claims > 1 -> 2 : 0))
#else
#define NR 2
#define NQ 2
#define RECEIVER_OF(q) (q)
#define ADDRESSEE(x, r) (r)
#define MASK claims
#endif

#ifdef FINE
#define TOGETHER
#else
#define TOGETHER d_step
#endif

#define BASE(s)   ((s) * NX)    /* the slots of section s: BASE + 1 .. BASE + NX; 0 is no slot */
#define END(s)    (BASE(s) + NX)
#define SLOTS     (NS * NX + 1)
#define BIT(i)    (1 << (i))
#define ODD(g)    ((g) & 1)

/* who holds a lock, and who dies */
#define SENDER(s)   (1 + (s))
#define THREAD(q)   (4 + (q))
#define SURVIVOR    7
#ifdef SHARED
#define IS_DEAD(owner) ((owner) >= THREAD(0) && (owner) <= THREAD(1))
#else
#define IS_DEAD(owner) ((owner) == VICTIM)
#endif

/* states of a request */
#define IDLE        0           /* cancelled, or answered and taken */
#define PENDING     1
#define ACCEPTED    2           /* the truth of possession: the message is its receiver's */
#define CLAIMED(s)  (3 + (s))

/* a section; last is read under the lock alone */
byte lock[NS];
byte first[NS];
byte last[NS];
#if VICTIM == 1
byte intent[NS];                /* the sender's word: this slot is being posted */
#define INTENT(s) intent[s]
#else
#define INTENT(s) 0
#endif

/* a slot; prev and dest are read under the lock alone */
byte gen[SLOTS];                /* odd: published */
byte dest[SLOTS];               /* 0: free */
byte exec[SLOTS];
byte next[SLOTS];
byte prev[SLOTS];
byte message[SLOTS];            /* also the sequence number: it grows within a section */
#if defined(SHARED) || defined(STARTED)
byte slot_request[SLOTS];
#endif
#ifdef SHARED
byte slot_request_gen[SLOTS];
#endif

/* a receiver */
byte attention[NR];
bool parked[NR];
#ifdef SHARED
byte owner[NR];
#endif

/* a request, with its thread's sleep */
byte request[NQ];
#ifdef SHARED
byte request_gen[NQ];
bool woken[NQ];                 /* the receiver's event count has moved since this thread read it */
#endif

/* observers: no party acts on them */
byte want[NQ];                  /* the message that the request was claimed for */
#if VICTIM == 1
byte committed[NS];             /* the last message that the section's sender committed */
#define COMMITTED(s) committed[s]
#else
#define COMMITTED(s) 0
#endif
byte finished;                  /* senders */
byte dead;
bool repaired;
#define OVER (finished == NS && repaired)

/* Under the section's lock. The generation goes last, and with it the slot. */
inline unlink(s, x)
{
    atomic {
        if
        :: first[s] == x -> first[s] = (next[x] == x -> 0 : next[x])
        :: else
        fi
    };
    TOGETHER {
        if
        :: last[s] == x -> last[s] = (prev[x] == x -> 0 : prev[x])
        :: else
        fi;
        next[prev[x]] = next[x];
        prev[next[x]] = prev[x];
        prev[x] = 0
    };
    TOGETHER { gen[x] = gen[x] + 1; dest[x] = 0 }
}

#if VICTIM != 0
#define MORTAL(id) unless { dead == (id) }
#else
#define MORTAL(id)
#endif

inline wake(r)
{
    d_step {
        if
        :: parked[r] ->
            parked[r] = false;
#ifdef SHARED
            woken[0] = true;
            woken[1] = true
#endif
        :: else
        fi
    }
}

inline set_attention(s, r)
{
    attention[r] = attention[r] | BIT(s)
}

/* ------------------------------------------------------------------ sender */

inline claim(s, q)
{
    atomic {
        if
        :: (choice & BIT(q)) && request[q] == PENDING ->
            request[q] = CLAIMED(s);
            want[q] = m;
            claims = claims | BIT(q)
        :: else
        fi
    }
}

#define UNREAD_NONE(x) (dest[x] != 0 && exec[x] == 0)
#ifdef MUTANT_NEVER_FREED
#define BUSY(x) (dest[x] != 0)
#else
#define BUSY(x) (dest[x] != 0 && exec[x] != 0)         /* if all are, a put would wait for a receiver */
#endif

#ifdef ANYSLOT
/* A free slot, whichever; and of the spent ones, which the lock lets us unlink, any number. */
inline find_slot(s)
{
    do
    :: atomic { dest[BASE(s) + 1] == 0 -> x = BASE(s) + 1; break }
    :: atomic { dest[BASE(s) + 2] == 0 -> x = BASE(s) + 2; break }
    :: atomic { NX > 2 && dest[END(s)] == 0 -> x = END(s); break }
#ifndef MUTANT_NEVER_FREED
    :: atomic { UNREAD_NONE(BASE(s) + 1) -> x = BASE(s) + 1 }; unlink(s, x)
    :: atomic { UNREAD_NONE(BASE(s) + 2) -> x = BASE(s) + 2 }; unlink(s, x)
    :: atomic { NX > 2 && UNREAD_NONE(END(s)) -> x = END(s) }; unlink(s, x)
#endif
    :: atomic { BUSY(BASE(s) + 1) && BUSY(BASE(s) + 2) && BUSY(END(s)) -> assert(false) }
    od
}
#else
/* The first that is free, or spent: the lock lets us unlink it. */
inline find_slot(s)
{
    x = BASE(s) + 1;
    do
    :: atomic { x <= END(s) && dest[x] == 0 -> break }
    :: atomic { x <= END(s) && dest[x] != 0 && !BUSY(x) -> skip };
        unlink(s, x);
        break
    :: atomic { x <= END(s) && BUSY(x) -> x++ }
    :: atomic { x > END(s) -> assert(false) }
    od
}
#endif

inline fill(s)
{
    TOGETHER {
        message[x] = m;
#ifdef SHARED
        slot_request[x] = claims - 1;
        slot_request_gen[x] = request_gen[claims - 1];
#endif
#ifdef STARTED
        slot_request[x] = (claims & 4 -> 2 : 1);
#endif
        dest[x] = MASK;
        exec[x] = MASK;
        if
        :: first[s] == 0 -> next[x] = x; prev[x] = x
        :: else -> next[x] = first[s]; prev[x] = last[s]
        fi
    };
#if VICTIM == 1
    d_step { intent[s] = x; committed[s] = m }          /* the point of commitment */
#endif
}

inline splice(s)
{
    gen[x] = gen[x] + 1;
    TOGETHER {
        if
        :: first[s] == 0 -> first[s] = x
        :: else -> next[last[s]] = x; prev[first[s]] = x
        fi;
        last[s] = x
    }
}

inline tell(s)
{
    if
    :: atomic { (MASK & BIT(0)) -> set_attention(s, 0) }
    :: atomic { !(MASK & BIT(0)) -> set_attention(s, 1) }
    fi;
    if
    :: atomic { MASK == 3 -> set_attention(s, 1) }
    :: else
    fi
}

inline rouse()
{
    if
    :: atomic { (MASK & BIT(0)) -> wake(0) }
    :: atomic { !(MASK & BIT(0)) -> wake(1) }
    fi;
    if
    :: atomic { MASK == 3 -> wake(1) }
    :: else
    fi
}

proctype sender(byte s)
{
    byte k, m, x, choice, claims;

    {
        do
        :: atomic {
                k < PUTS && lock[s] == 0 ->
                lock[s] = SENDER(s);
                k++;
                m = 8 * s + k;
                if
                :: choice = 1
                :: choice = 2
#ifndef SHARED
                :: choice = 3
#endif
#ifdef STARTED
                :: choice = 4
#endif
                fi
            };
#ifdef MUTANT_CLAIM_UNLOCKED
            lock[s] = 0;
#endif
            claim(s, 0);
            claim(s, 1);
#ifdef STARTED
            claim(s, 2);
#endif
#ifdef MUTANT_CLAIM_UNLOCKED
            atomic { lock[s] == 0 -> lock[s] = SENDER(s) };
#endif
            if
            :: atomic { claims == 0 -> lock[s] = 0; choice = 0; m = 0 }         /* into the folder with it */
            :: atomic { claims != 0 -> choice = 0 };
                find_slot(s);
                fill(s);
#ifdef MUTANT_ATTENTION_FIRST
                tell(s);
                splice(s);
#else
                splice(s);
                tell(s);
#endif
#if VICTIM == 1
                intent[s] = 0;
#endif
                atomic { lock[s] = 0; x = 0; m = 0 };
                rouse();
                claims = 0
            fi
        :: atomic { k == PUTS -> break }
        od
    } MORTAL(SENDER(s));
    atomic { k = 0; m = 0; x = 0; claims = 0; choice = 0; finished++ }
}

/* ---------------------------------------------------------------- receiver */

#define SPENT(x, g) (gen[x] == g && exec[x] == 0 && dest[x] != 0)

inline clear_exec()
{
    d_step { exec[x] = exec[x] & ~BIT(r); spent = (exec[x] == 0) }
}

/* The bit is ours and set: nobody else can end this slot's generation. */
inline accept(s)
{
    d_step {
        m = message[x];
        a = ADDRESSEE(x, r);
        assert(want[a] == m);
        assert(request[a] == CLAIMED(s));
#if VICTIM == 1
        assert(m <= COMMITTED(s));
#endif
        want[a] = 0;
        request[a] = ACCEPTED;
        m = 0;
        a = 0
    }
}

/* A lock that is not to be had at once: whoever has it, or the next put, sees to the spent slot. */
inline free_if_spent(s)
{
    if
#ifdef MUTANT_NEVER_FREED
    :: spent = false
#else
    :: atomic { !spent -> skip }
    :: atomic { spent && lock[s] == 0 && SPENT(x, g) -> lock[s] = THREAD(q) };
        unlink(s, x);
        atomic { lock[s] = 0; spent = false }
    :: atomic { spent && !(lock[s] == 0 && SPENT(x, g)) -> spent = false }
#endif
    fi
}

#ifdef MUTANT_NO_GENERATION
#define SAME(x, g) true
#define LIVE(g)    true
#else
#define SAME(x, g) (gen[x] == g)
#define LIVE(g)    ODD(g)
#endif
#ifdef MUTANT_NO_NEXT_CHECK
#define SAME_NEXT(x, n) true
#else
#define SAME_NEXT(x, n) (next[x] == n)
#endif
#ifdef MUTANT_NO_FIRST_CHECK
#define SAME_FIRST(s, x) true
#else
#define SAME_FIRST(s, x) (first[s] == x)
#endif
#ifdef MUTANT_STOP_AT_FIRST
#define AT_END (n == f)
#else
#define AT_END (message[n] <= number)
#endif

#define RESTART x = 0; g = 0; number = 0; n = 0; gn = 0; f = 0; goto start

/* Takes no lock. Standing on slot x in its generation g; n is the next. */
inline scan(s)
{
    x = 0;
start:
    atomic {
        x = first[s];
        if
        :: x == 0 -> goto done
        :: else
        fi
    };
    TOGETHER { g = gen[x]; number = message[x] };
    if
    :: atomic { SAME_FIRST(s, x) && LIVE(g) -> skip }
    :: atomic { !SAME_FIRST(s, x) -> RESTART }
    :: atomic { !LIVE(g) && (first[s] != x || gen[x] != g) -> RESTART }         /* not before something changes */
    fi;
look:
    if
    :: atomic { (exec[x] & BIT(r)) == 0 -> goto on }
    :: atomic { (exec[x] & BIT(r)) != 0 -> skip }
    fi;
    if
    :: atomic { SAME(x, g) -> skip }
    :: atomic { !SAME(x, g) -> RESTART }
    fi;
#ifdef MUTANT_CLEAR_BEFORE_READ
    clear_exec();
    accept(s);
#else
    accept(s);
    clear_exec();
#endif
    free_if_spent(s);
on:
#ifdef MUTANT_STOP_AT_FIRST
    f = first[s];
#endif
    n = next[x];
    TOGETHER { gn = gen[n]; stop = AT_END };
    if
    :: atomic { SAME_NEXT(x, n) -> skip }
    :: atomic { !SAME_NEXT(x, n) -> RESTART }
    fi;
    if
    :: atomic { SAME(x, g) && stop -> goto done }
    :: atomic { SAME(x, g) && !stop && LIVE(gn) -> x = n; g = gn; number = message[n]; n = 0; gn = 0; f = 0; goto look }
    :: atomic { !SAME(x, g) || (!stop && !LIVE(gn)) -> RESTART }
    fi;
done:
    atomic { x = 0; g = 0; number = 0; n = 0; gn = 0; f = 0; stop = false; sec++ }
}

#ifdef MUTANT_CLEAR_AFTER_SCAN
#define NOTE_ATTENTION todo = attention[r]
#else
#define NOTE_ATTENTION todo = attention[r]; attention[r] = 0
#endif

inline scan_all()
{
    do
    :: atomic { sec < NS && !(todo & BIT(sec)) -> sec++ }
    :: atomic { sec < NS && (todo & BIT(sec)) -> skip };
        scan(sec)
    :: atomic { sec == NS -> break }
    od;
    atomic {
#ifdef MUTANT_CLEAR_AFTER_SCAN
        attention[r] = attention[r] & ~todo;
#endif
        todo = 0;
        sec = 0
    }
}

#ifdef STARTED
#define HAS_SECOND (q == 1)
#define SECOND 2
#else
#define HAS_SECOND false
#define SECOND 0
#endif

#define ANSWERED (request[q] == ACCEPTED && (!HAS_SECOND || request[SECOND] == ACCEPTED))
#define IS_PENDING (request[q] == PENDING || (HAS_SECOND && request[SECOND] == PENDING))
#define SETTLE_ONE(q) request[q] = (request[q] == PENDING -> ACCEPTED : request[q])

/* Cancel: what is claimed already is waited for. */
inline cancel()
{
    SETTLE_ONE(q);
    if
    :: HAS_SECOND -> SETTLE_ONE(SECOND)
    :: else
    fi
}

/* Nobody will ever answer: only because the model's program ends. */
#define GIVE_UP (OVER && IS_PENDING)

#ifdef SHARED
#define PARK    woken[q] = false; parked[r] = true
#define UNPARK  woken[q] = false        /* parked stays: another may be asleep under it */
#else
#define PARK    parked[r] = true
#define UNPARK  parked[r] = false
#endif

/* Asleep until woken. What is rechecked after parked is set was set before parked is looked at. */
inline park()
{
    atomic { PARK };
#ifndef MUTANT_NO_RECHECK
    if
    :: atomic { attention[r] != 0 -> UNPARK; goto again }
    :: atomic { attention[r] == 0 -> skip }
    fi;
#endif
    if
#ifdef SHARED
    :: atomic { ANSWERED -> UNPARK; goto again }
    :: atomic { !ANSWERED -> skip }
    fi;
    if
    :: atomic { woken[q] -> UNPARK }
#else
    :: atomic { !parked[r] -> skip }
#endif
    :: atomic { GIVE_UP -> UNPARK }
#ifdef CANCEL
    :: atomic { IS_PENDING -> UNPARK; cancel() }
#endif
    fi
}

proctype receiver(byte r; byte q)
{
    byte k, sec, todo, x, g, number, n, gn, f, m, a;
    bool spent, stop;

    {
        do
        :: d_step {
                k < (q == 0 -> GETS0 : GETS1) ->
                k++;
#ifdef SHARED
                request_gen[q] = request_gen[q] + 1;
#endif
                if
                :: HAS_SECOND -> request[SECOND] = PENDING
                :: else
                fi;
                request[q] = PENDING
            };
again:
            if
            :: atomic {
                    ANSWERED ->
                    request[q] = IDLE;
                    if
                    :: HAS_SECOND -> request[SECOND] = IDLE
                    :: else
                    fi;
                    goto answered
                }
            :: atomic { GIVE_UP -> cancel() }
#ifdef CANCEL
            :: atomic { IS_PENDING -> cancel() }
#endif
#ifndef SHARED
            :: atomic { !ANSWERED && attention[r] != 0 -> NOTE_ATTENTION };
                scan_all()
            :: atomic { !ANSWERED && attention[r] == 0 -> skip };
                park()
#else
            :: atomic { !ANSWERED -> skip };
                if
                :: atomic { attention[r] == 0 -> skip };
                    park()
#ifdef MUTANT_NO_OWNER
                :: atomic { attention[r] != 0 -> NOTE_ATTENTION };
                    scan_all()
#else
                :: atomic { attention[r] != 0 && owner[r] == 0 -> owner[r] = THREAD(q) };
                    atomic { NOTE_ATTENTION };
                    scan_all();
                    owner[r] = 0;
                    wake(r)
                :: atomic { attention[r] != 0 && owner[r] != 0 -> skip };
                    atomic { owner[r] == 0 || ANSWERED -> skip }
#endif
                fi
#endif
            fi;
            goto again;
answered:
            skip
        :: atomic { k == (q == 0 -> GETS0 : GETS1) -> break }
        od
    } MORTAL(THREAD(r));
    atomic {
        k = 0; sec = 0; todo = 0; x = 0; g = 0; number = 0; n = 0; gn = 0; f = 0; m = 0; a = 0;
        spent = false; stop = false
    }
}

/* ------------------------------------------------------------------ repair */

#if VICTIM != 0

#ifdef MUTANT_NO_COMPLETION
#define PUBLISHED(s, x) ODD(gen[x])
#else
#define PUBLISHED(s, x) (ODD(gen[x]) || INTENT(s) == x)
#endif

/* Which slots are the list: each gets a new generation, and is odd from one store to the next. */
inline sift(s)
{
    x = BASE(s) + 1;
    do
    :: atomic {
            x <= END(s) ->
            if
            :: PUBLISHED(s, x) && exec[x] != 0 ->
                kept = kept | BIT(x - BASE(s));
                gen[x] = gen[x] + (ODD(gen[x]) -> 2 : 1)
            :: else ->
                gen[x] = gen[x] + (ODD(gen[x]) -> 1 : 0);
                exec[x] = 0;
                dest[x] = 0
            fi;
            x++
        }
    :: atomic { x > END(s) -> x = 0; break }
    od
}

/* x becomes the oldest of what is kept. */
inline oldest(s)
{
    x = 0;
    i = 1;
    do
    :: i <= NX ->
        if
        :: (kept & BIT(i)) && (x == 0 || message[BASE(s) + i] < message[x]) -> x = BASE(s) + i
        :: else
        fi;
        i++
    :: else -> break
    od;
    i = 0;
    kept = kept & ~BIT(x - BASE(s))
}

inline relink(s)
{
    do
    :: atomic {
            kept != 0 ->
            oldest(s);
            if
            :: head == 0 -> head = x; prev[x] = x; next[x] = x
            :: else -> prev[x] = tail; prev[head] = x; next[x] = head
            fi
        };
        atomic {
            if
            :: tail != 0 -> next[tail] = x
            :: else
            fi;
            tail = x;
            x = 0
        }
    :: atomic { kept == 0 -> first[s] = head; last[s] = tail; head = 0; tail = 0; break }
    od
}

inline call_attention(s)
{
    x = BASE(s) + 1;
    do
    :: atomic { x <= END(s) -> live = live | (ODD(gen[x]) -> exec[x] : 0); x++ }
    :: atomic { x > END(s) -> x = 0; break }
    od;
    if
    :: atomic { live & BIT(0) -> set_attention(s, 0) }
    :: atomic { !(live & BIT(0)) -> skip }
    fi;
#if NR > 1
    if
    :: atomic { live & BIT(1) -> set_attention(s, 1) }
    :: atomic { !(live & BIT(1)) -> skip }
    fi;
#endif
    live = 0
}

/* Under the section's lock, taken over from the dead: the list anew, from the slots alone. */
inline rebuild(s)
{
    sift(s);
    relink(s);
#ifndef MUTANT_NO_ATTENTION_REPAIR
    call_attention(s);
#endif
#if VICTIM == 1
    intent[s] = 0
#else
    skip
#endif
}

inline wake_all()
{
#ifndef MUTANT_NO_WAKE_REPAIR
    wake(0);
#if NR > 1
    wake(1);
#endif
#endif
    skip
}

#ifdef SHARED
#ifdef MUTANT_NO_REQUEST_GENERATION
#define SLOT_IS_FOR(x, q) (slot_request[x] == q)
#else
#define SLOT_IS_FOR(x, q) (slot_request[x] == q && slot_request_gen[x] == request_gen[q])
#endif
#else
#define SLOT_IS_FOR(x, q) true
#endif

#ifdef MUTANT_UNDO_ALL
#define HAS_SLOT(x, q) false
#else
#define HAS_SLOT(x, q) (ODD(gen[x]) && (exec[x] & BIT(RECEIVER_OF(q))) && SLOT_IS_FOR(x, q))
#endif

/* What the dead sender claimed, and published nothing for, is pending again. The bits are looked at before the
 * request: its receiver accepts before it clears. */
inline undo_claims(s)
{
    do
    :: atomic { q < NQ && request[q] != CLAIMED(s) -> q++ }
    :: atomic { q < NQ && request[q] == CLAIMED(s) -> x = BASE(s) + 1 };
        do
        :: atomic { x <= END(s) -> live = live | (HAS_SLOT(x, q) -> 1 : 0); x++ }
        :: atomic { x > END(s) -> x = 0; break }
        od;
        atomic {
            if
            :: !live && request[q] == CLAIMED(s) ->
                assert(want[q] != COMMITTED(s));
                request[q] = PENDING;
                want[q] = 0
            :: else
            fi;
            live = 0;
            q++
        }
    :: atomic { q == NQ -> q = 0; break }
    od
}

inline repair_sender(s)
{
    if
    :: atomic { lock[s] == SENDER(s) -> lock[s] = SURVIVOR };
#ifndef MUTANT_NO_REBUILD
        rebuild(s);
#endif
#ifndef MUTANT_NO_UNDO
        undo_claims(s);
#endif
        lock[s] = 0
    :: atomic { lock[s] != SENDER(s) -> skip }
    fi;
    wake_all()
}

/* Under the section's lock: the bits of the dead receiver. What it had accepted is not given back here. */
inline take_back(s, r)
{
    x = BASE(s) + 1;
    do
    :: atomic { x <= END(s) && dest[x] != 0 && (exec[x] & BIT(r)) ->
            q = ADDRESSEE(x, r);
            if
            :: SLOT_IS_FOR(x, q) && request[q] == CLAIMED(s) ->
                assert(want[q] == message[x]);
                want[q] = 0;
                request[q] = IDLE
            :: else
            fi;
            q = 0
        };
        exec[x] = exec[x] & ~BIT(r)
    :: atomic { x <= END(s) && dest[x] != 0 && exec[x] == 0 -> skip };
        unlink(s, x);
        x++
    :: atomic { x <= END(s) && !(exec[x] & BIT(r)) && !(dest[x] != 0 && exec[x] == 0) -> x++ }
    :: atomic { x > END(s) -> x = 0; break }
    od
}

inline refuse(q)
{
    d_step {
        if
        :: request[q] == PENDING -> request[q] = IDLE
        :: else
        fi
    }
}

/* What the dead held goes back; and nobody can still be giving to it. */
inline settle(q)
{
    d_step {
        assert(request[q] == IDLE || request[q] == ACCEPTED);
        request[q] = IDLE
    }
}

inline repair_receiver()
{
    refuse(0);
#ifdef SHARED
    refuse(1);
#endif
    do
    :: atomic { sec < NS && lock[sec] == 0 -> lock[sec] = SURVIVOR };
#ifndef MUTANT_NO_BITS
        take_back(sec, 0);
#endif
        atomic { lock[sec] = 0; sec++ }
    :: atomic { sec < NS && IS_DEAD(lock[sec]) -> lock[sec] = SURVIVOR };
#ifndef MUTANT_NO_REBUILD
        rebuild(sec);
#endif
#ifndef MUTANT_NO_BITS
        take_back(sec, 0);
#endif
        atomic { lock[sec] = 0; sec++ }
    :: atomic { sec == NS -> sec = 0; break }
    od;
    settle(0);
#ifdef SHARED
    settle(1);
#endif
    wake_all()
}

proctype survivor()
{
    byte x, i, q, sec, kept, head, tail, live;

    dead = VICTIM;              /* at any time, also when all is over */
#if VICTIM == 1
    repair_sender(0);
#else
    repair_receiver();
#endif
    repaired = true
}

#endif

/* --------------------------------------------------------------- all of it */

/* Nothing is owed to anyone, nothing locked, nothing unread. */
inline settled()
{
    assert(request[0] == IDLE && request[1] == IDLE && request[NQ - 1] == IDLE);
    assert(want[0] == 0 && want[1] == 0 && want[NQ - 1] == 0);
    do
    :: s < NS ->
        assert(lock[s] == 0 && INTENT(s) == 0);
        x = BASE(s) + 1;
        do
        :: x <= END(s) -> assert(exec[x] == 0); x++
        :: else -> break
        od;
        s++
    :: else -> break
    od;
    s = 0
}

/* As a put would, of all slots: then nothing is left. */
inline sweep()
{
    do
    :: s < NS ->
        x = BASE(s) + 1;
        do
        :: x <= END(s) ->
            if
            :: dest[x] != 0 -> unlink(s, x)
            :: else
            fi;
            assert(!ODD(gen[x]));
            x++
        :: else -> break
        od;
        assert(first[s] == 0 && last[s] == 0);
        s++
    :: else -> break
    od
}

init
{
    byte s, x;

    atomic {
        do
        :: s < NS -> run sender(s); s++
        :: else -> break
        od;
        s = 0;
        run receiver(RECEIVER_OF(0), 0);
        run receiver(RECEIVER_OF(1), 1);
#if VICTIM != 0
        run survivor()
#else
        repaired = true
#endif
    };
    atomic {
        _nr_pr == 1 ->
        settled();
#ifndef MUTANT_NEVER_FREED
        sweep()
#endif
    }
}
