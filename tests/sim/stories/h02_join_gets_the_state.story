# H2: a node that joins serves what was agreed before it came, registrations and reservation
at 0 A1 register_and_ignore 0 0xa -> GOOD
at 10 A1 reserve 0xa 0 5 -> GOOD
at 100 stop 2
at 5000 start 2
at 20000 B2 tur -> UA 2900
at 20010 B2 write 1 1 -> RESERVATION_CONFLICT
