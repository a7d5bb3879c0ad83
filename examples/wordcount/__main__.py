"""python -m wordcount < TEXT: the ten most frequent words."""

import sys

from . import count

for word, times in count(sys.stdin).most_common(10):
    print(f"{times:7} {word}")
