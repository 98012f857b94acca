# The owner loses its power while a group grows: what was acknowledged is there, and the copies become equal again
seconds 60
at 0 A1 write 1 1 -> GOOD
at 10 enlarge 0 8
at 20 resize 0 1
at 55 power_cut 1
# its daemon is not started before the write below: that changes the access states, too
at 60 stop 1
at 12000 B2 tur within 20000
at 12500 B2 write 3 3 -> GOOD within 20000
at 13000 power_on 1
at 13000 start 1
# what the switch left to be told
at 29000 B2 tur
at 29010 B2 tur
at 30000 resize 0 2
at 39010 B2 tur -> UA 2a09
at 39020 B2 tur -> GOOD
at 40000 B2 read 3 -> GOOD value 3
