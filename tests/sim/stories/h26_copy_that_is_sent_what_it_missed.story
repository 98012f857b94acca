# A copy that lost its cache with its power is connected again, and the owner's daemon dies before it has sent what that copy
# lacks (its disk is slow): the owner's copy, which has all, is waited for
nodes 2
seconds 60
seed 2
at 0 fencing 100 99
at 0 A1 write 1 1 -> GOOD
at 3 slow_disk 1 6000
at 4 power_cut 2 lost
at 100 power_on 2
at 10000 kill 1
at 10100 slow_disk 1 0
at 40000 A1 tur
at 40100 A1 tur
at 40200 A1 tur
at 40300 A1 read 1 -> GOOD value 1
