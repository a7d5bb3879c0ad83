#!/usr/bin/env pyw
"""Tells what a Python program sees of the machine it runs on."""

import os
import platform
import sys

print("Hello from", platform.python_implementation(), platform.python_version())
print("platform: ", sys.platform, platform.machine() or "-")
print("arguments:", sys.argv[1:])
print("directory:", os.getcwd())
print("variables:", " ".join(sorted(os.environ)) or "none")
try:
    print("home:     ", len(os.listdir(os.path.expanduser("~"))), "entries can be read")
except OSError as error:
    print("home:      cannot be read:", error.strerror)
