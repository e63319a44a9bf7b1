# shellcheck shell=sh
# mpi_contract.sh - for tests in shell: the contract, which is t/conform.c, on a space over MPI. After mpi_jobs.sh.
#
# Tests share a job where they can: a job has one space, which is opened once. A URI is a backend with its servers and
# nodes. MEMO_TEST_ALL=1 does more of everything and kills more.

if [ "${MEMO_TEST_ALL:-}" = 1 ]; then
    : "${MEMO_TEST_EFFORT:=5}"
    contract_kills="14 14 14"
    # shellcheck disable=SC2034 # mpi_jobs.sh reads it
    job_seconds=400
else
    : "${MEMO_TEST_EFFORT:=100}"
    contract_kills=6
fi
export MEMO_TEST_EFFORT
contract_uri=
contract_servers=1

contract_of() { # contract_of URI: what follows is about it
    contract_uri=$1
    contract_servers=1
    case $1 in
    *servers=*) contract_servers=${1##*servers=} && contract_servers=${contract_servers%%&*} ;;
    esac
}

# clients N OPTIONS TEST...: these tests in one job with so many clients, in a space with these options more.
clients() {
    contract_clients=$1 contract_options=$2
    shift 2
    job "$contract_uri $1" $((contract_clients + contract_servers)) \
        "$BUILD/t/conform.t" "$contract_uri$contract_options" "$@"
}

# The same; ranks may be killed.
mortals() {
    contract_clients=$1 contract_options=$2
    shift 2
    job "$contract_uri $1" $((contract_clients + contract_servers)) \
        "$BUILD/memo" guard "$BUILD/t/conform.t" "$contract_uri$contract_options" "$@"
}

# contract_all URI: every clause.
contract_all() {
    contract_of "$1"
    clients 6 "&size=64M" c01 c02 c03 c04 c05 c06 c07 c08 c09 c10 forms_of_put requests knowing names
    clients 10 "&size=64M" c11 c12 c13_close c14_limits c15 c16
    clients 4 "&size=64M" c17_quiet
    clients 1 "&size=64M" c17_alone
    mortals 8 "&size=64M" c13_waiting
    mortals 7 "&size=64M" c13_holding
    for n in $contract_kills; do
        mortals $((n + 1)) "&size=64M" c13_anywhere
    done
    mortals 3 "&size=64M&on_death=drop" c13_drop # the victim is not the only one of its node
    mortals 6 "&size=64M&max_redeliveries=1&dead_letters=dead-letters" c13_letters
    mortals 4 "&size=64M&max_redeliveries=0" c13_spent
    mortals 5 "&size=64M" c17_deaths
    for test in c14_refill c14_drained c14_room c14_mixed; do
        clients 2 "&size=4M" $test
    done
}
