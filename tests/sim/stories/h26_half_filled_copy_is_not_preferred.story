# Both copies are recorded as current, and both daemons were lost. The one that is filled from the other then is not preferred when
# the owner is lost under way: that has all, and serves again although the two are parted
nodes 2
seconds 90
hold_ms 5000
seed 1
at 0 A1 write 1 1 -> GOOD
at 300 fencing 100 0
at 500 power_cut 2
at 510 kill 1
at 1000 link 1
at 1000 link 2
at 24000 order pause 0 1 -> done
at 25000 heal
at 35000 link 1
at 35000 link 2
at 35000 kill 1
at 55000 A1 tur
at 55100 A1 tur
at 55200 A1 tur
at 56000 A1 read 1 -> GOOD value 1
at 60000 heal
