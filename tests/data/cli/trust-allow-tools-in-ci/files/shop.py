from prices import PRICES


def count_tubes(colour):
    return {"tubes": 12, "price": PRICES[colour]}


def polite(answer):
    return "hush" not in answer.text
