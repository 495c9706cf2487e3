"""The packages of the wheel: the folders at the top, under one importable name.

`[tool.setuptools.packages.find]` does not know the mapping of folders, so the list is made here.
"""

from setuptools import find_namespace_packages, setup

ROOMS = ("flows", "blocks", "shim", "skills", "examples")
# Folders of texts count as packages too, else setuptools warns that they may be left out one day.
FOLDERS = find_namespace_packages(
    include=[*ROOMS, *(f"{room}.*" for room in ROOMS)], exclude=["*.__pycache__"]
)

setup(
    packages=["wildloop", *(f"wildloop.{folder}" for folder in FOLDERS)],
    package_dir={"wildloop": "wildloop", **{f"wildloop.{room}": room for room in ROOMS}},
)
