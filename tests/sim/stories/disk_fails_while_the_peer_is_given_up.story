# An operator gives the peer's copy up, and the owner's disk fails before that is agreed to: the order is refused, the copy is taken back and goes on
seconds 60
hold_ms 5000
at 0 A1 write 1 1 -> GOOD
at 20 A1 write 2 2 -> GOOD
at 400 cluster 2
at 410 cluster 1
at 500 order invalidate_peer 0 1 -> refused
at 600 bad_disk 1
at 610 A1 write 4 4
at 1400 heal
at 40000 B2 tur
at 40100 B2 tur
at 40200 B2 tur
at 40300 B2 read 1 -> GOOD value 1
at 40400 B2 read 2 -> GOOD value 2
at 41000 B2 write 1 5 -> GOOD
