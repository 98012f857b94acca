# H16: a unit attention that was pending when the owner died is reported once, and no 29/00 by a session that lived on
at 0 A1 register_and_ignore 0 0xa -> GOOD
at 10 B2 register_and_ignore 0 0xb -> GOOD
at 20 A1 preempt 0xa 0xb 5 -> GOOD
at 100 power_cut 1
at 20000 B2 tur -> UA 2a05
at 20010 B2 tur -> UA 2a06
at 20020 B2 tur -> GOOD
