"""The desktop export: a folder of photographs that a person exports with FileMaker Pro.

Belongs here: what its paths and its manifest say, what fits together and what does not, and the script that makes it.
All of it is pure. Does not belong here: reading the folder, uploading (`sources/`), and what becomes of a row.
"""
