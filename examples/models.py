#!/usr/bin/env -S pyw --platform emscripten
# /// script
# requires-python = ">=3.12"
# dependencies = ["pydantic>=2"]
# ///
"""Reads records with a package that has compiled code, which runs on node only."""

from pydantic import BaseModel, ValidationError


class City(BaseModel):
    name: str
    people: int


for record in ({"name": "Oslo", "people": "709037"}, {"name": "Bergen", "people": "many"}):
    try:
        print(City.model_validate(record))
    except ValidationError as error:
        print(f"{record['name']}: {error.errors()[0]['msg']}")
