# H12: an initiator that logs in again keeps what it registered; its nexus with the other node notices nothing
at 0 A1 register_and_ignore 0 0xa -> GOOD
at 10 A1 reserve 0xa 0 5 -> GOOD
at 20 A2 tur -> GOOD
at 100 break A1
at 3000 A1 tur -> UA 2900
at 3010 A1 write 1 1 -> GOOD
at 3020 A2 tur -> GOOD
at 3030 A2 write 1 2 -> RESERVATION_CONFLICT
at 3040 B2 write 1 3 -> RESERVATION_CONFLICT
