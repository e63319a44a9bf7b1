#!/bin/sh
# The model of the slot list (t/models/slotlist.pml): each configuration is searched completely and has no error;
# each mutant, the model with one thing done wrong, has one. A mutant that passes would mean that the model
# cannot see what that thing is for.
#
# Parties are 1 sender with 3 slots making 2 puts, and 2 receiving threads with 1 request each, except as the flags say.
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
    if result=$(sh t/models/run.sh "$expect" "$@" 2>&1); then
        echo "ok $number - $name"
        echo "# $result"
    else
        failed=1
        echo "not ok $number - $name"
        echo "# flags: $*"
        echo "$result" | sed 's/^/# /'
    fi
}

right() { check right "$@"; }
wrong() { name=$1; shift; check wrong "the search finds: $name" "$@"; }

right "two senders" -DNS=2 -DNX=2
right "slots used again and again" -DPUTS=3 -DGETS0=2 -DGETS1=2
right "any slot taken, any request cancelled" -DANYSLOT -DCANCEL
right "a receiver with two requests at a time" -DSTARTED -DPUTS=3
right "a receiver that two threads share" -DSHARED -DGETS0=2
right "every store a step of its own" -DFINE -DPUTS=3
right "a receiver dies" -DVICTIM=4
right "the sender dies" -DVICTIM=1 -DNX=2

if test "$MEMO_MODELS" = long; then
    right "the sender dies, three slots" -DVICTIM=1
    right "a receiver that two threads share dies" -DSHARED -DVICTIM=4 -DNX=2
    right "one of two senders dies" -DNS=2 -DNX=1 -DVICTIM=1 -DPUTS=1
    right "two senders, a receiver dies" -DNS=2 -DNX=2 -DVICTIM=4 -DPUTS=1
    right "a receiver dies, every store a step of its own" -DFINE -DVICTIM=4
    right "any slot taken, again and again" -DANYSLOT -DPUTS=3 -DGETS0=2 -DGETS1=2
    right "a shared receiver, more of everything" -DSHARED -DPUTS=3 -DGETS0=2 -DGETS1=2
fi

wrong "attention cleared after the scan" -DMUTANT_CLEAR_AFTER_SCAN -DSTARTED
wrong "execution bit cleared before the message is read" -DMUTANT_CLEAR_BEFORE_READ -DNX=2 -DPUTS=3 -DGETS0=2 -DGETS1=2
wrong "no generations" -DMUTANT_NO_GENERATION -DSTARTED -DVICTIM=1
wrong "the first slot not looked at again" -DMUTANT_NO_FIRST_CHECK -DPUTS=3 -DGETS0=2 -DGETS1=2
wrong "a scan that ends where the list begins" -DMUTANT_STOP_AT_FIRST
wrong "two scanners with one bit" -DMUTANT_NO_OWNER -DSHARED
wrong "no repair: attention" -DMUTANT_NO_ATTENTION_REPAIR -DVICTIM=1
wrong "no repair: the claimed message that was not spliced" -DMUTANT_NO_COMPLETION -DVICTIM=1
wrong "no repair: the list" -DMUTANT_NO_REBUILD -DVICTIM=1
wrong "no repair: claims that came to nothing" -DMUTANT_NO_UNDO -DVICTIM=1
wrong "no repair: claims undone that had their message" -DMUTANT_UNDO_ALL -DVICTIM=1
wrong "no repair: the dead receiver's bits" -DMUTANT_NO_BITS -DVICTIM=4
wrong "no repair: the parked are not woken" -DMUTANT_NO_WAKE_REPAIR -DVICTIM=1
wrong "no repair: a slot does not say which turn of its request it is for" -DMUTANT_NO_REQUEST_GENERATION -DSHARED -DVICTIM=4 -DGETS0=2 -DGETS1=2
wrong "a request claimed without the section's lock" -DMUTANT_CLAIM_UNLOCKED -DVICTIM=4
wrong "attention set before the splice" -DMUTANT_ATTENTION_FIRST
wrong "a spent slot never freed" -DMUTANT_NEVER_FREED -DNX=2 -DPUTS=3 -DGETS0=2 -DGETS1=2
wrong "parked without looking again" -DMUTANT_NO_RECHECK

echo "1..$number"
exit $failed
