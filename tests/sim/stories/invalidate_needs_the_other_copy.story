# A copy is not given up by order while the other one, which is recorded as current, too, is not there: what that had in its cache is lost
nodes 3
seconds 70
seed 1
at 0 fencing 9000 0
at 195 A1 write 1 1 -> GOOD
at 198 kill 2
at 198 kill 1
at 199 power_cut 2 lost
at 15900 order invalidate 0 1 -> refused
at 60000 A1 tur
at 60100 A1 tur
at 60200 A1 tur
at 60300 A1 read 1 -> GOOD value 1
