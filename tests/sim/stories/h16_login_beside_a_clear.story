# H16: a session that logs in between a CLEAR that its node has applied already and its end: another node may still act as before it,
# so the login is answered behind it (else the session would have no unit attention of a change that came after it)
seed 16
at 0 A1 register_and_ignore 0 0xa -> GOOD
at 10 B1 register_and_ignore 0 0xb -> GOOD
at 15 B2 mode_sense control -> GOOD
at 20 A1 reserve 0xa 0 3 -> GOOD
at 30 B2 write 1 1 -> RESERVATION_CONFLICT
at 1000 stall 2
at 1100 break A1
at 1110 B1 clear 0xb -> GOOD
at 1600 B2 mode_select control swp -> RESERVATION_CONFLICT
at 1800 thaw 2
at 4000 A1 tur -> UA 2900
at 4010 A1 tur -> GOOD
at 4020 A1 write 1 2 -> GOOD
