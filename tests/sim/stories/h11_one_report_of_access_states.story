# H11: both nodes report the same access states, before and after a move
at 0 A1 report_groups -> GOOD value 1
at 0 B2 report_groups -> GOOD value 1
at 100 switch 0 2
at 10000 A1 tur -> UA 2a06
at 10000 B2 tur -> UA 2a06
at 10010 A1 report_groups -> GOOD value 2
at 10010 B2 report_groups -> GOOD value 2
at 10020 A1 write 1 1 -> GOOD
at 10030 B2 read 1 -> GOOD value 1
