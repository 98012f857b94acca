# H9: registrations with APTPL outlive a power cut of everything
at 0 A1 register_and_ignore 0 0xa aptpl -> GOOD
at 10 A1 reserve 0xa 0 5 -> GOOD
at 1000 power_cut 1
at 1000 power_cut 2
at 3000 power_on 1
at 3000 power_on 2
at 40000 B2 tur -> UA 2900
at 40005 B2 tur
at 40010 B2 write 1 1 -> RESERVATION_CONFLICT
seconds 60
