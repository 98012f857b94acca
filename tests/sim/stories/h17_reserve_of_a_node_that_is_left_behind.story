# H17: RESERVE falls when the cluster goes on without the node of its nexus, whatever that node still says after that
nodes 3
at 0 fencing 60000 0
at 0 switch 0 2
at 3000 A1 tur
at 3000 B2 tur
at 3010 A1 legacy_reserve -> GOOD
at 3020 B2 write 1 1 -> RESERVATION_CONFLICT
at 4000 freeze 1
at 4000 cluster 1
at 9000 B2 tur
at 9010 B2 write 1 2 -> GOOD within 100
at 9100 thaw 1
at 9200 A1 tur -> NOT_READY_TRANSITION
