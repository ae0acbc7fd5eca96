"""What a variant of the broker is that is wrong on purpose."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    name: str
    #: What is wrong, in a line.
    wrong: str
    file: str
    old: str
    new: str
    #: Why a trap is a plain consequence of what is wrong; empty: it is not, and a trap does not count as caught.
    trap: str = ""
    #: What `hutong sim` simulates: nothing said, a broker alone.
    arguments: tuple[str, ...] = ()


#: Replicas of one journal, on a model of disk, network and store.
THREE_REPLICAS = ("--replicas", "3")
FIVE_REPLICAS = ("--replicas", "5")
#: A cluster of whole brokers.
THREE_BROKERS = ("--brokers", "3", "--steps", "1000")
