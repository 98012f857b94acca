# H15: no unit goes away while its owner is dead: every answer waits, and is then what it was before (never 05/25/00)
at 0 A1 write 1 1 -> GOOD
at 10 B2 report_luns -> GOOD value 2
at 10 B2 serial -> GOOD value 3
at 100 power_cut 1
at 200 B2 read 1
at 500 B2 report_luns -> GOOD value 2 within 20000
at 1000 B2 serial -> GOOD value 3 within 20000
at 2000 B2 tur
at 4000 B2 report_luns -> GOOD value 2 within 20000
at 6000 B2 write 2 2
at 8000 B2 serial -> GOOD value 3 within 20000
at 10000 B2 report_luns -> GOOD value 2 within 20000
at 12000 B2 tur
at 20000 B2 tur
at 20010 B2 read 1 -> GOOD value 1
