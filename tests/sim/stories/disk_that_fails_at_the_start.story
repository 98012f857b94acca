# A node is started while its disk fails: it has no copy, and its path to the owner's all the same; with the disk good again it
# is sent what it missed, and can be the only one
seconds 60
at 0 A1 write 1 1 -> GOOD
at 10 A1 sync -> GOOD
at 100 bad_disk 2
at 110 stop 2
at 4000 start 2
at 4100 A1 tur
at 4200 A1 tur
at 4300 A1 write 2 2 -> GOOD
at 9000 B2 tur
at 9100 B2 tur
at 9200 B2 tur
at 9300 B2 read 2 -> GOOD value 2
at 9400 B2 write 3 3 -> GOOD
at 10000 good_disk 2
at 25000 power_cut 1
at 45000 B2 tur
at 45100 B2 tur
at 45200 B2 tur
at 45300 B2 read 1 -> GOOD value 1
at 45400 B2 read 2 -> GOOD value 2
at 45500 B2 read 3 -> GOOD value 3
