# The owner lost its cache with its power, and starts the array again: the other copy, which was stopped in order and has
# all, is waited for while its daemon joins
nodes 3
seconds 60
at 0 fencing 100 99
at 50 slow_disk 1 1
at 100 A1 write 1 1 -> GOOD
at 200 freeze 1
at 2600 stop 2
at 4000 power_cut 1 lost
at 5000 stop 3
at 8000 power_on 1
at 12000 start 2
# has the newest record: nobody is promoted before it is here, and the other copy's daemon is (one that is not is not waited for)
at 18000 start 3
at 40000 A1 tur
at 40100 A1 tur
at 40200 A1 tur
at 40300 A1 read 1 -> GOOD value 1
