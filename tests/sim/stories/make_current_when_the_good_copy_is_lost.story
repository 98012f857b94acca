# The only current copy is lost for good: the older one is used by order alone, survives its node's power, and the lost disk gives way by order alone
seconds 150
at 0 A1 write 1 1 -> GOOD
at 10 A1 sync -> GOOD
at 500 link 1
at 510 link 2
# on node 1 alone: what will be lost
at 6000 A1 write 2 2 -> GOOD within 15000
at 20000 order make_current_force 0 2 -> refused
at 22000 power_cut 1 lost
# its daemon is not started again
at 22100 stop 1
at 23000 heal
at 40000 order make_current 0 2 -> refused
at 41000 order make_current_force 0 2 -> done
at 50000 B2 tur
at 50100 B2 tur
at 50200 B2 tur
at 50300 B2 read 1 -> GOOD value 1
at 50400 B2 write 3 3 -> GOOD
at 50500 B2 sync -> GOOD
# whom Pacemaker promotes again
at 52000 power_cut 2
at 53000 power_on 2
at 84000 B2 tur
at 84100 B2 tur
at 84200 B2 tur
at 85000 B2 read 3 -> GOOD value 3
# the lost disk is found again: nobody may go back to what it holds
at 86000 start 1
at 110000 order make_current_force 0 1 -> refused
at 110800 B2 tur
at 110900 B2 tur
at 111000 B2 read 3 -> GOOD value 3
at 112000 order discard_my_data 0 1 -> done
at 113000 order connect 0 2 -> done
at 140000 A2 read 1 within 20000
at 140500 B2 tur
at 140600 B2 tur
at 141000 B2 read 3 -> GOOD value 3
