# A write waits for the other copy, a read meets it, the owner loses its power: the other copy never had it
seconds 40
at 0 A1 write 1 1 -> GOOD
at 10 link 2
at 20 A1 write 1 2
at 500 A1 read 1
at 600 power_cut 1
at 25000 B2 tur -> UA 2a06
at 25100 B2 read 1 -> GOOD value 1
