#!/bin/sh
# The model of the slot list (t/models/slotlist.pml): each configuration is searched completely and has no error;
# each mutant, the model with one thing done wrong, has one. A mutant that passes would mean that the model
# cannot see what that thing is for.
#
# Parties are 1 sender with 3 slots making 2 puts, and 2 receiving threads with 1 request each, except as the flags say.
# No mutant shows what a scanner's second look at the next pointer is for: its schedule takes more puts than are searched.
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

echo "1..$number"
exit $failed
