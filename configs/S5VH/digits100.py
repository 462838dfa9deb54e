# S5VH on the sample dataset in 100 frames in place of 25 (the table `long`):
#     python -m dataset.digits --variant digits100
#     python preprocess.py --config configs/S5VH/digits100.py
#     python train.py --config configs/S5VH/digits100.py
#     python eval.py --config configs/S5VH/digits100.py --baselines
# Not run here. tables/published.csv has nothing of it.
_base_ = 'digits.py'

dataset = 'digits100'
max_frames = 100
