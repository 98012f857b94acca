# A node stops while its writes wait for a lost peer, which takes over meanwhile: the copies meet again by themselves
at 0 A1 write 1 1 -> GOOD
at 1000 link 1
at 1000 link 2
at 1300 A1 write 1 2
at 1400 stop 1
at 10000 heal
at 12000 start 1
seconds 45
