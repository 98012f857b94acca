# H21: a write that waits for an older one of its block when the owner's lease ends is held until that is back
nodes 3
at 0 A1 write 1 1 -> GOOD
at 5000 slow_disk 1 2000
at 5010 A1 write 1 2 -> GOOD
at 5050 B1 write 1 3 -> GOOD
# all miss each other for too short a time to be told of it by Corosync; the older one ends meanwhile
at 5100 cluster 1
at 5100 cluster 2
at 5100 cluster 3
at 7150 heal
at 7400 slow_disk 1 0
at 12000 A1 read 1 -> GOOD value 3
