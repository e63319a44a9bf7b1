#!/bin/sh
# shellcheck disable=SC2016,SC1003
#
# The memo command, as a script uses it: what it prints, what it exits with, and that nothing is lost or left behind
# when it is interrupted. Run from the repository's root; BUILD says where the command is. The spaces are those of
# MEMO_TEST_URI or of the first argument, by default one of each backend.

BUILD=${BUILD:-build}
MEMO=$PWD/$BUILD/memo
CC=${CC:-cc}
ROOT=$PWD
unset MEMO_SPACE MEMO_RUN
export MEMO

# ---- TAP -------------------------------------------------------------------------------------------------------

ran=0
failed=0

# report STATUS DESCRIPTION...
report() {
    ran=$((ran + 1))
    if [ "$1" -eq 0 ]; then
        shift
        echo "ok $ran - $backend: $*"
    else
        shift
        failed=$((failed + 1))
        echo "not ok $ran - $backend: $*"
        return 1
    fi
}

# is DESCRIPTION GOT WANTED
is() {
    if [ "$2" = "$3" ]; then
        report 0 "$1"
    else
        report 1 "$1"
        printf '%s\n' "got:    $2" "wanted: $3" | sed 's/^/# /'
    fi
}

# exits DESCRIPTION WANTED COMMAND...: the exit status; what it prints goes to out and err
exits() {
    description=$1
    wanted=$2
    shift 2
    "$@" >out 2>err
    is "$description" $? "$wanted" || sed 's/^/# /' err
}

skip() {
    ran=$((ran + 1))
    echo "ok $ran - $backend: $1 # SKIP $2"
}

# ---- help ------------------------------------------------------------------------------------------------------

# Nothing here takes as long as 30 s unless it hangs.
memo() {
    timeout --foreground -k 2 30 "$MEMO" "$@"
}

# until_true COMMAND...: tries for 10 s
until_true() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || return 1
        sleep 0.05
    done
}

waits_on() {
    [ "$(memo ls "$1" | awk 'NR > 1 { print $3 }')" = "${2:-1}" ]
}

memos_in() {
    memo ls "$1" | awk 'NR > 1 { n = $1 } END { print n + 0 }'
}

is_gone() {
    ! grep -q "^State:[[:space:]]*[^ZX]" "/proc/$1/status" 2>/dev/null
}

# field KEY: of the JSON object on stdin; field KEY INDEX: of that element of an array
field() {
    perl -MJSON::PP -e 'local $/; my ($key, $index) = @ARGV;
my $d = decode_json(<STDIN>);
$d = $d->[$index] if defined $index;
binmode STDOUT, ":utf8"; print $d->{$key}, "\n"' "$@"
}

# ---- putting and taking ----------------------------------------------------------------------------------------

put_and_get() {
    exits 'put of an argument' 0 memo put jobs 'hello, world'
    exits 'get' 0 memo get jobs
    is 'get writes the bytes alone' "$(od -An -c out)" "$(printf 'hello, world' | od -An -c)"
    exits 'skip of an empty folder' 1 memo skip jobs
    is 'skip of an empty folder prints nothing' "$(cat out err)" ''

    memo put jobs one two three
    is 'each argument is a memo, in order' "$(memo get -n 3 -l jobs)" 'one
two
three'
    memo put -- -dash- -x
    is 'after -- words may begin with a dash' "$(memo get -- -dash-)" '-x'
    memo put jobs ''
    is 'an empty memo' "$(memo get -l jobs | od -An -c | tr -d ' ')" '\n'
    exits 'no folder is an error' 2 memo get
    exits 'two folders are an error for get' 2 memo get a b
    exits 'text and a file are an error' 2 memo put --file out a b
}

put_input() {
    seq 1 20000 >numbers
    memo put jobs <numbers
    memo get jobs >back
    exits 'standard input is one memo' 0 cmp numbers back
    memo put --file numbers jobs
    memo get jobs >back
    exits 'a file is one memo' 0 cmp numbers back
    exits 'a file that is not there' 2 memo put --file absent jobs
    memo put jobs </dev/null
    is 'empty input is an empty memo' "$(memos_in jobs)" 1
    memo get jobs >back

    printf 'a\n\nlast' | memo put --lines jobs
    is 'a memo for each line' "$(memo skip --all -l jobs | tr '\n' '.')" 'a..last.'
    printf 'a b\0c\nd\0' | memo put --null jobs
    is 'a memo for each piece' "$(memo skip --all -0 jobs | od -An -c)" "$(printf 'a b\0c\nd\0' | od -An -c)"
    memo put --lines jobs </dev/null
    is 'no lines are no memos' "$(memos_in jobs)" 0
}

binary() {
    head -c 300000 /dev/urandom >random
    printf 'a\0b\377\n\0' >>random
    memo put jobs <random
    memo copy jobs >copied
    memo get jobs >back
    exits 'any bytes come back from a get' 0 cmp random back
    exits 'and from a copy' 0 cmp random copied
}

several() {
    memo put jobs 1 2 3
    is '-n takes so many' "$(memo get -n 2 -l jobs | tr '\n' ' ')" '1 2 '
    exits '-n without so many' 1 memo skip -n 2 -l jobs
    is 'what there was is written' "$(cat out)" 3
    exits '--all of none' 1 memo skip --all jobs
    memo put jobs 1 2
    exits '--all until the time is up' 0 memo get --all -l -t 100ms jobs
    is '--all takes all' "$(tr '\n' ' ' <out)" '1 2 '
}

copying() {
    memo put jobs x
    is 'copy leaves the memo' "$(memo copy jobs)$(memo copy jobs)$(memo get jobs)" xxx
    exits 'copy --skip of none' 1 memo copy --skip jobs
    memo copy jobs >copy1 &
    one=$!
    memo copy jobs >copy2 &
    two=$!
    until_true waits_on jobs 2
    memo put jobs y
    wait $one && wait $two
    report $? 'copies that wait are served by one put'
    is 'with its bytes' "$(cat copy1 copy2)" yy
    is 'and the memo stays' "$(memo get jobs)" y
}

choosing() {
    memo put b beta
    is 'alt takes from the one that has a memo' "$(memo alt a b c)" beta
    memo put c gamma
    memo put b beta
    is 'alt: the first named goes first' "$(memo alt --which a b c)" 'b
beta'
    memo put b beta
    is 'alt --oldest' "$(memo alt --oldest a b c)" gamma
    is 'strict takes like alt' "$(memo strict --which a b | { read -r name; cat; echo " from $name"; })" 'beta from b'
    exits 'strict of empty folders' 1 memo strict a b c
    exits 'alt --skip of empty folders' 1 memo alt --skip a b c
    exits 'alt with a timeout' 1 memo alt -t 50ms a b c
    memo alt a b c >out &
    waiting=$!
    until_true waits_on c
    memo put c late
    wait $waiting
    is 'a waiting alt is served' "$?$(cat out)" 0late
    is 'and waits no more anywhere' "$(memo ls -q)" ''
}

timing() {
    before=$(date +%s%N)
    exits 'a timeout' 1 memo get --timeout 0.3s jobs
    after=$(date +%s%N)
    report $((after - before < 300000000)) 'comes not before its time'
    exits 'a timeout in milliseconds' 1 memo get --timeout 20ms jobs
    exits 'a timeout of 0' 1 memo get --timeout 0 jobs
    exits 'a timeout that is none' 2 memo get --timeout soon jobs
    exits 'a negative timeout' 2 memo get --timeout -1 jobs
    memo get --timeout forever jobs >out &
    waiting=$!
    until_true waits_on jobs
    memo put jobs x
    wait $waiting
    is 'forever' "$?$(cat out)" 0x
}

delaying() {
    memo put --delayed trigger target later
    is 'a delayed put is not there yet' "$(memos_in target)" 0
    memo put trigger now
    is 'until its trigger holds a memo' "$(memo skip target) $(memo skip trigger)" 'later now'
}

limits() {
    memo limit --memos 2 jobs
    memo put jobs 1 2
    exits 'a put into a full folder' 2 memo put jobs 3
    is 'says why' "$(grep -c '^memo: .' err)" 1
    exits 'a put that waits for room in vain' 1 memo put --timeout 50ms jobs 3
    memo put --timeout 20 jobs 3 &
    waiting=$!
    sleep 0.1
    memo get jobs >/dev/null
    wait $waiting
    is 'a put that waits for room' "$?" 0
    memo limit jobs
    memo put jobs 4 5
    is 'without a limit again' "$(memo skip --all jobs)" 2345
    exits 'a memo larger than the space' 2 memo put jobs <huge
    exits 'a limit that is no number' 2 memo limit --memos many jobs
}

# ---- names -----------------------------------------------------------------------------------------------------

names() {
    longest=$(printf '%112s' '' | tr ' ' n)
    exits 'a name of 112 bytes' 0 memo put "$longest" x
    exits 'a name of 113 bytes' 2 memo put "n$longest" x
    exits 'a name of 0 bytes' 2 memo put '' x
    exits 'a backslash and nothing' 2 memo put 'a\' x
    exits 'a bad escape' 2 memo put 'a\x4' x
    memo get "$longest" >/dev/null

    memo put 'a\x62c' x
    is 'an escape and its byte are one name' "$(memo get abc)" x
    exits 'a bad index' 2 memo put '@table[1' x
    exits 'an array without a name' 2 memo put '@[1]' x
    memo put '@table[1][-2]' element
    memo put 'table[1][-2]' text
    is 'an element is no text' "$(memo get '@table[1][-2]') $(memo get 'table[1][-2]')" 'element text'

    set -- 'plain' 'two\x20words' 'tab\x09' '\x00nul\x00' '\x40at' 'back\\slash' '\xff\xfe' 'größe' '"quoted"' \
        "it's" '*' '@0x8000000000000001' '@0x2a[0][9223372036854775807]' '@0x2a[-9223372036854775808]' '[1]'
    for name in "$@"; do
        memo put "$name" "$name"
    done
    is 'ls -q prints a name for each' "$(memo ls -q | wc -l)" $#
    wrong=0
    memo ls -q >list
    while read -r name; do
        [ "$(memo skip "$name")" = "$name" ] || wrong=$((wrong + 1))
    done <list
    is 'and every name reads back as its folder' "$wrong $(memo ls -q)" '0 '
}

listing() {
    memo put b 12345
    memo put a 1 22
    memo get c >/dev/null 2>&1 &
    waiting=$!
    until_true waits_on c
    is 'ls' "$(memo ls | tr -s ' ')" ' memos bytes waiters folder
 2 3 0 a
 1 5 0 b
 0 0 1 c'
    is 'ls of one folder' "$(memo ls -q b)" b
    exits 'ls of none' 1 memo ls nowhere
    memo put c x
    wait $waiting
    memo alt --all --skip a b >/dev/null
    memo stat >out
    is 'stat shows every figure' "$(grep -c '^[a-z_]* *[0-9]*$' out)" 21
    is 'stat: folders' "$(awk '$1 == "folders" { print $2 }' out)" 0
}

json() {
    memo put 'na\x00"me' 'text "quoted" \ and	tab'
    memo ls --json >list.json
    memo get --json 'na\x00"me' >memo.json
    is 'ls --json' "$(field folder 0 <list.json) $(field memos 0 <list.json)" 'na\x00"me 1'
    is 'get --json: folder' "$(field folder <memo.json)" 'na\x00"me'
    is 'get --json: text' "$(field text <memo.json)" 'text "quoted" \ and	tab'
    is 'get --json: redeliveries' "$(field redeliveries <memo.json)" 0
    for size in 1 2 3 300; do
        { printf '\377' && head -c $size /dev/urandom; } >random
        memo put jobs <random
        memo alt --json other jobs >memo.json
        field base64 <memo.json | base64 -d >back
        exits "get --json: $((size + 1)) bytes that are no text" 0 cmp random back
        is 'get --json: their number' "$(field size <memo.json)" $((size + 1))
    done
    is 'ls --json of nothing' "$(memo ls --json | tr -d '\n')" '[]'
    is 'stat --json' "$(memo stat --json | field memos)" 0
}

# doctor.c damages spaces.
doctoring() {
    case $backend in
    shm-*) ;;
    *)
        skip doctor 'the space is not in shared memory'
        return
        ;;
    esac
    memo put a 1 22
    exits 'doctor: a healthy space' 0 memo doctor
    is 'doctor: what is in it' "$(grep -c 'with 2 memos; 0 wait' out)" 1
    "$MEMO" get c >/dev/null 2>&1 &
    waiting=$!
    until_true waits_on c
    exits 'doctor: one that is used' 0 memo doctor
    is 'doctor: by whom' "$(grep -c "process $waiting  *alive.* 1 waits" out)" 1
    kill -KILL $waiting
    wait $waiting 2>/dev/null
    exits 'doctor: one that a dead process left' 1 memo doctor "$MEMO_SPACE"
    is 'doctor: whose' "$(grep -c "process $waiting  *dead" out)$(tail -n 1 out)" '1It is healthy now.'
    exits 'doctor: repaired' 0 memo doctor
    exits 'doctor: no space' 2 memo doctor "$backend:t-command-no-such-space"
    is 'doctor: says so' "$(cat err)" "memo: there is no space $backend:t-command-no-such-space"
    exits 'doctor: not in shared memory' 2 memo doctor mpi-latch:
    memo skip --all a >/dev/null
}

# ---- nothing is lost -------------------------------------------------------------------------------------------

scripts() {
    cat >script <<'END'
set -e
"$MEMO" put jobs 1
"$MEMO" get jobs >/dev/null
if "$MEMO" skip jobs; then exit 10; fi
"$MEMO" get --timeout 10ms jobs
echo not reached
END
    exits 'a script with set -e ends where there is no memo' 1 timeout 30 sh script
    is 'and nowhere else' "$(cat out)" ''
    seq 1 50 | memo put -l jobs
    sum=0
    while n=$(memo skip jobs); do
        sum=$((sum + n))
    done
    is 'a loop over all memos' $sum 1275
    seq 1 100 | memo put -l a
    memo skip --all -l a | sed 's/$/0/' | memo put -l b
    is 'a pipeline of folders' "$(memo skip --all -l b | awk '{ s += $1 } END { print s }')" 50500
}

failing_output() {
    memo put jobs keep
    if [ -w /dev/full ]; then
        memo get jobs >/dev/full 2>err
        is 'no room for the output' $? 2
        is 'the memo went back' "$(memos_in jobs)" 1
    else
        skip 'no room for the output' 'there is no /dev/full'
    fi
    memo get jobs >&- 2>err
    is 'no standard output at all' $? 2
    is 'the memo went back too' "$(memo get jobs)" keep

    { memo get jobs; echo $? >status; } 2>/dev/null | true &
    until_true waits_on jobs
    memo put jobs keep
    until_true test -s status
    is 'a reader that is gone' "$(cat status)" 2
    is 'and its memo still is there' "$(memo get --timeout 5 jobs)" keep
    rm -f status
}

kills() {
    kill -"$1" "$2" 2>/dev/null
    is_gone "$2"
}

# Every memo is in what was written or still in the folder, whenever the command is killed.
killed() {
    for signal in TERM INT KILL; do
        seq 1 300 | memo put -l jobs
        : >taken
        for round in 1 2 3 4 5; do
            env --default-signal=INT "$MEMO" get --all -l jobs >>taken 2>/dev/null &
            victim=$!
            sleep 0.00$round
            # Again and again: env ignores SIGINT until it has come so far as not to.
            until_true kills $signal $victim
            wait $victim 2>/dev/null
        done
        sleep 0.2
        memo skip --all -l jobs >rest
        is "SIG$signal to memo get: nothing is lost" \
            "$(cat taken rest | grep -x '[0-9]*' | sort -n -u | awk '{ n++; s += $1 } END { print n, s }')" '300 45150'
    done
    env --default-signal=INT "$MEMO" get jobs >/dev/null &
    victim=$!
    until_true waits_on jobs
    kill -KILL $victim
    wait $victim 2>/dev/null
    memo put jobs x
    is 'a killed waiter is not given a memo' "$(memo get --timeout 5 jobs)" x
}

# ---- the command line ------------------------------------------------------------------------------------------

helping() {
    exits 'help' 0 memo --help
    is 'goes to stdout' "$(grep -c '^Usage: memo' out) $(wc -c <err)" '1 0'
    exits 'no command' 2 memo
    exits 'an unknown command' 2 memo frobnicate
    exits 'an unknown option before the command' 2 memo --frobnicate get
    exits 'version' 0 memo --version
    is 'is a version' "$(grep -c '^memo [0-9]*\.[0-9]*\.[0-9]*$' out)" 1
    for name in create put get skip copy alt strict limit ls stat rm run; do
        exits "help for $name" 0 memo $name --help
        is "names $name" "$(grep -c "^Usage: memo $name " out)" 1
        exits "$name with an unknown option" 2 memo $name --frobnicate
        is 'says so' "$(grep -c '^memo: .*frobnicate' err)" 1
    done
    exits 'help with nobody to read it' 2 sh -c '"$MEMO" --help >&-'
}

spaces() {
    other=${uri%%\?*}-other
    exits 'create' 0 memo create --size 16M "$other"
    capacity=$(memo stat -s "$other" | awk '$1 == "capacity" { print $2 }')
    report $((capacity > 16 << 20 || capacity < 8 << 20)) 'of that size'
    exits 'create of one that is there' 0 memo create "$other"
    exits 'create with two sizes' 2 memo create --size 1M "$other?size=2M"
    exits 'create with a size that is none' 2 memo create --size big "$other"
    memo -s "$other" put jobs there
    exits '--space after the command' 0 memo get --space "$other" jobs
    is 'is the same space' "$(cat out)" there
    exits 'and not that of MEMO_SPACE' 1 memo skip jobs
    exits 'rm' 0 memo rm "$other"
    exits 'rm of none' 1 memo rm "$other"
    exits 'rm --force of none' 0 memo rm --force "$other"
    exits 'a scheme that does not exist' 2 memo -s nonsense:x ls
    is 'is explained' "$(grep -c '^memo: .*nonsense' err)" 1
    exits 'an option that does not exist' 2 memo -s "$other?nonsense=1" ls
}

# ---- memo run --------------------------------------------------------------------------------------------------

shared_memory() {
    ls /dev/shm 2>/dev/null
}

# A worker that takes jobs until all is quiet, and prints how many it had.
build_worker() {
    cat >worker.c <<'END'
#include <stdio.h>
#include "libmemo/memo.h"
int main(void)
{
    memo_space_t *space;
    if (memo_open(&space, NULL) != MEMO_OK) {
        return 3;
    }
    memo_folder_t jobs = memo_folder("jobs");
    memo_select_t select = MEMO_SELECT_INIT;
    select.folders = &jobs;
    select.count = 1;
    select.when_empty = MEMO_UNTIL_QUIET;
    select.timeout_ns = 20000000000;
    memo_t *m;
    int result;
    int n = 0;
    while ((result = memo_select(space, &select, &m, NULL)) == MEMO_OK) {
        memo_free(m);
        n++;
    }
    printf("rank %d of %d had %d, then %s\n", memo_rank(space), memo_ranks(space), n, memo_strerror(result));
    return result == MEMO_QUIET ? memo_close(space) : 4;
}
END
    $CC -I"$ROOT" worker.c "$ROOT/$BUILD/libmemo.a" -lpthread -ldl -o worker 2>err
}

run_private() {
    exits 'run' 0 memo run -n 3 -- sh -c 'echo "$MEMO_RUN $MEMO_SPACE"'
    is 'numbers its programs' "$(cut -d' ' -f1 out | cut -d: -f2,3 | sort | tr '\n' ' ')" '0:3 1:3 2:3 '
    is 'with one id' "$(cut -d: -f1 out | sort -u | grep -c '^[0-9a-f][0-9a-f]*$')" 1
    is 'in one space' "$(cut -d' ' -f2 out | sort -u | grep -c '^shm-bucket:run-')" 1
    exits 'run: the space is theirs alone' 0 memo run -n 3 -- sh -c '
        case $MEMO_RUN in
        *:0:*) exec "$MEMO" get -n 2 -l results ;;
        *) "$MEMO" put results from-$MEMO_RUN ;;
        esac'
    is 'and shared' "$(cut -d: -f2 out | sort | tr '\n' ' ')" '1 2 '
    exits 'run --size' 0 memo run -n 1 --size 16M -- sh -c '"$MEMO" stat'
    capacity=$(awk '$1 == "capacity" { print $2 }' out)
    report $((capacity > 16 << 20 || capacity < 8 << 20)) 'run --size is the size'
    echo input | memo run -n 2 -- cat >out
    is 'the first gets standard input' "$(cat out)" input
    memo run -n 2 -- sh -c 'echo "$MEMO_SPACE"; "$MEMO" put jobs x; exit 1' >out
    is 'run leaves nothing behind' "$(shared_memory | grep -c -F "$(sed -n '1s/^[^:]*://p' out)")" 0
}

run_given() {
    exits 'run in a given space' 0 memo run -s "$uri" -n 2 -- sh -c 'test "$MEMO_SPACE" = "$0" && "$MEMO" put jobs x' "$uri"
    is 'which is still there' "$(memo skip --all jobs)" xx
    memo run -n 2 -- sh -c '"$MEMO" put jobs y'
    is 'run in MEMO_SPACE' "$(memo skip --all jobs)" yy
    exits 'run in an anonymous space' 2 memo run -s 'shm-bucket:?anonymous=1' -n 2 -- true
}

run_status() {
    exits 'run: no number' 2 memo run -- true
    exits 'run: no program' 2 memo run -n 2
    exits 'run: a number that is none' 2 memo run -n 0 -- true
    exits 'run: a program that is not there' 127 memo run -n 2 -- ./absent
    is 'is named once' "$(grep -c absent err)" 1
    : >plain
    exits 'run: a program that cannot run' 126 memo run -n 2 -- ./plain
    exits 'run: the exit status of the one that failed' 7 memo run -n 3 -- sh -c '
        case $MEMO_RUN in *:1:*) exit 7 ;; esac
        exec sleep 60'
    exits 'run: a program that was killed' 137 memo run -n 2 -- sh -c '
        case $MEMO_RUN in *:1:*) kill -KILL $$ ;; esac
        exec sleep 60'
    exits 'run: those that were started by others end too' 3 memo run -n 2 -- sh -c '
        case $MEMO_RUN in *:1:*) sleep 0.2; exit 3 ;; esac
        sleep 61 & echo $! >pid; wait; true'
    exits 'they did' 0 until_true is_gone "$(cat pid)"
    exits 'run --keep-going' 7 memo run --keep-going -n 3 -- sh -c '
        case $MEMO_RUN in *:1:*) exit 7 ;; esac
        sleep 0.3; echo finished'
    is 'lets the others go on' "$(grep -c finished out)" 2
    exits 'run --tag' 0 memo run --tag -n 2 -- sh -c 'echo out; echo err >&2; printf unfinished'
    is 'tags lines of output' "$(sort out | tr '\n' ' ')" '[0] out [0] unfinished [1] out [1] unfinished '
    is 'and of errors' "$(sort err | tr '\n' ' ')" '[0] err [1] err '
}

run_signals() {
    for signal in TERM INT HUP USR1; do
        rm -f ready.*
        # An interactive shell's background jobs ignore SIGINT; not these.
        env --default-signal=INT "$MEMO" run -n 2 -- sh -c '
            trap "echo caught; exit 0" '$signal'
            : >ready.$(echo $MEMO_RUN | cut -d: -f2)
            while :; do sleep 0.05; done' >out 2>err &
        launcher=$!
        until_true test -e ready.0 -a -e ready.1
        kill -$signal $launcher
        wait $launcher
        is "run passes SIG$signal on, and the exit status back" "$? $(grep -c caught out)" '0 2'
    done
    rm -f ready.*
    env --default-signal=INT "$MEMO" run -n 2 -- sh -c '
        : >ready.$(echo $MEMO_RUN | cut -d: -f2)
        exec sleep 60' 2>err &
    launcher=$!
    until_true test -e ready.0 -a -e ready.1
    kill -INT $launcher
    wait $launcher
    is 'run: programs that a signal killed' $? 130
}

run_killed() {
    rm -f ready.* space.*
    "$MEMO" run -n 2 -- sh -c '
        rank=$(echo $MEMO_RUN | cut -d: -f2)
        echo $MEMO_SPACE >space.$rank
        "$MEMO" put jobs x
        echo $$ >ready.$rank
        exec sleep 60' &
    launcher=$!
    until_true test -s ready.0 -a -s ready.1
    name=$(sed 's/^[^:]*://' space.0)
    is 'a private space while it is used' "$(shared_memory | grep -c -F "$name")" 1
    kill -KILL $launcher
    wait $launcher 2>/dev/null
    exits 'a killed launcher takes its programs with it' 0 until_true is_gone "$(cat ready.0)"
    exits 'all of them' 0 until_true is_gone "$(cat ready.1)"
    no_such_space() {
        ! shared_memory | grep -q -F "$name"
    }
    exits 'and its space' 0 until_true no_such_space
}

run_quiet() {
    if ! build_worker; then
        report 1 'the worker compiles'
        sed 's/^/# /' err
        return
    fi
    memo run -n 3 -- ./worker >out
    is 'ranked programs become quiet' "$?$(grep -c 'of 3 had 0, then' out)" 03
    memo run -n 3 -- sh -c 'case $MEMO_RUN in *:1:*) exit 0 ;; esac; exec ./worker' >out
    is 'also when one never opens the space' "$?$(grep -c 'had 0, then' out)" 02
    memo run -n 3 -- sh -c '
        case $MEMO_RUN in
        *:1:*) sleep 0.3; exec "$MEMO" put jobs 1 2 3 ;;
        esac
        exec ./worker' >out
    is 'but not before one that has yet to begin' "$?$(awk '{ n += $6 } END { print " " n }' out)" '0 3'
    memo run --keep-going -n 3 -- sh -c 'case $MEMO_RUN in *:1:*) kill -KILL $$ ;; esac; exec ./worker' >out
    is 'also when one is killed' "$?$(grep -c 'had 0, then' out)" 1372
}

# ---- all of it -------------------------------------------------------------------------------------------------

directory=$(mktemp -d) || exit 1
cleanup() {
    for scheme in shm-bucket shm-lock; do
        "$MEMO" rm -f "$scheme:t-command-$scheme-$$" 2>/dev/null
        "$MEMO" rm -f "$scheme:t-command-$scheme-$$-other" 2>/dev/null
    done
    [ -z "$given" ] || "$MEMO" rm -f "$given" 2>/dev/null
    rm -rf "$directory"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

given=${1:-$MEMO_TEST_URI}
cd "$directory" || exit 1
truncate -s 40M huge

echo 'TAP version 13'
for uri in ${given:-"shm-bucket:t-command-shm-bucket-$$?size=32M" "shm-lock:t-command-shm-lock-$$?size=32M"}; do
    backend=${uri%%:*}
    export MEMO_SPACE="$uri"
    for group in put_and_get put_input binary several copying choosing timing delaying limits names listing doctoring json \
        scripts failing_output killed helping spaces run_given run_quiet; do
        # A folder that an earlier group left full is no fault of a later one.
        $group
        for name in $(memo ls -q); do
            memo limit "$name"
            memo skip --all "$name" >/dev/null
        done
    done
    memo rm
    is 'rm' $? 0
    is 'nothing is left of the space' "$(shared_memory | grep -F "t-command-$backend-$$")" ''
done
unset MEMO_SPACE
backend=run
for group in run_private run_status run_signals run_killed run_quiet; do
    $group
done
echo "1..$ran"
[ $failed -eq 0 ]
