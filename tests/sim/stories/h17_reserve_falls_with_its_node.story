# H17: RESERVE falls when the node of its nexus dies
at 0 A1 legacy_reserve -> GOOD
at 10 B2 write 1 1 -> RESERVATION_CONFLICT
at 100 power_cut 1
at 20000 B2 tur
at 20010 B2 tur
at 20020 B2 write 1 2 -> GOOD
