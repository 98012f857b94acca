# H26: the owner's daemon dies, its power stays; the survivor loses its power, and what is in its cache, while it takes over.
# It is not recorded as the only current copy before all it has is on stable storage, so nothing that was acknowledged is lost
nodes 2
seconds 90
at 0 A1 write 3 1 -> GOOD
at 500 A1 write 1 1 -> GOOD
at 505 slow_disk 2 30
at 507 kill 1
at 570 power_cut 2 lost
at 5000 power_on 2
at 5000 start 1
at 60000 A1 tur
at 60100 A1 tur
at 60200 A1 tur
at 60300 A1 read 1 -> GOOD value 1
