# A node that is stopping, and hears meanwhile that the others went on without it, answers nothing any more
nodes 3
seconds 60
at 0 fencing 100 9
at 100 cluster 1
at 2000 A1 register_and_ignore 0 0xa -> lost within 9000
at 4000 stop 1
at 9000 heal
at 30000 start 1
at 50000 A1 tur -> UA 2900
