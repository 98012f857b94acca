# H5: a PREEMPT that is repeated finds its victim gone: RESERVATION CONFLICT, and no second unit attention
at 0 A1 register_and_ignore 0 0xa -> GOOD
at 10 B2 register_and_ignore 0 0xb -> GOOD
at 20 A1 reserve 0xa 0 5 -> GOOD
at 30 A1 preempt 0xa 0xb 5 -> GOOD
at 40 A1 preempt 0xa 0xb 5 -> RESERVATION_CONFLICT
at 50 B2 tur -> UA 2a05
at 60 B2 tur -> GOOD
