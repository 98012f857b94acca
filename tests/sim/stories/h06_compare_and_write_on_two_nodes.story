# H6: of two COMPARE AND WRITE of the same block by two nodes one wins
at 0 A1 write 1 1 -> GOOD
at 100 A1 compare_and_write 1 1 2
at 100 B2 compare_and_write 1 1 3
at 200 A1 compare_and_write 1 1 4 -> MISCOMPARE
