# shellcheck shell=sh
# mpi_jobs.sh - for tests in shell: MPI jobs, each a test program whose TAP becomes part of the test's own.
#
# A job counts as one check more than it prints: that it came to its end, printed its plan and did not fail. What it
# says on stderr is shown when it failed.
#
#   MPIEXEC=COMMAND      instead of mpiexec, a command that takes its arguments (t/lib/two_nodes.sh)
#   MEMO_TEST_ROOMS=DIR  where the ranks of a job find the memory that they share; all must see the same

: "${BUILD:=build}"
: "${MPIEXEC:=mpiexec}"
: "${MEMO_TEST_ROOMS:=/dev/shm}"
# Inside one machine, other network devices than this one may come and go with other tests, and take a job along.
[ "$MPIEXEC" != mpiexec ] || export UCX_NET_DEVICES="${UCX_NET_DEVICES:-lo}"
job_seconds=150 # many times what any takes on a machine that has nothing else to do
job_tells= # not empty: what a job prints is passed on while it runs
jobs_ran=0
jobs_failed=0
jobs_scratch=$(mktemp -d)
job_pid=

# What the job leaves behind it takes away itself, before this script ends.
jobs_end() {
    [ -z "$job_pid" ] || { kill "$job_pid" 2>/dev/null && wait "$job_pid"; }
    rm -rf "$jobs_scratch" "$MEMO_TEST_ROOMS/t-room-$$"
}
trap jobs_end EXIT
trap 'exit 143' INT TERM HUP

# Without the MPI half there is nothing to test.
jobs_need_mpi() {
    [ -e "$BUILD/libmemo-mpi.so" ] || { echo "1..0 # SKIP built without MPI"; exit 0; }
    command -v "${MPIEXEC%% *}" >/dev/null || { echo "1..0 # SKIP there is no ${MPIEXEC%% *}"; exit 0; }
}

# Numbers the checks anew, behind those there were; counts them, and those that failed.
jobs_merge() { # jobs_merge WHAT FIRST FILE
    awk -v what="$(echo "$1" | sed "s|&|\\\\&|g")" -v n="$2" -v counts="$jobs_scratch/counts" '
        /^(not )?ok [0-9]+/ {
            bad += /^not/
            sub(/ok [0-9]+( - )?/, "ok " (++n) " - " what ": ")
            print; seen++; next
        }
        /^1\.\.[0-9]+/ { plan = substr($1, 4); next }
        /^TAP version/ { next }
        /^#/ { print; fflush(); next }
        { print "# " $0 }
        END { print seen + 0, bad + 0, plan + 0 > counts }' "$3"
}

# jobs_check ok|'not ok' NAME: a check of the test's own
jobs_check() {
    jobs_ran=$((jobs_ran + 1))
    [ "$1" = ok ] || jobs_failed=$((jobs_failed + 1))
    echo "$1 $jobs_ran - $2"
}

# job_run ARGUMENT...: mpiexec with these, into out and err of $jobs_scratch and $job_status. In the background, so that
# a signal ends this script at once, and the job with it.
job_run() {
    # shellcheck disable=SC2086
    timeout -k 5 "$job_seconds" $MPIEXEC "$@" </dev/null >"$jobs_scratch/out" 2>"$jobs_scratch/err" &
    job_pid=$!
    wait "$job_pid"
    job_status=$?
    job_pid=
}

# job WHAT RANKS PROGRAM ARGUMENT...
job() {
    job_what=$1 job_ranks=$2
    shift 2
    MEMO_TEST_ROOM=$MEMO_TEST_ROOMS/t-room-$$
    export MEMO_TEST_ROOM
    rm -rf "$MEMO_TEST_ROOM"
    mkdir "$MEMO_TEST_ROOM" || exit 1
    if [ -n "$job_tells" ]; then
        rm -f "$jobs_scratch/out"
        mkfifo "$jobs_scratch/out"
        jobs_merge "$job_what" "$jobs_ran" "$jobs_scratch/out" &
        job_merger=$!
        job_run -n "$job_ranks" "$@"
        wait "$job_merger"
    else
        job_run -n "$job_ranks" "$@"
        jobs_merge "$job_what" "$jobs_ran" "$jobs_scratch/out"
    fi
    rm -rf "$MEMO_TEST_ROOM"
    read -r seen bad plan <"$jobs_scratch/counts"
    jobs_ran=$((jobs_ran + seen))
    jobs_failed=$((jobs_failed + bad))
    if [ "$job_status" -eq 0 ] && [ "$seen" -gt 0 ] && [ "$seen" -eq "$plan" ]; then
        jobs_check ok "$job_what: the job ends well"
        [ "$bad" -eq 0 ] && return
    else
        jobs_check 'not ok' "$job_what: the job ends well"
        echo "# status $job_status, $seen checks, planned $plan"
    fi
    echo "# the job: $MPIEXEC -n $job_ranks $*"
    tail -n 40 "$jobs_scratch/err" | sed 's/^/# /'
}

# The plan; what to exit with.
jobs_done() {
    echo "1..$jobs_ran"
    [ "$jobs_failed" -eq 0 ]
}
