# A forwarded write was done, its answer is lost with the link, another one writes over it: it is not done again
seconds 40
at 0 slow_disk 1 200
at 10 B2 write 1 1 -> ABORTED_COMMAND
at 100 link 2
at 9000 A1 read 1 -> GOOD value 1
at 10000 A1 write 1 2 -> GOOD
at 12000 heal
at 25000 A1 read 1 -> GOOD value 2
