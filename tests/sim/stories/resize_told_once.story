# A group grows while it is used: every nexus of every node is told once, and not before both copies have grown
seconds 60
at 0 A1 write 1 1 -> GOOD
at 10 enlarge 0 8
at 20 resize 0 1
at 21 A1 write 2 2 within 10000
at 22 B2 read 1 -> GOOD value 1
at 8000 A1 tur -> UA 2a09
at 8001 A2 tur -> UA 2a09
at 8002 B1 tur -> UA 2a09
at 8003 B2 tur -> UA 2a09
at 8100 A1 tur -> GOOD
at 8101 A2 tur -> GOOD
at 8102 B1 tur -> GOOD
at 8103 B2 tur -> GOOD
at 9000 B2 read 1 -> GOOD value 1
at 9010 power_cut 1
at 25000 B2 read 1 within 20000
