# bench-backends.gp - the plot of bench-backends: kind (svg or png), data (bench-backends.awk) and out are given.
if (kind eq "svg") {
    set terminal svg size 1500,720 font "sans-serif,15" background "white"
} else {
    set terminal pngcairo size 1500,720 font "sans-serif,13" background "white"
}
set output out
set datafile separator "\t"
set datafile missing "NaN"
set title "Time of an operation on the five backends (one node, one server)"
set ylabel "microseconds"
set logscale y
set format y "%g"
set yrange [0.05:*]
set grid ytics lt 1 lw 1 lc rgb "#d8d8d8"
set rmargin 9
set bmargin 6
set border 3
set xtics nomirror rotate by -30 scale 0
set ytics nomirror
set key top left horizontal noenhanced
set style data histograms
set style histogram clustered gap 1.5
set style fill solid 0.95 noborder
set boxwidth 0.95 relative
array colour[5] = ["#1b5e9e", "#7fb2e0", "#b8442c", "#e8a33d", "#5a8f3d"]
plot for [i=2:6] data using i:xticlabels(1) title columnheader(i) lc rgb colour[i - 1]
