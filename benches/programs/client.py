# /// script
# dependencies = ["httpx==0.28.1", "chevron==0.14.0", "rich==14.2.0"]
# ///
import chevron
import httpx
from rich.console import Console

request = httpx.Request("GET", "https://example.com/", params={"q": "moons"})
text = chevron.render("{{method}} {{url}}", {"method": request.method, "url": str(request.url)})
Console(width=60).print(text)
