# H19: SYNCHRONIZE CACHE at the new owner, when the last one lost its power before it had flushed, is not answered before the
# copy that comes back is marked as Inconsistent
nodes 2
seconds 60
seed 1
at 0 fencing 8000 3
at 0 A1 write 1 1 -> GOOD
at 100 slow_disk 1 200
at 200 switch 0 2
at 400 A1 write 1 2 -> GOOD
at 1012 B2 tur
at 1030 B2 sync -> GOOD within 20000
at 1020 power_cut 1 lost
at 2000 power_on 1
at 40000 A2 tur
at 40010 A2 tur
at 40020 A2 tur
at 40030 A2 read 1 -> GOOD value 2
