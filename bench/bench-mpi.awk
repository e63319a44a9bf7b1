# bench-mpi.awk - lines of mpi_requests, each behind the name of what was measured: medians, as tables on stdout and in
# the file `tsv`. The longest operation and the count of those over 10 ms are medians too: one bad round is the
# machine's.

function median(values, n,    i, j, v, sorted) {
    for (i = 1; i <= n; i++) {
        v = values[i]
        for (j = i - 1; j >= 1 && sorted[j] > v; j--)
            sorted[j + 1] = sorted[j]
        sorted[j + 1] = v
    }
    return n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
}

function of(key, f,    i, values) {
    for (i = 1; i <= runs[key]; i++)
        values[i] = figure[key, i, f]
    return median(values, runs[key])
}

BEGIN {
    FS = "\t"
    names = split("plain tuned ours none", name, " ")
    title["plain"] = "MPI_Recv"; title["tuned"] = "MPI_Recv, UCX_TLS=posix,self"
    title["ours"] = space; title["none"] = "no requests at all"
}

{
    key = $1 SUBSEP $3 SUBSEP $4
    n = ++runs[key]
    for (i = 5; i <= 11; i++)
        figure[key, n, i] = $i
}

function row(mode, clients, who,    key) {
    key = who SUBSEP mode SUBSEP clients
    if (!(key in runs)) {
        printf "  %-30s %7d  not measured\n", title[who], clients
        return
    }
    printf "  %-30s %7d", title[who], clients
    if (mode == "busy")
        printf " %12.1f %12.2f %12.2f %14.2f %14.0f\n", of(key, 5) / 1000, of(key, 7), of(key, 8), of(key, 9), of(key, 10)
    else if (mode == "work")
        printf " %12.2f %12.3f %12.3f %14.2f\n", of(key, 6), of(key, 7) / 1000, of(key, 8) / 1000, of(key, 9)
    else
        printf " %12.2f\n", of(key, 11)
}

function table(mode, clients,    c, i, n, client) {
    n = split(clients, client, " ")
    for (c = 1; c <= n; c++)
        for (i = 1; i <= names; i++)
            if (name[i] != "none" || mode == "work")
                row(mode, client[c], name[i])
}

function write_tsv(    key, part) {
    printf "how\tmode\tclients\trounds\tops_per_s\tcores_of_computing\tmedian_us\tp99_us\tlongest_ms\tover_10_ms\t" \
        "cpu_percent\n" > tsv
    close(tsv)
    for (key in runs) {
        split(key, part, SUBSEP)
        printf "%s\t%s\t%s\t%d\t%.0f\t%.3f\t%.2f\t%.2f\t%.3f\t%.0f\t%.2f\n", part[1], part[2], part[3], runs[key],
            of(key, 5), of(key, 6), of(key, 7), of(key, 8), of(key, 9), of(key, 10), of(key, 11) | ("sort >> " tsv)
    }
    close("sort >> " tsv)
}

END {
    printf "\nNothing but requests\n  %-30s %7s %12s %12s %12s %14s %14s\n", "", "clients", "1000 / s", "median us",
        "p99 us", "longest ms", "over 10 ms"
    table("busy", "1 2 4 8")
    printf "\nRequests between 200 us of computing\n  %-30s %7s %12s %12s %12s %14s\n", "", "clients", "useful cores",
        "median ms", "p99 ms", "longest ms"
    table("work", "1 2 4 8")
    printf "\nAll blocked: CPU time of the whole job, in percent of a core\n"
    table("idle", "8")
    write_tsv()
}
