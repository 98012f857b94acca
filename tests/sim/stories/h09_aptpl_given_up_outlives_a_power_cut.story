# H9: registrations whose APTPL was given up do not outlive a power cut of everything once somebody was answered who came after that
seed 1
at 0 A1 register_and_ignore 0 0xa aptpl -> GOOD
at 1000 slow_disk 1 1000
at 1000 slow_disk 2 1000
at 1010 A1 register_and_ignore 0xa 0xa
at 1020 B2 register_and_ignore 0 0xb
at 1100 power_cut 1
at 1100 power_cut 2
at 1200 slow_disk 1 0
at 1200 slow_disk 2 0
at 3000 power_on 1
at 3000 power_on 2
at 40000 B2 tur -> UA 2900
at 40005 B2 tur
at 40010 B2 read_keys
seconds 60
