# H21: an owner that stood still for longer than its lease answers nothing afterwards before it is a member again
at 0 A1 write 1 1 -> GOOD
at 1000 freeze 1
at 1001 A1 write 1 2
at 1500 B2 write 1 3
at 20000 thaw 1
