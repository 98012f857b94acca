# H17: a RESERVE that takes effect when its nexus is gone falls
hold_ms 1600
at 0 A1 write 1 1 -> GOOD
at 100 A1 legacy_reserve -> NOT_READY_TRANSITION
at 100 cluster 1
at 1900 break A1
at 1950 heal
at 5000 B2 tur
at 5001 B2 tur
at 5010 B2 write 1 2 -> GOOD
at 5020 A1 tur
at 5021 A1 tur
at 5030 A1 write 1 3 -> GOOD
