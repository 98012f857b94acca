# The link breaks in a handover: the last writes of the old owner need the successor to be outdated, so it does not become
# Primary before they are over
seconds 40
at 0 A1 write 1 1 -> GOOD
at 100 switch 0 2
# node1 hears no acknowledgement; the link is given up when the group has been handed over
at 101 link 1
at 110 A1 write 1 2
at 6000 heal
at 25000 B2 tur
at 25010 B2 read 1 -> GOOD value 2
