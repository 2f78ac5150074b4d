print("GOT", "THROUGH", __name__, sep="-")
raise SystemExit("a file of a submission was taken for another one")
