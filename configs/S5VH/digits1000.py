# S5VH on the sample dataset in 1000 frames in place of 25 (the table `long`):
#     python -m dataset.digits --variant digits1000
#     python preprocess.py --config configs/S5VH/digits1000.py
#     python train.py --config configs/S5VH/digits1000.py
#     python eval.py --config configs/S5VH/digits1000.py --baselines
# Not run here. tables/published.csv has nothing of it.
_base_ = 'digits.py'

dataset = 'digits1000'
max_frames = 1000
