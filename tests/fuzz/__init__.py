"""Damaged and hostile input files, made by the thousand from a seed, against every reader of the project.

    python -m tests.fuzz --cases 10000 --seed 1 [--kinds features labels] [--only 4711]

A case may end in two ways: the file is accepted, or refused with a UserError of one line.
"""
