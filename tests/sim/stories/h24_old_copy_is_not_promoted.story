# H24: a copy that missed writes does not become the owner before it has them
at 0 link 1
at 0 link 2
at 1000 A1 write 1 1 -> GOOD within 15000
at 16000 power_cut 1
at 17000 heal
at 18000 B2 write 1 2
seconds 60
