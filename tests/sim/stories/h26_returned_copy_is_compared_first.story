# A node that lost its cache with its power is a member again before the owner, whose disk is slow, has asked for the
# outdating of its copy; then the owner's daemon dies, with everything in the cache of its node: that copy does not take over
nodes 2
seconds 60
seed 4
at 0 fencing 100 99
at 0 A1 write 1 1 -> GOOD
at 3 slow_disk 1 15000
at 4 power_cut 2 lost
at 5 link 1
at 100 power_on 2
at 5000 slow_disk 1 0
at 12000 kill 1
at 12500 heal
at 40000 A1 tur
at 40100 A1 tur
at 40200 A1 tur
at 40300 A1 read 1 -> GOOD value 1
