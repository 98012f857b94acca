# H25: nodes of two wire versions are one unit, in either direction
seconds 60
at 0 A1 register_and_ignore 0 0xa -> GOOD
at 10 A1 reserve 0xa 0 5 -> GOOD
at 100 other_version 2
at 4000 start 2
at 15000 B2 tur -> UA 2900
at 15010 B2 write 1 1 -> RESERVATION_CONFLICT
at 15015 A1 tur
at 15020 A1 write 1 2 -> GOOD
at 15100 other_version 1
at 19000 start 1
at 30000 A1 tur -> UA 2900
at 30005 A1 tur
at 30010 A1 write 1 3 -> GOOD
at 30020 B1 tur
at 30030 B1 write 1 4 -> RESERVATION_CONFLICT
at 30100 other_version 2
at 34000 start 2
at 45000 B2 tur -> UA 2900
at 45010 B2 write 1 5 -> RESERVATION_CONFLICT
at 45015 A1 tur
at 45020 A1 read 1 -> GOOD value 3
