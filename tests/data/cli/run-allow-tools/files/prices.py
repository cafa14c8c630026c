PRICES = {"ochre": "3.10"}
