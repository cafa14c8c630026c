"""Functions for flows; nothing here ever runs."""

raise SystemExit("reading a flow runs nothing")


def get_order(order_id: str) -> str:
    return order_id


async def cancel_order(order_id: str) -> str:
    return order_id


def polite(reply: object) -> bool:
    return bool(reply)


imported = str.upper
orders = {"1234": "shipped"}
