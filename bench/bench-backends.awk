# bench-backends.awk - lines of memo-bench --csv, each behind the column that it belongs to and a tab: medians over the
# rounds, as a table on stdout, all of them in the file `tsv`, and those of one server on one node in `plot`, in us.

function median(values, n,    i, j, v, sorted) {
    for (i = 1; i <= n; i++) {
        v = values[i]
        for (j = i - 1; j >= 1 && sorted[j] > v; j--)
            sorted[j + 1] = sorted[j]
        sorted[j + 1] = v
    }
    return n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
}

# Of a figure, field `f` of memo-bench, over the rounds.
function of(column, w, f,    i, n, values) {
    n = rounds[column, w]
    for (i = 1; i <= n; i++)
        values[i] = figure[column, w, i, f]
    return median(values, n)
}

function extreme(column, w, f, sign,    i, v) {
    v = figure[column, w, 1, f]
    for (i = 2; i <= rounds[column, w]; i++)
        if ((figure[column, w, i, f] - v) * sign > 0)
            v = figure[column, w, i, f]
    return v
}

function time_text(ns) {
    if (ns < 1000)
        return sprintf("%.0f ns", ns)
    if (ns < 1000000)
        return sprintf(ns < 10000 ? "%.2f us" : "%.1f us", ns / 1000)
    return sprintf("%.2f ms", ns / 1000000)
}

BEGIN {
    FS = "\t"
    columns = split("shm-bucket:0:1 shm-lock:0:1 mpi-single:1:1 mpi-latch:1:1 mpi-chain:1:1 mpi-latch:2:1 " \
        "mpi-chain:2:1 mpi-single:1:2 mpi-latch:2:2 mpi-chain:2:2", column, " ")
    rows = split(workloads, row, " ")
    for (c = 1; c <= columns; c++) {
        split(column[c], part, ":")
        backend[c] = part[1]; servers[c] = part[2]; nodes[c] = part[3]
    }
}

# The whole job, or the space, was not to be had.
$2 == "-" { failed[$1] = $3; next }

{
    split($2, f, ",")
    key = $1
    if (key == "shm") {
        key = f[2]
        gsub(/[":]/, "", key)
        key = key ":0:1"
    }
    seen[key] = 1
    if (f[7] == "") {
        why = $2
        sub(/^.*,"/, "", why); sub(/"$/, "", why)
        reason[key, f[1]] = why
        next
    }
    n = ++rounds[key, f[1]]
    for (i = 6; i <= 16; i++)
        figure[key, f[1], n, i] = f[i]
}

function why_not(c, w) {
    if ((c, w) in reason)
        return reason[c, w]
    return c in failed ? failed[c] : "not measured"
}

function write_tsv(    r, c, w, k) {
    print "workload\tbackend\tservers\tnodes\trounds\tmedian_ns\tleast_ns\tmost_ns\tp99_ns\tops_per_s\tmessages_per_op\t" \
        "slot_messages_per_op\twakes_per_op\tparks_per_op\tlock_waits_per_op\twhy_not" > tsv
    for (r = 1; r <= rows; r++)
        for (c = 1; c <= columns; c++) {
            w = row[r]; k = column[c]
            printf "%s\t%s\t%s\t%s\t%d\t", w, backend[c], servers[c], nodes[c], rounds[k, w] > tsv
            if (measured(c, r))
                printf "%.1f\t%.1f\t%.1f\t%.1f\t%.0f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t\n", of(k, w, 7),
                    extreme(k, w, 7, -1), extreme(k, w, 7, 1), of(k, w, 8), of(k, w, 11), of(k, w, 16), of(k, w, 15),
                    of(k, w, 14), of(k, w, 13), of(k, w, 12) > tsv
            else
                printf "\t\t\t\t\t\t\t\t\t\t%s\n", k in seen || k in failed ? why_not(k, w) : "left out" > tsv
        }
    close(tsv)
}

function head(title,    c) {
    printf "\n%s\n%-17s", title, ""
    for (c = 1; c <= columns; c++)
        if (shown(c))
            printf " %11s", backend[c]
    printf "\n%-17s", ""
    for (c = 1; c <= columns; c++)
        if (shown(c))
            printf " %11s", servers[c] == 0 ? "" : servers[c] (servers[c] == 1 ? " server" : " servers")
    printf "\n%-17s", ""
    for (c = 1; c <= columns; c++)
        if (shown(c))
            printf " %11s", nodes[c] == 1 ? "" : nodes[c] " nodes"
    printf "\n"
}

function measured(c, r) {
    return rounds[column[c], row[r]] > 0
}

function shown(c) {
    return column[c] in seen || column[c] in failed
}

function print_times(    r, c) {
    head("Time of an operation")
    for (r = 1; r <= rows; r++) {
        printf "%-17s", row[r]
        for (c = 1; c <= columns; c++)
            if (shown(c))
                printf " %11s", measured(c, r) ? time_text(of(column[c], row[r], 7)) : "-"
        printf "\n"
    }
}

function print_counts(    r, c, k) {
    head("Messages to and from servers / wakes of sleepers, an operation (two nodes: wakes of the first)")
    for (r = 1; r <= rows; r++) {
        printf "%-17s", row[r]
        for (c = 1; c <= columns; c++) {
            k = column[c]
            if (shown(c))
                printf " %11s", measured(c, r) ? sprintf("%.1f/%.2f", of(k, row[r], 16), of(k, row[r], 14)) : "-"
        }
        printf "\n"
    }
}

function print_reasons(    r, c, k) {
    for (c = 1; c <= columns; c++) {
        k = column[c]
        if (k in failed)
            printf "%s, %s servers, %s nodes, not measured: %s\n", backend[c], servers[c], nodes[c], failed[k]
        for (r = 1; r <= rows; r++)
            if ((k, row[r]) in reason)
                printf "%s, %s servers, %s nodes, %s: %s\n", backend[c], servers[c], nodes[c], row[r], reason[k, row[r]]
    }
}

function write_plot(    r, c, k) {
    printf "workload" > plot
    for (c = 1; c <= 5; c++)
        printf "\t%s", backend[c] > plot
    printf "\n" > plot
    for (r = 1; r <= rows; r++) {
        printf "%s", row[r] > plot
        for (c = 1; c <= 5; c++) {
            k = column[c]
            printf "\t%s", measured(c, r) ? sprintf("%.5f", of(k, row[r], 7) / 1000) : "NaN" > plot
        }
        printf "\n" > plot
    }
    close(plot)
}

END {
    print_times()
    print_counts()
    print_reasons()
    write_tsv()
    write_plot()
}
