def count_tubes(colour):
    return {"ochre": 12}[colour]
