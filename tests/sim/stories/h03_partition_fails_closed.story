# H3: with two nodes that do not hear each other nothing is answered that could be wrong; one of them is fenced
at 0 A1 register_and_ignore 0 0xa -> GOOD
at 1000 cluster 1
at 1000 cluster 2
at 1100 A1 write 1 1
at 1100 B2 write 2 2
at 1200 B2 register_and_ignore 0 0xb
at 15000 heal
