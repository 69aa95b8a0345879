"""Medians of a few rounds, and how far they can be trusted."""

from math import comb


def median(values):
    values = sorted(values)
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


def interval(values):
    """The narrowest pair of order statistics that holds the median with 95 % confidence, whatever the distribution.

    `None` below six rounds, of which not even the smallest and the largest do. Of nine it is the second and the eighth (96.1 %).
    """
    values, found = sorted(values), None
    for rank in range(len(values) // 2):
        # The median lies outside if at most `rank` of the values are on one side of it, each with even odds.
        outside = 2 * sum(comb(len(values), below) for below in range(rank + 1)) / 2 ** len(values)
        if outside <= 0.05:
            found = values[rank], values[-1 - rank]
    return found
