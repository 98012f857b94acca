# The owner lost its cache with its power; the other copy, which was stopped in order and has all, is waited for although its
# daemon is not there
nodes 3
seconds 70
hold_ms 5000
at 0 fencing 100 99
at 50 slow_disk 1 1
at 100 A1 write 1 1 -> GOOD
at 200 freeze 1
at 2600 stop 2
at 4000 power_cut 1 lost
at 5000 stop 3
at 8000 power_on 1
# has the newest record
at 10000 start 3
at 20000 A1 tur
at 20100 A1 tur
at 22000 A1 read 1 -> NOT_READY_TRANSITION
at 34000 start 2
at 55000 A1 tur
at 55100 A1 tur
at 55200 A1 tur
at 55300 A1 read 1 -> GOOD value 1
