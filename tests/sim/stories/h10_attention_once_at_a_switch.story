# H10: every nexus on every node is told 2A/06 once after a planned move, whether it asked meanwhile or not
at 0 A1 write 1 1 -> GOOD
at 100 switch 0 2
at 1500 A1 write 1 2 -> UA 2a06
at 1510 A1 write 1 2 -> GOOD
at 1520 A1 tur -> GOOD
at 1530 B2 read 1 -> UA 2a06
at 1540 B2 read 1 -> GOOD value 2
at 1550 A2 tur -> UA 2a06
at 1560 A2 tur -> GOOD
at 1570 B1 read_keys -> UA 2a06
at 1580 B1 read_keys -> GOOD
at 3000 switch 0 1
at 4500 B1 tur -> UA 2a06
at 4510 B1 tur -> GOOD
at 4520 A2 write 1 3 -> UA 2a06
at 4530 A2 write 1 3 -> GOOD
