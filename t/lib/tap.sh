# shellcheck shell=sh
# tap.sh - for tests in shell: checks, numbered. The test ends with `result_plan`.

count=0
result_shows= # a file that is shown when a check fails

result() { # result STATUS NAME
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $count - $2"
    else
        echo "not ok $count - $2"
        [ -z "$result_shows" ] || sed 's/^/# /' "$result_shows"
    fi
}

skip() { # skip NAME REASON
    count=$((count + 1))
    echo "ok $count - $1 # SKIP $2"
}

result_plan() {
    echo "1..$count"
}
