# DPSH on NUS-WIDE.
# Not run here. tables/published.csv has nothing of it.
_base_ = '../CSQ/nuswide.py'

method = 'dpsh'
model_name = 'DPSH'
