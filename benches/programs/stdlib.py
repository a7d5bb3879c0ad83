import argparse
import dataclasses
import json
import pathlib
import re
import typing
