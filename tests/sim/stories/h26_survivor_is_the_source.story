# H26: an owner that lost its cache with its power, and is back before anybody was promoted, gets the survivor's copy
at 0 A1 write 1 1 -> GOOD
at 0 B1 write 2 2 -> GOOD
at 500 fencing 8000 3
at 500 power_cut 1 lost
at 1500 power_on 1
at 25000 A2 read 1 -> UA 2a06
at 25100 A2 read 1 -> GOOD value 1
at 25200 A2 read 2 -> GOOD value 2
seconds 60
