# The disk of a copy fails, is attached in vain, and then with success: its node goes on with its sessions meanwhile, and can be the only one
seconds 60
at 0 A1 write 1 1 -> GOOD
at 10 A1 sync -> GOOD
at 100 bad_disk 2
at 200 A1 write 2 2 -> GOOD
at 1000 B2 read 2 -> GOOD value 2
at 1100 order attach 0 2 -> refused
at 1500 B2 write 3 3 -> GOOD
at 2000 good_disk 2
at 2000 order attach 0 2 -> done
at 2010 B2 write 4 4 -> GOOD
at 2500 B2 read 1 -> GOOD value 1
at 12000 order attach 0 2 -> refused
at 12100 A1 sync -> GOOD
at 15000 power_cut 1
at 35000 B2 tur
at 35100 B2 tur
at 35200 B2 tur
at 35300 B2 read 1 -> GOOD value 1
at 35400 B2 read 2 -> GOOD value 2
at 35500 B2 read 3 -> GOOD value 3
at 35600 B2 read 4 -> GOOD value 4
