"""What a broker shows by HTTP."""

import urllib.error
import urllib.request


def get(broker, path, timeout=10):
    """Status and body."""
    try:
        with urllib.request.urlopen(f"http://{broker.ready['http']}{path}", timeout=timeout) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metrics(broker):
    """By name with labels."""
    status, text = get(broker, "/metrics")
    assert status == 200
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line and not line.startswith("#")}
