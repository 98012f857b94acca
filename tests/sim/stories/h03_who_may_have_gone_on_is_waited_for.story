# H3: two of three nodes are lost one after the other; the second may have gone on with the first: its fencing proves nothing
# The write waits until the other copy is agreed to be outdated, its disk is full when its daemon is started again
nodes 3
seconds 130
seed 1
at 0 switch 0 2
at 100 power_cut 3
at 5800 A2 read 1
at 5900 A2 write 1 1 -> GOOD
at 6000 power_on 3
at 6100 power_cut 1
at 6101 B2 read 1
at 6102 B2 write 2 2
at 6100 full_disk 1
at 17000 power_cut 1
at 25000 A2 read 1 -> NOT_READY_TRANSITION
at 60000 good_disk 1
# It may have been off before its ring formed: nobody fences it, so nobody switches it on
at 60000 power_on 1
at 119000 A2 read 1
at 119000 B2 read 1
at 120000 A2 read 1 -> GOOD value 1
at 120000 B2 read 2 -> GOOD value 2
