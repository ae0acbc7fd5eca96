"""Messages a second, ours and the peers', as a list and as a picture."""

import statistics
from html import escape


def bars(results: dict) -> list[tuple[str, float, str, str]]:
    """(name, messages a second, what an answer means, how many times less than ours), greatest first."""
    found = []
    ours = results["scenarios"].get("4 x 1024")
    if ours:
        rate = statistics.median(run["value"] for run in ours["runs"])
        found.append(("Hutong, acks=all", rate, ours["runs"][0]["card"]["broker"].get("qos") or "as the broker says"))
    found += [(name, statistics.median(peer["rates"]), peer["means"]) for name, peer in results["peers"].items()]
    best = max((rate for _, rate, _ in found), default=0)
    found.sort(key=lambda bar: -bar[1])
    return [(name, rate, means, f"1 : {best / rate:.1f}") for name, rate, means in found]


def svg(found: list[tuple[str, float, str, str]]) -> str:
    best = max(rate for _, rate, _, _ in found)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="760" height="{60 * len(found) + 50}" font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<text x="10" y="24" font-size="15">Single messages of 100 bytes a second, each answered; one machine, load generator included</text>',
    ]
    for number, (name, rate, means, ratio) in enumerate(found):
        y = 45 + 60 * number
        lines += [
            f'<text x="10" y="{y + 12}">{escape(name)}: {rate:,.0f} ({ratio})</text>',
            f'<rect x="10" y="{y + 18}" width="{max(700 * rate / best, 1):.1f}" height="14" fill="{"#b5482a" if number == 0 else "#7a8a99"}"/>',
            f'<text x="10" y="{y + 47}" font-size="11" fill="#555">an answer means: {escape(means)}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
