# S5VH on the sample dataset in 400 frames in place of 25 (the table `long`):
#     python -m dataset.digits --variant digits400
#     python preprocess.py --config configs/S5VH/digits400.py
#     python train.py --config configs/S5VH/digits400.py
#     python eval.py --config configs/S5VH/digits400.py --baselines
# Not run here. tables/published.csv has nothing of it.
_base_ = 'digits.py'

dataset = 'digits400'
max_frames = 400
