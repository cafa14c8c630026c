"""What stock.yaml runs: a function for the assistant, and a check of its answer."""

TUBES = {"ochre": 12, "ultramarine": 3}


def count_tubes(colour: str) -> dict[str, object]:
    """The tubes of a colour. What is raised goes to the assistant as an error."""
    if colour not in TUBES:
        raise ValueError(f"there is no colour called {colour}")
    return {"colour": colour, "tubes": TUBES[colour]}


def promises_nothing(answer: object) -> str | None:
    """A text says what is wrong with the answer; nothing means that it passes."""
    text = str(getattr(answer, "text", ""))
    return "nobody may promise a delivery date" if "tomorrow" in text else None
