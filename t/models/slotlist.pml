/* The slot list: messages between the processes of a node that nobody waits for the receiver of.
 *
 * This is the protocol of libmemo/node/slot.c, scan.c, log.c and repair.c, and of the threads that share a receiver in
 * libmemo/shm/started.c, as a Spin model. Every statement outside atomic and d_step is one step; a d_step or atomic that
 * covers several stores covers only what no other party reads meanwhile: prev, last and dest are read under the section's
 * lock alone, and of a slot whose generation is even nobody keeps what he read. (With FINE those are steps of their own too.)
 * Memory is sequentially consistent here: the model says nothing about weaker orders.
 *
 * What is checked, in every interleaving:
 *   - no message is lost: a request that was claimed is answered, else its receiver sleeps for ever (invalid end state);
 *   - none is read twice, and none is read from a slot that was used again: at the moment of acceptance the
 *     message must be the one for which the request was claimed (observer `want`), the request still claimed, and the
 *     message committed by its sender;
 *   - no deadlock: every party ends, every lock is free at the end;
 *   - the memory comes back: at the end every slot is free. (Where a receiver died a slot may be left spent; the next
 *     put that is short of slots, done here as `sweep`, makes it free.)
 *   - nobody waits for a receiver: a put finds a slot at once. (One unread message per request: NX slots are enough.)
 *   - after a death, what the dead had accepted or had not yet accepted goes back once; nothing committed is undone, and
 *     nothing uncommitted is delivered.
 *
 * Parties: NS senders, each with a section of its own of NX slots, making PUTS puts, each to one waiting receiver or to
 * two at once; two receiving threads, each making requests one after the other. Without SHARED each thread has its
 * receiver; with SHARED both use one, in turns. With STARTED the second thread makes two requests at a time. With CANCEL a
 * request may be cancelled at any time. VICTIM names who dies, at any step, once; a survivor repairs at some time after.
 *
 * The whole (all of this at once) is too large to search; t/models.sh lists the configurations that are searched
 * completely. With -DMUTANT_x one thing is done wrong; the search must find it.
 *
 * What the model leaves out: a second death, a section that grows or is given back, more than two receivers, several
 * posts in one mutation, the heap, the folders, the limits of generations and sequence numbers. Sleeps have no time
 * limit here, except that every sleeper is woken once after a repair (`wake_all`), as the limit would.
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

/* With a death the searches are larger. Steps which the other configurations take one by one, and between which a
 * death can do nothing new, are then taken together. */
#if VICTIM != 0 && !defined(FINE)
#define COARSE
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
/* states of a request */
#define IDLE        0           /* cancelled, or answered and taken */
#define PENDING     1
#define ACCEPTED    2           /* the truth of possession: the message is its receiver's */
#define CLAIMED(s)  (3 + (s))

/* a section; last is read under the lock alone */
byte lock[NS];
byte first[NS];
byte last[NS];
bool spent[NS];                 /* somebody left a spent slot to the lock's holder */

/* What the log of the party that is at work on the section says: its death undoes it, or completes the post. */
#if VICTIM != 0
byte unlinking[NS];             /* the slot */
byte stores[NS];                /* those made so far, a bit each */
#define NOTE(s, store) stores[s] = stores[s] | store
#define NOTE_SLOT(s, x) unlinking[s] = x
#define NOTE_DONE(s) stores[s] = 0; unlinking[s] = 0
#else
#define NOTE(s, store)
#define NOTE_SLOT(s, x)
#define NOTE_DONE(s)
#endif
#if VICTIM == 1
byte claimed[NS];               /* requests, a bit each */
byte filled[NS];                /* the slot */
byte intent[NS];                /* the slot that is committed, and being posted */
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

/* a receiver */
byte attention[NR];
bool parked[NR];

/* a request */
byte request[NQ];

#ifdef SHARED
/* in the memory of the process whose threads share the receiver */
byte mutex;
bool scanning;                  /* one of them sleeps on the bell, or is about to */
bool woken[NQ];                 /* the bell has moved since this thread read it */
bool signalled[NQ];             /* what the others sleep on */
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
        :: next[x] != x ->
            next[prev[x]] = next[x];
            prev[next[x]] = prev[x];
            NOTE_SLOT(s, x);
            NOTE(s, 1)
        :: else
        fi
    };
    atomic {
        if
        :: first[s] == x ->
            first[s] = (next[x] == x -> 0 : next[x]);
            NOTE_SLOT(s, x);
            NOTE(s, 2)
        :: else
        fi
    };
    d_step {
        if
        :: last[s] == x ->
            last[s] = (prev[x] == x -> 0 : prev[x]);
            NOTE(s, 4)
        :: else
        fi;
        gen[x] = gen[x] + 1;
        NOTE(s, 8)
    };
    d_step { dest[x] = 0; prev[x] = 0; NOTE_DONE(s) }
}

#define IS_SPENT(x) (dest[x] != 0 && exec[x] == 0)

/* Frees all spent slots. Under the lock. */
inline collect(s)
{
    y = BASE(s) + 1;
    do
    :: atomic { y <= END(s) && !IS_SPENT(y) -> y++ }
    :: atomic { y <= END(s) && IS_SPENT(y) -> skip };
        unlink(s, y);
        y++
    :: atomic { y > END(s) -> y = 0; break }
    od
}

/* Sees to what others left meanwhile: they say so, then try the lock; we free the lock, then look. */
inline unlock(s, me)
{
#ifdef COARSE
    do
    :: atomic { spent[s] -> spent[s] = false };
        collect(s)
    :: atomic { !spent[s] -> lock[s] = 0; break }
    od
#else
    do
    ::  if
        :: atomic { spent[s] -> spent[s] = false };
            collect(s)
        :: atomic { !spent[s] -> skip }
        fi;
        lock[s] = 0;
#ifdef MUTANT_NO_SECOND_LOOK
        break
#else
        if
        :: atomic { !spent[s] -> break }
        :: atomic { spent[s] -> skip };
            if
            :: atomic { lock[s] == 0 -> lock[s] = me }
            :: atomic { lock[s] != 0 -> break }
            fi
        fi
#endif
    od
#endif
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

/* ------------------------------------------------------------------ sender */

inline claim(s, q)
{
    atomic {
        if
        :: (choice & BIT(q)) && request[q] == PENDING ->
            request[q] = CLAIMED(s);
            want[q] = m;
            claims = claims | BIT(q);
#if VICTIM == 1
            claimed[s] = claimed[s] | BIT(q)
#endif
        :: else
        fi
    }
}

#define FREE(s)  (dest[BASE(s) + 1] == 0 || (NX > 1 && dest[BASE(s) + (NX + 1) / 2] == 0) || dest[END(s)] == 0)

/* Beginning behind the last; with LOWEST at the lowest, which uses slots again sooner. */
inline find_slot(s)
{
#ifdef LOWEST
    x = BASE(s) + 1;
#else
    x = (last[s] == 0 -> BASE(s) + 1 : (last[s] == END(s) -> BASE(s) + 1 : last[s] + 1));
#endif
    do
    :: dest[x] != 0 -> x = (x == END(s) -> BASE(s) + 1 : x + 1)
    :: else -> break
    od
}

inline fill(s)
{
    atomic { find_slot(s) };
    TOGETHER {
        message[x] = m;
#ifdef SHARED
        slot_request[x] = claims - 1;
#endif
#ifdef STARTED
        slot_request[x] = (claims & 4 -> 2 : 1);
#endif
#if VICTIM == 1
        filled[s] = x;
#endif
        exec[x] = MASK;
        dest[x] = MASK
    }
}

inline commit(s)
{
#if VICTIM == 1
    d_step {
#ifndef MUTANT_NO_COMPLETION
        intent[s] = x;
#endif
        committed[s] = m;
#ifndef MUTANT_LOG_KEPT
        claimed[s] = 0;
        filled[s] = 0
#endif
    }
#else
    skip
#endif
}

/* Every step may be done again. */
inline splice(s)
{
    if
    :: atomic { last[s] == x -> skip }
    :: atomic { last[s] != x -> skip };
        TOGETHER {
            if
            :: first[s] == 0 -> next[x] = x; prev[x] = x
            :: else -> next[x] = first[s]; prev[x] = last[s]
            fi
        };
        gen[x] = gen[x] | 1;
        d_step {
            if
            :: last[s] == 0 -> first[s] = x
            :: else -> next[last[s]] = x; prev[first[s]] = x
            fi
        };
        last[s] = x
    fi
}

#define NOTE_SLEEPER(r) sleepers = sleepers | (parked[r] -> BIT(r) : 0)

/* Who has not said that it sleeps when its attention is drawn will see that before it does. */
inline draw(s, r)
{
    if
#ifdef COARSE
    :: atomic { dest[x] & BIT(r) -> attention[r] = attention[r] | BIT(s); NOTE_SLEEPER(r) }
#else
    :: atomic { dest[x] & BIT(r) -> attention[r] = attention[r] | BIT(s) };
        NOTE_SLEEPER(r)
#endif
    :: atomic { !(dest[x] & BIT(r)) -> skip }
    fi
}

inline draw_attention(s)
{
    draw(s, 0);
#if NR > 1
    draw(s, 1);
#endif
    skip
}

inline post(s)
{
#ifdef MUTANT_ATTENTION_FIRST
    draw_attention(s);
    splice(s);
#else
    splice(s);
    draw_attention(s);
#endif
#if VICTIM == 1
    intent[s] = 0
#else
    skip
#endif
}

inline rouse()
{
    do
    :: atomic { sleepers & BIT(0) -> sleepers = sleepers & ~BIT(0); wake(0) }
#if NR > 1
    :: atomic { !(sleepers & BIT(0)) && (sleepers & BIT(1)) -> sleepers = 0; wake(1) }
#endif
    :: atomic { sleepers == 0 -> break }
    od
}

proctype sender(byte s)
{
    byte k, m, x, y, choice, claims, sleepers;

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
            if
            :: atomic { FREE(s) -> skip }
            :: atomic { !FREE(s) -> skip };
#ifndef MUTANT_NEVER_FREED
                collect(s)
#endif
            fi;
            assert(FREE(s));            /* or a put would wait for a receiver */
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
            :: atomic { claims == 0 -> choice = 0; m = 0 };     /* into the folder with it */
                unlock(s, SENDER(s))
            :: atomic { claims != 0 -> choice = 0 };
                fill(s);
                commit(s);
                atomic { m = 0; claims = 0 };
                post(s);
                x = 0;
                unlock(s, SENDER(s));
                rouse()
            fi
        :: atomic { k == PUTS -> break }
        od
    } MORTAL(SENDER(s));
    atomic { k = 0; m = 0; x = 0; y = 0; claims = 0; choice = 0; sleepers = 0; finished++ }
}

/* ---------------------------------------------------------------- receiver */

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
    };
#ifdef SHARED
    atomic { signalled[0] = true; signalled[1] = true };
#ifndef MUTANT_SLEEPER_FORGOTTEN
    atomic {
        if
        :: scanning -> wake(r)
        :: else
        fi
    };
#endif
#endif
    skip
}

/* A lock that is not to be had at once: whoever has it sees to the spent slot. */
inline leave(s)
{
    if
    :: atomic { lock[s] == 0 -> lock[s] = THREAD(q); y = 1 }
#ifdef COARSE
    :: atomic { lock[s] != 0 -> spent[s] = true }
#else
    :: atomic { lock[s] != 0 -> skip };
        spent[s] = true;
        atomic {
            if
            :: lock[s] == 0 -> lock[s] = THREAD(q); y = 1
            :: else
            fi
        }
#endif
    fi;
    if
    :: atomic { y == 1 -> y = 0 };
        if
        :: atomic { gen[x] == g && IS_SPENT(x) -> skip };
            unlink(s, x)
        :: atomic { !(gen[x] == g && IS_SPENT(x)) -> skip }
        fi;
        unlock(s, THREAD(q))
    :: else
    fi
}

#ifdef MUTANT_NO_GENERATION
#define SAME(x, g) true
#define LIVE(g)    true
#else
#define SAME(x, g) (gen[x] == g)
#define LIVE(g)    ODD(g)
#endif
#define SAME_NEXT(x, n) (next[x] == n)
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
    exec[x] = exec[x] & ~BIT(r);
    accept(s);
#else
    accept(s);
    exec[x] = exec[x] & ~BIT(r);
#endif
#ifndef MUTANT_NEVER_FREED
    if
    :: atomic { IS_SPENT(x) -> skip };
        leave(s)
    :: atomic { !IS_SPENT(x) -> skip }
    fi;
#endif
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

#define TAKE(q) request[q] = IDLE

#ifndef SHARED

/* Asleep until woken. What is rechecked after parked is set was set before parked is looked at. */
inline park()
{
    parked[r] = true;
#ifndef MUTANT_NO_RECHECK
    if
    :: atomic { attention[r] != 0 -> parked[r] = false; goto again }
    :: atomic { attention[r] == 0 -> skip }
    fi;
#endif
    if
    :: atomic { !parked[r] -> skip }
    :: atomic { GIVE_UP -> parked[r] = false }
#ifdef CANCEL
    :: atomic { IS_PENDING -> parked[r] = false; cancel() }
#endif
    fi
}

#else

#ifdef MUTANT_NO_OWNER
#define MUTEX_IS_FREE true
#else
#define MUTEX_IS_FREE (mutex == 0)
#endif
#define MUTEX_TAKE atomic { MUTEX_IS_FREE -> mutex = THREAD(q) }

/* On the receiver's bell. Parked stays set until a sender clears it: it is not ours alone. */
inline sleep_on_bell()
{
    d_step { woken[q] = false; parked[r] = true };
    if
    :: atomic { attention[r] != 0 -> goto awake }
    :: atomic { attention[r] == 0 -> skip }
    fi;
    if
#ifndef MUTANT_SLEEPER_FORGOTTEN
    :: atomic { ANSWERED -> goto awake }
    :: atomic { !ANSWERED -> skip };
#else
    :: true ->
#endif
        if
        :: atomic { woken[q] -> skip }
        :: atomic { GIVE_UP -> skip }
        fi
    fi;
awake:
    woken[q] = false
}

/* Under the mutex, which is let go meanwhile. */
inline sleep_common()
{
    if
    :: d_step { scanning -> signalled[q] = false; mutex = 0 };
        if
        :: atomic { signalled[q] -> signalled[q] = false }
        :: atomic { GIVE_UP -> skip }
        fi;
        MUTEX_TAKE
    :: d_step { !scanning -> scanning = true; mutex = 0 };
        sleep_on_bell();
        MUTEX_TAKE;
        scanning = false;
        pumps = 2
    fi
}

#endif

proctype receiver(byte r; byte q)
{
    byte k, sec, todo, x, y, g, number, n, gn, f, m, a;
#ifdef SHARED
    byte pumps;                 /* 1 on entry; 2 after a sleep on the bell, and tells the others */
#endif
    bool stop;

    {
        do
#ifdef SHARED
        :: d_step {
                k < (q == 0 -> GETS0 : GETS1) && MUTEX_IS_FREE ->
                mutex = THREAD(q);
#else
        :: d_step {
                k < (q == 0 -> GETS0 : GETS1) ->
#endif
                k++;
                if
                :: HAS_SECOND -> request[SECOND] = PENDING
                :: else
                fi;
                request[q] = PENDING
            };
#ifdef SHARED
            mutex = 0;
            MUTEX_TAKE;
            pumps = 1;
again:
            if
            :: atomic { pumps != 0 && attention[r] != 0 -> NOTE_ATTENTION };
                scan_all()
            :: atomic { pumps == 0 || attention[r] == 0 -> skip }
            fi;
            atomic {
                if
                :: pumps == 2 -> signalled[0] = true; signalled[1] = true
                :: else
                fi;
                pumps = 0
            };
            if
            :: atomic { ANSWERED -> TAKE(q); mutex = 0; goto answered }
            :: atomic { !ANSWERED && GIVE_UP -> cancel() }
            :: atomic { !ANSWERED && !GIVE_UP -> skip };
                sleep_common()
            fi;
            goto again;
#else
again:
            if
            :: atomic {
                    ANSWERED ->
                    TAKE(q);
                    if
                    :: HAS_SECOND -> TAKE(SECOND)
                    :: else
                    fi;
                    goto answered
                }
            :: atomic { GIVE_UP -> cancel() }
#ifdef CANCEL
            :: atomic { IS_PENDING -> cancel() }
#endif
            :: atomic { !ANSWERED && attention[r] != 0 -> NOTE_ATTENTION };
                scan_all()
            :: atomic { !ANSWERED && attention[r] == 0 -> skip };
                park()
            fi;
            goto again;
#endif
answered:
            skip
        :: atomic { k == (q == 0 -> GETS0 : GETS1) -> break }
        od
    } MORTAL(THREAD(r));
    atomic {
        k = 0; sec = 0; todo = 0; x = 0; y = 0; g = 0; number = 0; n = 0; gn = 0; f = 0; m = 0; a = 0;
        stop = false
    }
}

/* ------------------------------------------------------------------ repair */

#if VICTIM != 0

#if defined(SHARED) && VICTIM == 4
#define IS_DEAD(owner) ((owner) == THREAD(0) || (owner) == THREAD(1))
#else
#define IS_DEAD(owner) ((owner) == VICTIM)
#endif

/* Newest first. The log is the lock's holder's: there is none of the dead where the lock is not his. */
inline undo_unlinking(s)
{
    if
    :: atomic { IS_DEAD(lock[s]) && stores[s] != 0 -> x = unlinking[s] };
        d_step { dest[x] = 1; gen[x] = gen[x] - ((stores[s] & 8) -> 1 : 0) };
        if
        :: atomic { stores[s] & 4 -> last[s] = x }
        :: atomic { !(stores[s] & 4) -> skip }
        fi;
        if
        :: atomic { stores[s] & 2 -> first[s] = x }
        :: atomic { !(stores[s] & 2) -> skip }
        fi;
        if
        :: atomic { stores[s] & 1 -> next[prev[x]] = x; prev[next[x]] = x }
        :: atomic { !(stores[s] & 1) -> skip }
        fi;
        d_step { NOTE_DONE(s); x = 0 }
    :: atomic { !(IS_DEAD(lock[s]) && stores[s] != 0) -> skip }
    fi
}

inline wake_all()
{
#ifndef MUTANT_NO_WAKE_REPAIR
    wake(0);
#if NR > 1
    wake(1);
#endif
#ifdef SHARED
    signalled[0] = true;
    signalled[1] = true;
#endif
#endif
    skip
}

#if VICTIM == 1

inline unclaim(s, q)
{
    atomic {
        if
        :: (claimed[s] & BIT(q)) && request[q] == CLAIMED(s) ->
            assert(want[q] != COMMITTED(s));
            request[q] = PENDING;
            want[q] = 0
        :: else
        fi
    }
}

/* What is not committed has not happened; what is committed happens. */
inline void_sender(s)
{
    if
    :: atomic { intent[s] != 0 -> x = intent[s] };
        splice(s);
#ifndef MUTANT_NO_ATTENTION_REPAIR
        draw_attention(s);
#endif
        intent[s] = 0
    :: atomic { intent[s] == 0 -> skip };
        atomic {
            if
            :: filled[s] != 0 -> dest[filled[s]] = 0; filled[s] = 0
            :: else
            fi
        };
#ifndef MUTANT_NO_UNDO
        unclaim(s, 0);
        unclaim(s, 1);
#ifdef STARTED
        unclaim(s, 2);
#endif
#endif
        claimed[s] = 0;
        undo_unlinking(s)
    fi;
    x = 0
}

inline repair_sender(s)
{
#ifndef MUTANT_NO_VOID
    void_sender(s);
#endif
    atomic { lock[s] == 0 || lock[s] == SENDER(s) -> lock[s] = SURVIVOR };
    spent[s] = true;
    unlock(s, SURVIVOR);
    rouse();
    wake_all()
}

#else

/* Under the section's lock: the bits of the dead receiver. What it had accepted is not given back here. */
inline take_back(s, r)
{
    x = BASE(s) + 1;
    do
    :: atomic { x <= END(s) && dest[x] != 0 && (exec[x] & BIT(r)) ->
            q = ADDRESSEE(x, r);
            if
            :: request[q] == CLAIMED(s) ->
                assert(want[q] == message[x]);
                want[q] = 0;
                request[q] = IDLE
            :: else
            fi;
            q = 0
        };
        exec[x] = exec[x] & ~BIT(r);
        if
        :: atomic { IS_SPENT(x) -> skip };
            unlink(s, x)
        :: atomic { !IS_SPENT(x) -> skip }
        fi;
        x++
    :: atomic { x <= END(s) && !(dest[x] != 0 && (exec[x] & BIT(r))) -> x++ }
    :: atomic { x > END(s) -> x = 0; break }
    od
}

inline void_receiver()
{
    do
    :: atomic { sec < NS && IS_DEAD(lock[sec]) -> skip };
        undo_unlinking(sec);
        sec++
    :: atomic { sec < NS && !IS_DEAD(lock[sec]) -> sec++ }
    :: atomic { sec == NS -> sec = 0; break }
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
#ifndef MUTANT_NO_VOID
    void_receiver();
#endif
    refuse(0);
#ifdef SHARED
    refuse(1);
#endif
    do
    :: atomic { sec < NS && (lock[sec] == 0 || IS_DEAD(lock[sec])) -> lock[sec] = SURVIVOR };
#ifndef MUTANT_NO_BITS
        take_back(sec, 0);
#endif
        unlock(sec, SURVIVOR);
        sec++
    :: atomic { sec == NS -> sec = 0; break }
    od;
    settle(0);
#ifdef SHARED
    settle(1);
#endif
    wake_all()
}

#endif

proctype survivor()
{
    byte x, y, q, sec, sleepers;

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
        :: x <= END(s) -> assert(dest[x] == 0 || exec[x] == 0); x++
        :: else -> break
        od;
        s++
    :: else -> break
    od;
    s = 0
}

/* Nothing is left. */
inline sweep()
{
    do
    :: s < NS ->
        x = BASE(s) + 1;
        do
        :: x <= END(s) ->
#if VICTIM == 4
            if
            :: dest[x] != 0 -> unlink(s, x)
            :: else
            fi;
#endif
            assert(dest[x] == 0 && !ODD(gen[x]));
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
