# The owner's disk fails when it has asked for the outdating of its peer and before that is agreed to: the other copy, which has all, is taken back and goes on
seconds 60
hold_ms 5000
at 0 A1 write 1 1 -> GOOD
at 10 A1 sync -> GOOD
at 20 A1 write 2 2 -> GOOD
at 400 slow_disk 2 1000
at 500 link 1
at 510 link 2
at 600 A1 write 3 3
at 2900 bad_disk 1
at 2910 A1 write 4 4
at 7000 slow_disk 2 0
at 40000 B2 tur
at 40100 B2 tur
at 40200 B2 tur
at 40300 B2 read 1 -> GOOD value 1
at 40400 B2 read 2 -> GOOD value 2
at 41000 B2 write 1 5 -> GOOD
