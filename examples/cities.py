#!/usr/bin/env pyw
# /// script
# requires-python = ">=3.11"
# dependencies = ["rich>=13"]
# ///
"""Prints a table with a package that the header above asks for."""

from rich.console import Console
from rich.table import Table

CITIES = [("Oslo", 709_037), ("Bergen", 291_940), ("Trondheim", 214_093)]

table = Table(title="Cities of Norway")
table.add_column("city")
table.add_column("people", justify="right")
for city, people in CITIES:
    table.add_row(city, f"{people:,}")
Console().print(table)
