"""What is asked for, and how long it may take."""

import time


def day(ago):
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() - ago * 86400))


PAGE = "/api/logs?count=none&limit=10"
HEAVY, MIDDLE, RARE = "user-00000", "user-00500", "user-99000"
OFTEN, SELDOM = "auth.verb0", "team.verb19"


def questions():
    """Name, path, and the target in ms on MongoDB and embedded; None is no target."""
    window = f"startDate={day(40)}&endDate={day(40)}"
    month = f"startDate={day(30)}"
    return [
        ("first page by id", PAGE, (1.5, 0.3)),
        ("first page by id, newest first", f"{PAGE}&sort=-id", (1.5, 0.3)),
        ("first page by timestamp", f"{PAGE}&sort=timestamp", (1.5, 0.3)),
        ("first page by timestamp, newest first", f"{PAGE}&sort=-timestamp", (1.5, 0.3)),
        ("first page with its total", "/api/logs?limit=10", (None, None)),
        ("newest page of a heavy user", f"{PAGE}&sort=-id&userId={HEAVY}", (2, 1)),
        ("newest page of a middle user", f"{PAGE}&sort=-id&userId={MIDDLE}", (2, 1)),
        ("newest page of a rare user", f"{PAGE}&sort=-id&userId={RARE}", (2, 1)),
        ("newest page of a heavy user, by timestamp", f"{PAGE}&sort=-timestamp&userId={HEAVY}", (2, 1)),
        ("heavy user and frequent action", f"{PAGE}&sort=-id&userId={HEAVY}&action={OFTEN}", (2, 1)),
        ("heavy user and rare action", f"{PAGE}&sort=-id&userId={HEAVY}&action={SELDOM}", (2, 1)),
        ("middle user and frequent action", f"{PAGE}&sort=-id&userId={MIDDLE}&action={OFTEN}", (2, 1)),
        ("frequent action and a day", f"{PAGE}&action={OFTEN}&{window}", (2, 1)),
        ("rare action and a day", f"{PAGE}&action={SELDOM}&{window}", (2, 1)),
        ("frequent action and a day, by timestamp", f"{PAGE}&sort=timestamp&action={OFTEN}&{window}", (2, 1)),
        ("rare action and a day, by timestamp", f"{PAGE}&sort=timestamp&action={SELDOM}&{window}", (2, 1)),
        ("a day", f"{PAGE}&{window}", (None, None)),
        ("actions by prefix and a day", f"{PAGE}&actionPrefix=auth.&{window}", (None, None)),
        ("metadata within a middle user", f"{PAGE}&userId={MIDDLE}&metadata.device.os=ios", (None, None)),
        ("capped total of a heavy user", f"/api/logs?limit=1&userId={HEAVY}", (60, 30)),
        ("capped total of a frequent action", f"/api/logs?limit=1&action={OFTEN}", (60, 30)),
        ("capped total of a frequent action and a month", f"/api/logs?limit=1&action={OFTEN}&{month}", (60, 30)),
        ("capped total of a month", f"/api/logs?limit=1&{month}", (60, 30)),
        ("thirty days by hour", "/api/logs/stats?interval=1h", (50, 20)),
        ("thirty days by hour, of one action", f"/api/logs/stats?interval=1h&action={OFTEN}", (50, 20)),
        ("ten most frequent actions of thirty days", f"/api/logs/stats?groupBy=action&{month}", (50, 20)),
        ("ten most frequent actions of all time", "/api/logs/stats?groupBy=action", (None, None)),
        ("ten busiest users of a day", f"/api/logs/stats?groupBy=userId&{window}", (None, None)),
    ]
