# H8: LOGICAL UNIT RESET reaches every nexus on every node, and ends RESERVE
at 0 B2 legacy_reserve -> GOOD
at 10 A1 write 1 1 -> RESERVATION_CONFLICT
at 20 A1 lu_reset
at 100 B2 tur -> UA 2903
at 110 A2 tur -> UA 2903
at 120 B1 tur -> UA 2903
at 130 A1 tur -> UA 2903
at 140 A1 write 1 2 -> GOOD
