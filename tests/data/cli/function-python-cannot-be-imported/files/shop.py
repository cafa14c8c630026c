import no_such_module


def count_tubes(colour):
    return 12
