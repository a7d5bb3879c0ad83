#!/usr/bin/env -S pyw --runtime wasmedge
"""A script that names its runtime in its first line: the primes below a limit (default 100)."""

import sys


def primes(limit):
    """The primes below `limit`, by Eratosthenes' sieve."""
    sieve = bytearray([1]) * max(limit, 2)
    sieve[0] = sieve[1] = 0
    for n in range(2, int(limit**0.5) + 1):
        if sieve[n]:
            sieve[n * n :: n] = bytes(len(range(n * n, len(sieve), n)))
    return [n for n in range(limit) if sieve[n]]


if __name__ == "__main__":
    print(*primes(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
