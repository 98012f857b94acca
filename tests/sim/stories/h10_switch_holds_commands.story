# H10: a planned move holds commands and shows the initiator nothing but 2A/06
at 0 A1 write 1 1 -> GOOD
at 100 switch 0 2
at 101 A1 write 1 2 within 10000
at 102 B2 read 1 within 10000
at 15000 switch 0 1
at 15001 A1 write 1 3 within 10000
