# The nodes agree on another configuration while one of them stops: its sessions are gone, its disks are still closed
seconds 30
at 0 slow_disk 2 500
at 10 stop 2
at 900 reload 1
at 5000 slow_disk 2 0
at 8000 start 2
at 19900 A1 tur -> UA 2a06
at 20000 A1 tur -> GOOD
