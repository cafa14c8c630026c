def count_tubes(colour):
    return 12


open("proof", "w").close()
raise SystemExit("this must not run")
