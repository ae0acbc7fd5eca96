"""Variants of the broker that are wrong on purpose: the simulation must catch each (scripts/mutants).

A mutant's old text occurs exactly once in its file; where it no longer does, the mutant has to follow the code.
"""

from alone import ALONE
from clusters import CLUSTERS
from replicas import REPLICAS

MUTANTS = ALONE + REPLICAS + CLUSTERS
