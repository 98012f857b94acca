# H26: the owner lost its cache with its power; the other node's daemon died, its power did not: nobody has the state
at 0 A1 write 1 1 -> GOOD
at 0 B1 write 2 2 -> GOOD
at 500 fencing 8000 3
at 500 power_cut 1 lost
at 510 kill 2
at 520 power_on 1
at 30000 A2 read 1 -> UA 2900
at 30100 A2 read 1 -> UA 2a06
at 30200 A2 read 1 -> GOOD value 1
at 30300 A2 read 2 -> GOOD value 2
seconds 60
