# HashNet on NUS-WIDE.
# Not run here. tables/published.csv has nothing of it.
_base_ = '../CSQ/nuswide.py'

method = 'hashnet'
model_name = 'HashNet'
