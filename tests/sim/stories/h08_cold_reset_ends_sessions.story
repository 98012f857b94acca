# H8: TARGET COLD RESET resets every unit and ends every session on every node; registrations stay
at 0 A1 register_and_ignore 0 0xa -> GOOD
at 10 A1 cold_reset
at 5000 A1 tur -> UA 2900
at 5000 B2 tur -> UA 2900
at 5010 A1 tur
at 5010 B2 tur
at 5020 A1 tur -> GOOD
at 5020 B2 tur -> GOOD
at 5100 A1 register 0xa 0xb -> GOOD
at 5200 B2 write 1 2 -> GOOD
