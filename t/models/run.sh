#!/bin/sh
# One configuration of a model, searched.
#
#   run.sh right MODEL [-DNAME=VALUE...]    succeeds if the search was complete and found no error
#   run.sh wrong MODEL -DMUTANT_NAME [...]  succeeds if the search found an error
#
# Never with bitstate hashing: what is called complete is complete. Prints one line: what was found, states, seconds.
# Exit status 2: the model could not be built.

expect=$1
model=$(cd "$(dirname "$0")" && pwd)/$2.pml
shift 2 || exit 2
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 2' HUP INT TERM
cd "$work" || exit 2

case $expect in
right | wrong) ;;
*) echo "usage: run.sh right|wrong MODEL [-D...]" >&2; exit 2 ;;
esac

if ! spin -a "$@" "$model" >spin.out 2>&1 || ! test -f pan.c; then
    cat spin.out >&2
    exit 2
fi
${CC:-cc} -O1 -w -DSAFETY -DCOLLAPSE -DNOCLAIM -DMEMLIM=1900 -o pan pan.c || exit 2
./pan -m100000 -w23 >pan.out 2>&1

complete() {
    grep -q 'errors: 0$' pan.out && ! grep -Eqi 'not completed|too small|out of memory|memory exhausted|truncated|exceeded|reached -DMEMLIM' pan.out
}

found() {
    grep -q 'errors: [1-9]' pan.out && grep -Eq '^pan:1: (invalid end state|assertion violated)' pan.out
}

if complete; then
    verdict='no error'
elif found; then
    verdict=$(sed -n 's/^pan:1: \(.*\) (at depth.*/\1/p' pan.out | head -n 1)
else
    verdict='not searched completely'
fi
states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.out)
seconds=$(sed -n 's/^pan: elapsed time \([0-9.]*\) seconds/\1/p' pan.out)
echo "$verdict; ${states:-?} states, ${seconds:-?} s"

case $expect in
right) complete ;;
wrong) found ;;
esac || { tail -n 40 pan.out >&2; exit 1; }
