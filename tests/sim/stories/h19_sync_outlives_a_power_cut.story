# H19: what SYNCHRONIZE CACHE has answered for is on the media of both nodes when both lose their power
seconds 60
at 0 A1 write 1 1 -> GOOD
at 10 B2 write 2 2 -> GOOD
at 100 A1 sync -> GOOD
at 2000 power_cut 1
at 2000 power_cut 2
at 5000 power_on 1
at 5000 power_on 2
at 40000 A1 tur
at 40010 A1 tur
at 40020 A1 read 1 -> GOOD value 1
at 40030 B2 tur
at 40040 B2 tur
at 40050 B2 read 2 -> GOOD value 2
