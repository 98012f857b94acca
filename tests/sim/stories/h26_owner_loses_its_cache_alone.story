# The owner has the other copy outdated, as their link is lost, and loses what is in its cache with its power: it had all on
# stable storage before
nodes 2
seconds 60
at 0 fencing 100 3
at 0 A1 write 1 1 -> GOOD
at 1 B1 write 2 2 -> GOOD
at 500 link 1
at 500 link 2
at 6000 power_cut 1 lost
at 7000 heal
at 9000 power_on 1
at 40000 A1 tur
at 40100 A1 tur
at 40200 A1 tur
at 40300 A1 read 1 -> GOOD value 1
at 40400 A1 read 2 -> GOOD value 2
