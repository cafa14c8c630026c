def count_brushes():
    return 3
