# H18: who is told of software write protection finds that no write from before it is still on its way
seconds 40
# the second write is on its way when write protection comes
seed 3
at 0 B1 mode_sense control -> GOOD
at 10 link 2
at 20 A1 write 1 1 -> GOOD
# waits for the first one, which waits for the other copy
at 25 A1 write 1 2 -> GOOD
at 100 B1 mode_select control swp -> GOOD
at 200 B1 read 1 -> GOOD value 2
at 8000 heal
at 9000 A1 tur -> UA 2a01
at 9010 A1 write 1 3 -> WRITE_PROTECTED
at 9020 A1 read 1 -> GOOD value 2
