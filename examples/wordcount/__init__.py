"""Counts the words of a text."""

import re
from collections import Counter

# A word may hold apostrophes ("don't") but neither begins nor ends with one.
WORD = re.compile(r"\w+(?:['’]\w+)*")


def count(lines):
    """How often each word occurs in `lines`, whatever its case."""
    words = Counter()
    for line in lines:
        words.update(word.casefold() for word in WORD.findall(line))
    return words
