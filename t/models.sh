#!/bin/sh
# The models of the slot list (t/models/slotlist.pml) and of selects over several servers (latch.pml, chain.pml): each
# configuration is searched completely and has no error; each mutant, the model with one thing done wrong, has one. A
# mutant that passes would mean that the model cannot see what that thing is for.
#
# Of the slot list: parties are 1 sender with 3 slots making 2 puts, and 2 receiving threads with 1 request each, except as the flags say.
# No mutant shows what a scanner's second look at the next pointer is for: its schedule takes more puts than are searched.
#
# Of latch and chain: flags are the calls of clients X, Y, Z, W, on two servers with a folder each. Where LINK is
# withheld, it takes more calls than are searched to see that a copy must not read what is latched.
#
# MEMO_MODELS=long adds the larger configurations (some minutes, up to 2 GB).

cd "$(dirname "$0")/.." || exit 1
# shellcheck disable=SC2086
set -- ${CC:-cc}
for tool in spin "$1"; do
    if ! command -v "$tool" >/dev/null 2>&1; then
        echo "1..0 # SKIP $tool is not installed"
        exit 0
    fi
done

number=0
failed=0

check() { # right|wrong, name, flags...
    expect=$1
    name=$2
    shift 2
    number=$((number + 1))
    if result=$(sh t/models/run.sh "$expect" "$model" "$@" 2>&1); then
        echo "ok $number - $model: $name"
        echo "# $result"
    else
        failed=1
        echo "not ok $number - $model: $name"
        echo "# $model $*"
        echo "$result" | sed 's/^/# /'
    fi
}

right() { check right "$@"; }
wrong() { name=$1; shift; check wrong "the search finds: $name" "$@"; }

model=slotlist
right "two senders" -DNS=2 -DNX=1 -DPUTS=1
right "slots used again" -DPUTS=3 -DGETS0=2
right "requests cancelled" -DCANCEL -DNX=2
right "a receiver with two requests at a time" -DSTARTED
right "a receiver that two threads share" -DSHARED -DGETS0=2
right "every store a step of its own" -DFINE -DNX=2
right "a receiver dies" -DVICTIM=4
right "the sender dies, with one receiver" -DVICTIM=1 -DGETS0=2 -DGETS1=0
right "the sender dies, with two receivers" -DVICTIM=1 -DNX=2 -DPUTS=1

if test "$MEMO_MODELS" = long; then
    right "two senders, two slots each, requests cancelled" -DNS=2 -DNX=2 -DPUTS=1 -DCANCEL
    right "slots used again by both" -DPUTS=3 -DGETS0=2 -DGETS1=2
    right "slots used again at once" -DPUTS=3 -DGETS0=2 -DGETS1=2 -DLOWEST
    right "a receiver with two requests at a time, three puts" -DSTARTED -DPUTS=3
    right "the sender dies, its receiver has two requests at a time" -DVICTIM=1 -DNX=2 -DSTARTED -DGETS0=0
    right "a receiver that two threads share dies" -DSHARED -DVICTIM=4
fi

wrong "attention cleared after the scan" -DMUTANT_CLEAR_AFTER_SCAN -DSTARTED
wrong "execution bit cleared before the message is read" -DMUTANT_CLEAR_BEFORE_READ -DPUTS=3 -DGETS0=2
wrong "no generations" -DMUTANT_NO_GENERATION -DSTARTED -DVICTIM=1 -DNX=2
wrong "the first slot not looked at again" -DMUTANT_NO_FIRST_CHECK -DPUTS=3 -DGETS0=2 -DGETS1=2 -DLOWEST
wrong "a scan that ends where the list begins" -DMUTANT_STOP_AT_FIRST
wrong "two scanners with one bit" -DMUTANT_NO_OWNER -DSHARED
wrong "the sharer that sleeps is not told what another read for him" -DMUTANT_SLEEPER_FORGOTTEN -DSHARED
wrong "no repair: attention" -DMUTANT_NO_ATTENTION_REPAIR -DVICTIM=1
wrong "no repair: the claimed message that was not spliced" -DMUTANT_NO_COMPLETION -DVICTIM=1
wrong "no repair: claims that came to nothing" -DMUTANT_NO_UNDO -DVICTIM=1
wrong "no repair: what was committed is undone" -DMUTANT_LOG_KEPT -DVICTIM=1
wrong "no repair: the dead sender's lock is only freed" -DMUTANT_NO_VOID -DVICTIM=1
wrong "no repair: the dead receiver's lock is only freed" -DMUTANT_NO_VOID -DVICTIM=4
wrong "no repair: the dead receiver's bits" -DMUTANT_NO_BITS -DVICTIM=4
wrong "no repair: sleepers are not woken" -DMUTANT_NO_WAKE_REPAIR -DVICTIM=1
wrong "a request claimed without the section's lock" -DMUTANT_CLAIM_UNLOCKED -DVICTIM=4
wrong "attention set before the splice" -DMUTANT_ATTENTION_FIRST
wrong "a spent slot never freed" -DMUTANT_NEVER_FREED -DPUTS=4 -DGETS0=3
wrong "a spent slot left to a holder that has looked already" -DMUTANT_NO_SECOND_LOOK -DNX=2
wrong "parked without looking again" -DMUTANT_NO_RECHECK

model=latch
two_strict='-DX0=STRICT -DY0=STRICT -DZ0=PUT0 -DZ1=PUT1'
alt_strict='-DX0=ALT -DY0=STRICT -DZ0=PUT0 -DZ1=PUT1'
get_strict='-DX0=GET1 -DY0=STRICT -DZ0=PUT1 -DZ1=PUT0'
# shellcheck disable=SC2086
{
right "two strict skips" $two_strict
right "two strict skips, and LINK answered at once" $two_strict -DLINK_NOT_WITHHELD
right "an alt and a strict skip, all cancelled at any time" $alt_strict -DIMPATIENT
right "a copy of what an alt may have latched" $alt_strict -DZ2=COPYSKIP0
right "an alt, a strict copy, a strict skip, a skip" $alt_strict -DX1=COPYSTRICT -DZ2=SKIP0
right "a waiting get ahead of an alt and a strict skip" -DX0=GET0 -DX1=PUT1 -DY0=ALT -DZ0=STRICT -DZ1=PUT0 -DIMPATIENT
right "an alt skip, a copy that waits on both" -DX0=ALT -DY0=ALTSKIP -DZ0=PUT0 -DZ1=PUT1 -DZ2=COPYALT
right "three strict skips" -DX0=STRICT -DX1=PUT0 -DY0=STRICT -DY1=PUT1 -DZ0=STRICT
right "two alts ahead of a strict skip" -DNC=4 -DX0=ALT -DY0=ALT -DZ0=STRICT -DW0=PUT0 -DW1=PUT1
if test "$MEMO_MODELS" = long; then
    right "two strict skips and a copy" $two_strict -DZ2=COPYALTSKIP
    right "three puts" $alt_strict -DZ2=PUT0 -DX1=COPYSKIP1 -DNM=3 -DIMPATIENT
    right "three puts, and LINK answered at once" $alt_strict -DZ2=PUT0 -DX1=COPYSKIP1 -DNM=3 -DIMPATIENT -DLINK_NOT_WITHHELD
    right "two alts ahead, all cancelled at any time" -DNC=4 -DX0=ALT -DY0=ALT -DZ0=STRICT -DW0=PUT0 -DIMPATIENT
fi
wrong "a strict skip latched for silently, and LINK withheld" -DMUTANT_LATCHED_SILENTLY $two_strict
wrong "HELD after EMPTY ignored" -DMUTANT_HELD_AFTER_EMPTY_IGNORED $alt_strict
wrong "UNLINK that crosses HELD drops what is held" -DMUTANT_UNLINK_DROPS_WHAT_IS_HELD $alt_strict
wrong "no second phase" -DMUTANT_NO_SECOND_PHASE $get_strict
wrong "UNLINK answered beside a latched memo" -DMUTANT_UNLINK_NOT_WITHHELD $alt_strict
wrong "a skip answered beside a latched memo" -DMUTANT_SKIP_TAKES_LATCHED_FOR_ABSENT -DX0=ALT -DY0=SKIP0 -DZ0=PUT0 -DZ1=PUT1
wrong "a copy of a latched memo, where LINK is answered at once" -DMUTANT_COPY_READS_LATCHED $alt_strict -DZ2=COPYSKIP0 -DLINK_NOT_WITHHELD
wrong "what is latched leaves the folder" -DMUTANT_LATCH_MOVES $alt_strict
wrong "what is released is offered to nobody" -DMUTANT_RELEASED_NOT_OFFERED $alt_strict -DX1=GET0
wrong "RELEASE leaves what is withheld or linked" -DMUTANT_ANSWER_NOT_DISCARDED $alt_strict
wrong "two accepted" -DMUTANT_ACCEPTS_TWO $alt_strict
wrong "an alt that waits for all answers" -DMUTANT_WAITS_FOR_ALL $alt_strict
wrong "alt skips that wait for all answers" -DMUTANT_WAITS_FOR_ALL -DX0=ALTSKIP -DY0=ALTSKIP -DZ0=PUT0 -DZ1=PUT1
wrong "an answer taken for another call's" -DMUTANT_NO_NUMBERS -DX0=ALT -DX1=ALTSKIP -DY0=PUT0 -DY1=PUT1 -DZ0=STRICT

model=chain
right "two strict skips" $two_strict
right "an alt and a strict skip, all else cancelled at any time" $alt_strict -DIMPATIENT
right "a copy of what an alt may have latched" $alt_strict -DZ2=COPYSKIP0
right "an alt, a strict copy, a strict skip, a skip" -DX0=ALT -DX1=STRICT -DY0=COPYSTRICT -DZ0=PUT0 -DZ1=PUT1 -DZ2=SKIP0
right "a waiting get ahead of an alt and a strict skip" -DX0=GET0 -DX1=PUT1 -DY0=ALT -DZ0=STRICT -DZ1=PUT0 -DIMPATIENT
right "three strict skips" -DX0=STRICT -DX1=PUT0 -DY0=STRICT -DY1=PUT1 -DZ0=STRICT
right "two alts ahead of a strict skip" -DNC=4 -DX0=ALT -DY0=ALT -DZ0=STRICT -DW0=PUT0 -DW1=PUT1
right "two clients, an alt and then a strict skip each" -DX0=ALT -DX1=STRICT -DY0=ALT -DY1=STRICT -DZ0=PUT0 -DZ1=PUT1
wrong "unlocked when passed on" -DMUTANT_UNLOCKED_EARLY $get_strict
wrong "earlier servers not unlocked" -DMUTANT_EARLIER_NOT_UNLOCKED $alt_strict
wrong "each client's own order of servers" -DMUTANT_OWN_ORDER $two_strict
wrong "ACCEPT and RELEASE wait for the lock" -DMUTANT_RELEASE_DEFERRED $alt_strict
wrong "RELEASE leaves the LATCH that waits" -DMUTANT_DEFERRED_NOT_DISCARDED -DX0=ALT -DY0=STRICT -DZ0=PUT1 -DZ1=PUT0
wrong "puts pass the lock" -DMUTANT_PUT_PASSES $get_strict
wrong "a chain that passes a latched memo" -DMUTANT_CHAIN_TAKES_LATCHED_FOR_ABSENT $alt_strict
wrong "what is released is offered to nobody" -DMUTANT_RELEASED_NOT_OFFERED $alt_strict
}

echo "1..$number"
exit $failed
