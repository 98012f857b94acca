# H20: two administrators change the configuration on two nodes at the same moment; both nodes end with one of them
at 0 A1 write 1 1 -> GOOD
at 1000 reload 1
at 1000 reload 2
at 1001 A1 write 1 2 -> GOOD
at 1001 B2 write 2 3 -> GOOD
at 10000 reload 2
at 20000 A1 tur -> GOOD
at 20000 B2 read 1 -> GOOD value 2
