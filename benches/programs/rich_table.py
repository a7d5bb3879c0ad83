# /// script
# dependencies = ["rich==14.2.0"]
# ///
from rich.console import Console
from rich.table import Table

table = Table(title="Moons")
table.add_column("planet")
table.add_column("moons", justify="right")
for planet, moons in [("Earth", 1), ("Mars", 2), ("Jupiter", 97), ("Saturn", 274)]:
    table.add_row(planet, str(moons))
Console(width=60).print(table)
