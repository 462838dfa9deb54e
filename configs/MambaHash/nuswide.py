# MambaHash on NUS-WIDE.
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/mambahash.py', '../_base_/datasets/nuswide.py']
